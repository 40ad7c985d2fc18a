//! Writing: temporary file, sync, rename, sync of the directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use tokio::sync::mpsc;

use super::{Disk, LocalStore, TEMP, disk_error, is_absent, modified, unavailable};
use crate::clock::Clock;
use crate::domain::{Digest, StoreProblem};
use crate::stores::intake::{Intake, collect, next_chunk};
use crate::stores::lane::{Lane, finished};
use crate::stores::names::{MARKER, object_name};
use crate::stores::{ByteStream, Marker, StoreError};

/// Bodies up to this size are gathered first and written by one task in one go.
const GATHERED: u64 = 1 << 20;
/// Dirty bytes after which write-back is started, so that the final sync finds little to do.
const WRITE_BACK: u64 = 8 << 20;
/// Chunks on their way to the writing thread.
const CHUNKS_IN_FLIGHT: usize = 4;

impl LocalStore {
    pub(super) async fn put_stream(
        &self,
        digest: &Digest,
        size: u64,
        mut stream: ByteStream,
    ) -> Result<(), StoreError> {
        let digest = *digest;
        if size <= GATHERED {
            let chunks = collect(&mut stream, size).await?;
            return self.blocking(move |disk| disk.put_gathered(&digest, size, &chunks)).await;
        }
        let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let (disk, lane) = (std::sync::Arc::clone(&self.disk), self.writers.clone());
        let write = move || disk.put_received(&digest, size, receiver, &lane);
        let writer = self.writers.start(write).await?;
        // A source that fails drops the sender unsaid: the writer then finds the body short.
        let source = feed(&mut stream, sender).await;
        let written = finished(writer.await);
        source.and(written)
    }
}

/// Hands the source's chunks to the writer. A writer that has given up is no error here: it
/// reports for itself.
async fn feed(stream: &mut ByteStream, sender: mpsc::Sender<Bytes>) -> Result<(), StoreError> {
    while let Some(chunk) = next_chunk(stream).await? {
        if sender.send(chunk).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// A file in the temporary directory that goes away unless it is published.
struct TempFile {
    file: File,
    path: PathBuf,
    published: bool,
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is left to `clean_unfinished`.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl TempFile {
    fn create(disk: &Disk) -> Result<Self, StoreError> {
        let path = disk.temp.join(format!("{:032x}", rand::random::<u128>()));
        let file = File::create_new(&path).map_err(|e| {
            if is_absent(&e) {
                let (root, name) = (disk.location(), TEMP.to_owned());
                StoreError::unavailable(StoreProblem::NoTemporaryDirectory { root, name })
            } else {
                disk_error("creating", &path, &e)
            }
        })?;
        Ok(Self { file, path, published: false })
    }

    /// Claims the room before the bytes come, so that a full disk is known at once.
    fn preallocate(&self, size: u64) -> Result<(), StoreError> {
        use rustix::io::Errno;
        match fallocate(&self.file, FallocateFlags::empty(), 0, size) {
            // File systems that cannot preallocate are still stores.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(e) => Err(disk_error("making room in", &self.path, &e.into())),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|e| disk_error("writing", &self.path, &e))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|e| disk_error("syncing", &self.path, &e))
    }
}

impl Disk {
    fn put_gathered(&self, digest: &Digest, size: u64, chunks: &[Bytes]) -> Result<(), StoreError> {
        let mut intake = Intake::new(size);
        for chunk in chunks {
            intake.take(chunk)?;
        }
        intake.finish(digest)?;
        self.put_known(digest, chunks)
    }

    /// Writes bytes whose digest is known to be right: one file, one sync, one rename.
    pub(super) fn put_known(&self, digest: &Digest, chunks: &[Bytes]) -> Result<(), StoreError> {
        let mut temp = TempFile::create(self)?;
        for chunk in chunks {
            temp.write(chunk)?;
        }
        temp.sync()?;
        self.publish_temp(digest, temp)
    }

    fn put_received(
        &self,
        digest: &Digest,
        size: u64,
        mut chunks: mpsc::Receiver<Bytes>,
        lane: &Lane,
    ) -> Result<(), StoreError> {
        let mut temp = TempFile::create(self)?;
        temp.preallocate(size)?;
        let mut intake = Intake::new(size);
        let (mut written, mut started) = (0, 0);
        while let Some(chunk) = chunks.blocking_recv() {
            intake.take(&chunk)?;
            temp.write(&chunk)?;
            lane.beat();
            written += chunk.len() as u64;
            if written - started >= WRITE_BACK {
                start_write_back(&temp.file, started, written - started);
                started = written;
            }
        }
        intake.finish(digest)?;
        temp.sync()?;
        self.publish_temp(digest, temp)
    }

    /// Puts a finished file of the caller in place: by rename, or by copy from another disk.
    pub(super) fn adopt_file(
        &self,
        digest: &Digest,
        size: u64,
        path: &Path,
    ) -> Result<(), StoreError> {
        let source = |e: io::Error| StoreError::Source(format!("{}: {e}", path.display()));
        let mut file = File::open(path).map_err(source)?;
        let meta = file.metadata().map_err(source)?;
        if meta.len() != size {
            let len = meta.len();
            return Err(StoreError::Mismatch(format!("the file has {len} bytes, not {size}")));
        }
        let ours = fs::metadata(&self.temp)
            .map_err(|e| unavailable("opening the temporary directory", &self.temp, &e))?;
        if meta.dev() == ours.dev() {
            file.sync_data().map_err(source)?;
            match self.publish(digest, path) {
                Err(Unpublished::OtherDevice) => {}
                Err(Unpublished::Failed(e)) => return Err(e),
                Ok(()) => return Ok(()),
            }
        }
        let mut temp = TempFile::create(self)?;
        let copied = io::copy(&mut file, &mut temp.file)
            .map_err(|e| disk_error("copying into", &temp.path, &e))?;
        if copied != size {
            return Err(StoreError::Source(format!("{} shrank while read", path.display())));
        }
        temp.sync()?;
        self.publish_temp(digest, temp)
    }

    fn publish_temp(&self, digest: &Digest, mut temp: TempFile) -> Result<(), StoreError> {
        match self.publish(digest, &temp.path) {
            Ok(()) => {
                temp.published = true;
                Ok(())
            }
            Err(Unpublished::Failed(e)) => Err(e),
            Err(Unpublished::OtherDevice) => Err(StoreError::unavailable(format!(
                "{} and its {TEMP} are on different file systems",
                self.root.display()
            ))),
        }
    }

    /// Renames a synced file to its object name and makes the name durable.
    fn publish(&self, digest: &Digest, from: &Path) -> Result<(), Unpublished> {
        let name = object_name(digest);
        let to = self.root.join(&name);
        let known = self.known.contains(digest);
        if !known {
            self.make_directories(&name)?;
        }
        match fs::rename(from, &to) {
            Ok(()) => {}
            // Someone tidied the directory away since we last used it.
            Err(e) if known && is_absent(&e) => {
                self.known.forget(digest);
                return self.publish(digest, from);
            }
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
                return Err(Unpublished::OtherDevice);
            }
            Err(e) => return Err(disk_error("renaming to", &to, &e).into()),
        }
        if !known {
            // After the rename, so that one journal commit carries all of them.
            sync_directory(&self.root)?;
            sync_directory(&self.root.join(&name[..2]))?;
        }
        sync_directory(&self.root.join(&name[..5]))?;
        self.known.insert(digest);
        Ok(())
    }

    fn make_directories(&self, name: &str) -> Result<(), StoreError> {
        for directory in [&name[..2], &name[..5]] {
            let path = self.root.join(directory);
            match fs::create_dir(&path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(disk_error("creating the directory", &path, &e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn write_marker(&self, marker: &Marker) -> Result<(), StoreError> {
        self.require_root()?;
        self.ensure_temp()?;
        let mut text = serde_json::to_vec_pretty(marker)
            .map_err(|e| StoreError::failed(format!("encoding the marker: {e}")))?;
        text.push(b'\n');
        let mut temp = TempFile::create(self)?;
        temp.write(&text)?;
        temp.sync()?;
        let to = self.root.join(MARKER);
        fs::rename(&temp.path, &to).map_err(|e| disk_error("renaming to", &to, &e))?;
        temp.published = true;
        sync_directory(&self.root)
    }

    /// What was found is deleted only while the caller waits: a list that took too long may name files
    /// of writes that began since.
    pub(super) fn clean_unfinished(
        &self,
        age: Duration,
        is_given_up: impl Fn() -> bool,
    ) -> Result<u64, StoreError> {
        self.require_marker()?;
        self.ensure_temp()?;
        let mut removed = 0;
        for path in self.unfinished(age)? {
            if is_given_up() {
                break;
            }
            match fs::remove_file(&path) {
                Ok(()) => removed += 1,
                Err(e) if is_absent(&e) => {}
                Err(e) => return Err(disk_error("deleting", &path, &e)),
            }
        }
        Ok(removed)
    }

    /// Temporary files that were last written `age` ago or earlier.
    fn unfinished(&self, age: Duration) -> Result<Vec<PathBuf>, StoreError> {
        let read = |e| unavailable("reading", &self.temp, &e);
        let mut old = Vec::new();
        for entry in fs::read_dir(&self.temp).map_err(read)? {
            let entry = entry.map_err(read)?;
            match entry.metadata() {
                // The file system stamps with the system's clock, so that is what age is told by.
                Ok(meta) if Clock::System.now().since(modified(&meta)) >= age => {
                    old.push(entry.path());
                }
                Ok(_) => {}
                Err(e) if is_absent(&e) => {}
                Err(e) => return Err(disk_error("looking at", &entry.path(), &e)),
            }
        }
        Ok(old)
    }
}

/// Why a file was not renamed into place.
enum Unpublished {
    OtherDevice,
    Failed(StoreError),
}

impl From<StoreError> for Unpublished {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| disk_error("syncing the directory", path, &e))
}

/// Starts write-back of a range without waiting for it. On Linux `DONTNEED` begins asynchronous
/// write-back of dirty pages; only clean ones leave the cache. Advice: its failure costs speed only.
fn start_write_back(file: &File, offset: u64, len: u64) {
    if let Some(len) = std::num::NonZeroU64::new(len) {
        let _ = fadvise(file, offset, Some(len), Advice::DontNeed);
    }
}
