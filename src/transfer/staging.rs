//! Receiving a body: once, in constant memory, through the hash into a temporary file.
//!
//! Chunks are gathered and handed to a blocking thread that hashes and writes them while the next
//! ones arrive; a slow client holds no thread. Small bodies stay in memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::upload::UploadError;
use crate::catalogue::Reservation;
use crate::domain::Digest;
use crate::stores::{ByteStream, Lane, StoreError};

/// Bodies up to this size are kept in memory.
const SMALL: usize = 64 << 10;
/// Bytes gathered before they are written.
const GATHER: usize = 256 << 10;

/// How long one write may take: a disk under load may have much to write back first.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// A directory for unfinished bodies, and the threads that may wait for its disk.
#[derive(Debug, Clone)]
pub struct Spool {
    pub dir: PathBuf,
    pub lane: Lane,
}

/// Where a received body lies.
#[derive(Debug)]
enum Content {
    Memory(Bytes),
    File(TempFile),
}

/// A received body with its hashes.
#[derive(Debug)]
pub struct StagedBody {
    content: Content,
    pub size: u64,
    pub digest: Digest,
    /// Only when asked for.
    pub sha256: Option<[u8; 32]>,
}

impl StagedBody {
    /// The body for `Backend::put`; can be called again for the next store.
    pub fn body(&self) -> crate::stores::Body {
        match &self.content {
            Content::Memory(bytes) => crate::stores::Body::Bytes(bytes.clone()),
            Content::File(file) => crate::stores::Body::Verified(file.path.clone()),
        }
    }
}

/// A temporary file that is removed on drop; renamed away by then when its store took it.
#[derive(Debug)]
struct TempFile {
    path: PathBuf,
    lane: Lane,
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        // Gone when the store took it; otherwise the clean-up at the next start finds it.
        self.lane.later(move || drop(std::fs::remove_file(path)));
    }
}

/// Room for the body, as it was promised or as it grows.
pub struct Room<'a> {
    pub reservation: Option<&'a Reservation>,
    /// The hard limit of the store, for a body of unknown size.
    pub max: Option<u64>,
    /// Declared size.
    pub declared: Option<u64>,
}

impl Room<'_> {
    /// Makes sure that `total` bytes are promised.
    fn cover(&self, total: u64) -> Result<(), UploadError> {
        if self.declared.is_some() {
            return Ok(());
        }
        let Some(reservation) = self.reservation else { return Ok(()) };
        let missing = total.saturating_sub(reservation.bytes());
        if missing > 0 && !reservation.grow(missing, self.max) {
            return Err(UploadError::Insufficient { size: total });
        }
        Ok(())
    }
}

struct Hashes {
    blake3: blake3::Hasher,
    sha256: Option<Sha256>,
}

impl Hashes {
    fn update(&mut self, bytes: &[u8]) {
        self.blake3.update(bytes);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    fn finish(self) -> (Digest, Option<[u8; 32]>) {
        let digest = Digest(*self.blake3.finalize().as_bytes());
        (digest, self.sha256.map(|s| s.finalize().into()))
    }
}

/// Something that takes the bytes of a body in order.
struct BodySink {
    hashes: Hashes,
    /// `None`: the bytes are only hashed, since the store has them.
    file: Option<File>,
}

impl BodySink {
    fn take(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        for chunk in chunks {
            self.hashes.update(chunk);
            if let Some(file) = &mut self.file {
                file.write_all(chunk)?;
            }
        }
        Ok(())
    }
}

/// A temporary file with room for a body that is about to come.
#[derive(Debug)]
pub struct Prepared {
    temp: TempFile,
    file: File,
}

/// Where the bytes of a body go.
#[derive(Debug)]
pub enum StagingPlace {
    /// Nowhere: they are only hashed, since the store has them.
    Nowhere,
    /// Into memory when they are few, else into a file in this directory.
    Dir(Spool),
    /// Into this file.
    File(Prepared),
}

/// A place in `spool` for a body of `size` bytes. The room of a large one is taken on the disk at
/// once, so that a full disk shows before the body is read.
pub async fn prepare(spool: Spool, size: Option<u64>) -> Result<StagingPlace, StoreError> {
    let Some(size) = size.filter(|size| *size > SMALL as u64) else {
        return Ok(StagingPlace::Dir(spool));
    };
    let lane = spool.lane.clone();
    let create = move || {
        create(&spool, Some(size)).map_err(|e| {
            let what = format!("{}: {e}", spool.dir.display());
            if is_full(&e) { StoreError::full(what) } else { StoreError::unavailable(what) }
        })
    };
    lane.ask(create).await.map(StagingPlace::File)
}

/// Reads `body` to its end, into `place`.
pub async fn receive(
    mut body: ByteStream,
    place: StagingPlace,
    room: Room<'_>,
    sha256: bool,
) -> Result<StagedBody, UploadError> {
    let mut gathered = Gathered::default();
    let hashes = Hashes { blake3: blake3::Hasher::new(), sha256: sha256.then(Sha256::new) };
    let mut pipe = Pipe::new(hashes, place);
    let mut total = 0u64;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| UploadError::Body(e.to_string()))?;
        total += chunk.len() as u64;
        if room.declared.is_some_and(|declared| total > declared) {
            return Err(UploadError::Length { declared: room.declared, received: total });
        }
        room.cover(total)?;
        gathered.push(chunk);
        if gathered.bytes >= GATHER {
            pipe.write(gathered.take()).await?;
        }
    }
    if room.declared.is_some_and(|declared| total != declared) {
        return Err(UploadError::Length { declared: room.declared, received: total });
    }
    finish(pipe, gathered, total).await
}

async fn finish(
    mut pipe: Pipe,
    mut gathered: Gathered,
    total: u64,
) -> Result<StagedBody, UploadError> {
    if pipe.is_unused() && gathered.bytes <= SMALL {
        let bytes = gathered.join();
        let mut sink = pipe.settle().await?;
        sink.hashes.update(&bytes);
        let (digest, sha256) = sink.hashes.finish();
        let content = Content::Memory(bytes);
        return Ok(StagedBody { content, size: total, digest, sha256 });
    }
    pipe.write(gathered.take()).await?;
    let sink = pipe.settle().await?;
    let (digest, sha256) = sink.hashes.finish();
    let content = match pipe.temp.take() {
        Some(temp) => Content::File(temp),
        None => Content::Memory(Bytes::new()),
    };
    Ok(StagedBody { content, size: total, digest, sha256 })
}

#[derive(Default)]
struct Gathered {
    chunks: Vec<Bytes>,
    bytes: usize,
}

impl Gathered {
    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        self.chunks.push(chunk);
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }

    fn join(&mut self) -> Bytes {
        match self.take().as_slice() {
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }
}

/// One write under way while the next chunks are gathered.
struct Pipe {
    sink: Option<BodySink>,
    busy: Option<JoinHandle<io::Result<BodySink>>>,
    temp: Option<TempFile>,
    /// Where a file is created when one is needed.
    dir: Option<Spool>,
    /// The threads that wait for the file's disk; hashing alone needs none of them.
    lane: Option<Lane>,
}

impl Pipe {
    fn new(hashes: Hashes, place: StagingPlace) -> Self {
        let (file, temp, dir) = match place {
            StagingPlace::Nowhere => (None, None, None),
            StagingPlace::Dir(dir) => (None, None, Some(dir)),
            StagingPlace::File(prepared) => (Some(prepared.file), Some(prepared.temp), None),
        };
        let lane = temp.as_ref().map(|t| &t.lane).or(dir.as_ref().map(|d| &d.lane)).cloned();
        Self { sink: Some(BodySink { hashes, file }), busy: None, temp, dir, lane }
    }

    /// True while nothing was written and no file stands by.
    fn is_unused(&self) -> bool {
        self.temp.is_none() && self.busy.is_none() && self.sink.is_some()
    }

    /// Creates the temporary file when one is needed.
    async fn open(&mut self) -> Result<(), UploadError> {
        let Some(dir) = self.dir.take() else { return Ok(()) };
        let prepared = self.begin(move || create(&dir, None)).await?;
        let prepared = outcome_of(prepared).await?;
        let mut sink = self.settle().await?;
        sink.file = Some(prepared.file);
        self.sink = Some(sink);
        self.temp = Some(prepared.temp);
        Ok(())
    }

    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<(), UploadError> {
        self.open().await?;
        let mut sink = self.settle().await?;
        self.busy = Some(self.begin(move || sink.take(&chunks).map(|()| sink)).await?);
        Ok(())
    }

    async fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, UploadError> {
        match &self.lane {
            Some(lane) => lane.start(work).await.map_err(|e| UploadError::Staging(e.to_string())),
            None => Ok(tokio::task::spawn_blocking(work)),
        }
    }

    /// Waits for the write under way.
    async fn settle(&mut self) -> Result<BodySink, UploadError> {
        if let Some(busy) = self.busy.take() {
            return outcome_of(busy).await;
        }
        self.sink.take().ok_or_else(|| UploadError::Staging("a write was lost".to_owned()))
    }
}

async fn outcome_of<T>(job: JoinHandle<io::Result<T>>) -> Result<T, UploadError> {
    let Ok(joined) = tokio::time::timeout(WRITE_TIMEOUT, job).await else {
        let seconds = WRITE_TIMEOUT.as_secs();
        return Err(UploadError::Staging(format!("the disk took no bytes for {seconds} s")));
    };
    match joined {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) if is_full(&e) => Err(UploadError::StagingFull(e.to_string())),
        Ok(Err(e)) => Err(UploadError::Staging(e.to_string())),
        Err(e) => Err(UploadError::Staging(e.to_string())),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Creates a private file in `spool`, with room for `size` bytes.
fn create(spool: &Spool, size: Option<u64>) -> io::Result<Prepared> {
    let path = spool.dir.join(format!("upload-{}", crate::random::hex(12)));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let temp = TempFile { path, lane: spool.lane.clone() };
    if let Some(size) = size {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, size) {
            // Some file systems cannot preallocate: the write will tell.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(Prepared { temp, file })
}
