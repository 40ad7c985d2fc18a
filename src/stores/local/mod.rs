//! A store in a directory of this machine.
//!
//! Layout: `<root>/ab/cd/<64 hex>`, the marker `<root>/.hayloft-store`, temporary files in
//! `<root>/.hayloft-tmp/` (mode 0700, same file system, so that publishing is a rename).
//!
//! The temporary directory is made together with the marker and never by `put`: the empty mount
//! point of an unmounted disk has none, so no write can start there (SPEC 2, "unavailable is not
//! empty").

mod check;
mod list;
mod read;
mod write;

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::io::Errno;

use super::lane::{Lane, SILENCE};
use super::names::{MARKER, object_name};
use super::{
    Backend, Body, ByteStream, Marker, ObjectStat, Page, StepResult, StepSeen, StoreError, Stored,
};
use crate::domain::{Digest, DiskFault, StoreProblem, Timestamp};

/// The name of the directory for unfinished files.
const TEMP: &str = ".hayloft-tmp";
/// What a freshly made ext file system contains; not content of anyone.
const LOST_AND_FOUND: &str = "lost+found";

/// Calls to one disk at once: as many as the whole program had once, for all disks, and more than any
/// disk gains from. The program has six times as many threads (see `cli::main`), so that disks which
/// hang leave the catalogue and the other stores enough of them.
const THREADS: usize = 64;
/// Copies into one disk at once, which hold their thread while the source is slow: as many as
/// `maintenance.concurrency` may be, so that it is never them who wait here.
const WRITERS: usize = 64;
/// Free room is asked for again after this long.
const FRESH: Duration = Duration::from_secs(10);
/// How long a question for free room may hold its caller.
const GLANCE: Duration = Duration::from_secs(1);

/// A directory as a store.
#[derive(Debug, Clone)]
pub struct LocalStore {
    disk: Arc<Disk>,
    lane: Lane,
    writers: Lane,
    /// One look at the marker at a time: whoever comes next learns nothing from a second that hangs.
    looks: Lane,
}

/// The blocking half: everything here runs on threads that may wait for the disk.
#[derive(Debug)]
struct Disk {
    root: PathBuf,
    temp: PathBuf,
    known: KnownDirectories,
    /// The temporary directory was seen to once since the store was opened.
    has_temp: AtomicBool,
    /// Bytes free, and when that was.
    free: Mutex<Option<(Instant, u64)>>,
}

impl LocalStore {
    /// The store in the directory `root`. Does not look at it: a disk that hangs shows when it is used.
    pub fn open(root: &Path) -> Self {
        Self::with_silence(root, SILENCE)
    }

    /// The same, giving a disk up that is silent for so long.
    pub fn with_silence(root: &Path, silence: Duration) -> Self {
        let disk = Disk {
            root: root.to_owned(),
            temp: root.join(TEMP),
            known: KnownDirectories::default(),
            has_temp: AtomicBool::new(false),
            free: Mutex::default(),
        };
        let [lane, writers, looks] = [THREADS, WRITERS, 1].map(|n| Lane::new(n, silence));
        Self { disk: Arc::new(disk), lane, writers, looks }
    }

    /// Makes the directory, with its parents, where it does not exist yet, and opens it.
    pub async fn create(root: &Path) -> Result<Self, StoreError> {
        let store = Self::open(root);
        let make = |disk: &Disk| {
            let root = &disk.root;
            fs::create_dir_all(root).map_err(|e| disk_error("creating the directory", root, &e))?;
            disk.require_root()
        };
        store.ask(make).await?;
        Ok(store)
    }

    /// Runs `work` where it may block, however long it takes.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let disk = Arc::clone(&self.disk);
        self.lane.run(move || work(&disk)).await
    }

    /// The same for what a disk that is well does in no time.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let disk = Arc::clone(&self.disk);
        self.lane.ask(move || work(&disk)).await
    }
}

fn no_marker(location: String) -> StoreProblem {
    StoreProblem::NoMarkerInDirectory { location }
}

impl Disk {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn object_path(&self, digest: &Digest) -> PathBuf {
        self.root.join(object_name(digest))
    }

    fn require_root(&self) -> Result<(), StoreError> {
        let meta = fs::metadata(&self.root)
            .map_err(|e| unavailable("opening the root", &self.root, &e))?;
        if meta.is_dir() {
            return Ok(());
        }
        let path = self.root.display().to_string();
        Err(StoreError::unavailable(StoreProblem::NotADirectory { path }))
    }

    fn read_marker(&self) -> Result<Option<Marker>, StoreError> {
        let path = self.root.join(MARKER);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return self.require_root().map(|()| None);
            }
            Err(e) => return Err(unavailable("reading the marker", &path, &e)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            let (marker, error) = (path.display().to_string(), e.to_string());
            StoreError::unavailable(StoreProblem::MarkerUnreadable { marker, error })
        })
    }

    /// `Ok` when the marker is readable, so that an absent file is really absent.
    fn require_marker(&self) -> Result<(), StoreError> {
        match self.read_marker()? {
            Some(_) => Ok(()),
            None => Err(StoreError::unavailable(no_marker(self.location()))),
        }
    }

    /// Makes the directory for unfinished files, private to us.
    fn ensure_temp(&self) -> Result<(), StoreError> {
        match fs::DirBuilder::new().mode(0o700).create(&self.temp) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                Err(disk_error("creating the temporary directory", &self.temp, &e))
            }
            _ => Ok(()),
        }
    }

    fn stat(&self, digest: &Digest) -> Result<Option<ObjectStat>, StoreError> {
        let path = self.object_path(digest);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() => {
                Ok(Some(ObjectStat { size: meta.len(), modified: Some(modified(&meta)) }))
            }
            Ok(_) => Err(StoreError::failed(format!("{} is not a plain file", path.display()))),
            Err(e) if is_absent(&e) => self.require_marker().map(|()| None),
            Err(e) => Err(disk_error("looking at", &path, &e)),
        }
    }

    fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.object_path(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(e) if is_absent(&e) => self.require_marker(),
            Err(e) => Err(disk_error("deleting", &path, &e)),
        }
    }

    /// What a look at the store consists of: its marker, and what is to be known besides.
    fn look(&self) -> Result<Option<Marker>, StoreError> {
        let marker = self.read_marker()?;
        // A marker without its temporary directory: restored from a backup that left it out.
        if marker.is_some()
            && !self.has_temp.swap(true, Ordering::Relaxed)
            && let Err(error) = self.ensure_temp()
        {
            // A file system that is read-only now can still be read.
            tracing::warn!(root = %self.root.display(), %error, "the store takes no uploads");
        }
        // Some file systems do not tell, and can be used all the same.
        self.count_free().ok();
        Ok(marker)
    }

    fn count_free(&self) -> Result<u64, StoreError> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|e| unavailable("asking for free space of", &self.root, &e.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), free));
        Ok(free)
    }

    fn free_as_known(&self) -> Option<(Instant, u64)> {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for LocalStore {
    async fn put(&self, digest: &Digest, size: u64, body: Body) -> Result<Stored, StoreError> {
        match body {
            Body::Verified(path) => {
                let digest = *digest;
                self.blocking(move |disk| disk.adopt_file(&digest, size, &path)).await?;
            }
            Body::Bytes(bytes) => {
                let digest = *digest;
                self.blocking(move |disk| disk.put_known(&digest, &[bytes])).await?;
            }
            Body::Stream(stream) | Body::Local { stream, .. } => {
                self.put_stream(digest, size, stream).await?;
            }
        }
        Ok(Stored { verified: true })
    }

    async fn get(
        &self,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        let digest = *digest;
        let opened = self.ask(move |disk| disk.open_object(&digest, range)).await?;
        Ok(opened.stream(&self.lane))
    }

    async fn stat(&self, digest: &Digest) -> Result<Option<ObjectStat>, StoreError> {
        let digest = *digest;
        self.ask(move |disk| disk.stat(&digest)).await
    }

    async fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        let digest = *digest;
        self.blocking(move |disk| disk.delete(&digest)).await
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Page, StoreError> {
        let after = after.copied();
        self.blocking(move |disk| disk.list(after, limit)).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.blocking(Disk::is_empty).await
    }

    async fn read_marker(&self) -> Result<Option<Marker>, StoreError> {
        let disk = Arc::clone(&self.disk);
        self.looks.ask(move || disk.look()).await
    }

    async fn write_marker(&self, marker: &Marker) -> Result<(), StoreError> {
        let marker = marker.clone();
        self.blocking(move |disk| disk.write_marker(&marker)).await
    }

    async fn delete_marker(&self) -> Result<(), StoreError> {
        self.blocking(Disk::delete_marker).await
    }

    async fn clean_unfinished(&self, age: Duration) -> Result<u64, StoreError> {
        let (caller, _waits) = tokio::sync::oneshot::channel::<()>();
        self.blocking(move |disk| disk.clean_unfinished(age, || caller.is_closed())).await
    }

    fn local_path(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.disk.object_path(digest))
    }

    fn staging_dir(&self) -> Option<&Path> {
        Some(&self.disk.temp)
    }

    fn lane(&self) -> Option<&Lane> {
        Some(&self.lane)
    }

    fn free_space(&self) -> Result<Option<u64>, StoreError> {
        let known = self.disk.free_as_known();
        if let Some((at, free)) = known
            && at.elapsed() < FRESH
        {
            return Ok(Some(free));
        }
        let disk = Arc::clone(&self.disk);
        match (self.looks.ask_blocking(GLANCE, move || disk.count_free()), known) {
            (Some(asked), _) => asked.map(Some),
            // A look is under way.
            (None, Some((_, free))) => Ok(Some(free)),
            (None, None) => Ok(None),
        }
    }

    async fn check(&self, expected: Option<&Marker>, seen: StepSeen<'_>) -> Vec<StepResult> {
        check::run(self, expected, seen).await
    }
}

/// Which of the 65,536 `ab/cd` directories are known to exist durably, one bit each.
#[derive(Debug)]
struct KnownDirectories(Box<[AtomicU64]>);

impl Default for KnownDirectories {
    fn default() -> Self {
        Self((0..1024).map(|_| AtomicU64::new(0)).collect())
    }
}

impl KnownDirectories {
    fn slot(&self, digest: &Digest) -> (&AtomicU64, u64) {
        let n = u16::from_be_bytes([digest.0[0], digest.0[1]]);
        (&self.0[usize::from(n / 64)], 1 << (n % 64))
    }

    fn contains(&self, digest: &Digest) -> bool {
        let (word, bit) = self.slot(digest);
        word.load(Ordering::Relaxed) & bit != 0
    }

    fn insert(&self, digest: &Digest) {
        let (word, bit) = self.slot(digest);
        word.fetch_or(bit, Ordering::Relaxed);
    }

    fn forget(&self, digest: &Digest) {
        let (word, bit) = self.slot(digest);
        word.fetch_and(!bit, Ordering::Relaxed);
    }
}

fn modified(meta: &fs::Metadata) -> Timestamp {
    Timestamp(meta.mtime().saturating_mul(1_000_000).saturating_add(meta.mtime_nsec() / 1000))
}

/// Absence of a file, or of a directory above it.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unavailable(what: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::unavailable(disk_problem(what, path, error, DiskFault::Volume))
}

fn disk_problem(what: &str, path: &Path, error: &io::Error, fault: DiskFault) -> StoreProblem {
    let (action, path, error) = (what.to_owned(), path.display().to_string(), error.to_string());
    StoreProblem::Disk { action, path, error, fault }
}

/// Trouble with the device or the process as a whole that has no `ErrorKind` of its own.
const SYSTEM_WIDE: [Errno; 5] =
    [Errno::MFILE, Errno::NFILE, Errno::NODEV, Errno::NXIO, Errno::HOSTDOWN];

/// Sorts an error of the operating system by meaning.
fn disk_error(what: &str, path: &Path, error: &io::Error) -> StoreError {
    let fault = fault(error);
    let problem = disk_problem(what, path, error, fault);
    match fault {
        DiskFault::Volume => StoreError::unavailable(problem),
        DiskFault::Full => StoreError::full(problem),
        DiskFault::File => StoreError::failed(problem),
    }
}

fn fault(error: &io::Error) -> DiskFault {
    use io::ErrorKind as Kind;
    if error.raw_os_error().is_some_and(|n| SYSTEM_WIDE.iter().any(|e| e.raw_os_error() == n)) {
        return DiskFault::Volume;
    }
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => DiskFault::Full,
        Kind::NotFound
        | Kind::NotADirectory
        | Kind::PermissionDenied
        | Kind::ReadOnlyFilesystem
        | Kind::StaleNetworkFileHandle
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::TimedOut
        | Kind::NotConnected => DiskFault::Volume,
        _ => DiskFault::File,
    }
}
