//! Opening the file: locks, format, ballast, and what is loaded into memory.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use redb::{Database, DatabaseError, ReadableDatabase};

use super::counters::{Counter, STATES};
use super::snapshot::Snapshot;
use super::upgrade::{self, FORMAT};
use super::writer::{SharedDatabase, Writer, WriterState, ballast_path};
use super::{Catalogue, CatalogueError, Changes, LastUses, Ledger, Settings, values};
use crate::clock::Clock;
use crate::domain::{ReplicaState, Timestamp};

/// Room that is given up when the disk is full, so that deletions can still be recorded.
const BALLAST: u64 = 8 << 20;
/// The first bytes of every redb file.
const MAGIC: [u8; 4] = *b"redb";

/// How to open a catalogue.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of redb's page cache.
    pub cache: usize,
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache: 32 << 20, clock: Clock::System }
    }
}

impl Catalogue {
    /// Opens or creates the catalogue at `path` (mode 0600).
    pub fn open(path: &Path, options: &Options) -> Result<Arc<Self>, CatalogueError> {
        let (database, loaded) = without_panic(path, || {
            let database = open_file(path, options.cache)?;
            initialise(path, &database)?;
            let loaded = load(&database)?;
            Ok((database, loaded))
        })?;
        keep_ballast(path);
        let database = Arc::new(SharedDatabase::new(path.to_owned(), options.cache, database));
        let settings = Arc::new(RwLock::new(Arc::new(loaded.settings)));
        let ledger = Arc::new(loaded.ledger);
        let changes = Arc::new(Changes::default());
        let writer = Writer::start(WriterState {
            database: Arc::clone(&database),
            settings: Arc::clone(&settings),
            ledger: Arc::clone(&ledger),
            changes: Arc::clone(&changes),
            clock: options.clock.clone(),
            last_created: loaded.last_created,
        })?;
        Ok(Arc::new(Self {
            path: path.to_owned(),
            clock: options.clock.clone(),
            database,
            settings,
            ledger,
            last_uses: LastUses::default(),
            changes,
            writer,
            instance: loaded.instance,
        }))
    }
}

/// Opens the file itself; a foreign or truncated one is refused, not overwritten.
pub(super) fn open_file(path: &Path, cache: usize) -> Result<Database, CatalogueError> {
    let unreadable = |why: String| CatalogueError::Unreadable(path.to_owned(), why);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| unreadable(e.to_string()))?;
    check_magic(&file).map_err(|e| unreadable(e.to_string()))?;
    drop(file);
    let mut builder = Database::builder();
    builder.set_cache_size(cache);
    without_panic(path, || match builder.create(path) {
        Ok(database) => Ok(database),
        Err(DatabaseError::DatabaseAlreadyOpen) => Err(CatalogueError::Locked(path.to_owned())),
        Err(error) => Err(unreadable(error.to_string())),
    })
}

/// redb trusts the structure of a file that was closed cleanly and may panic on outside damage.
fn without_panic<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, CatalogueError>,
) -> Result<T, CatalogueError> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let why = "its structure is broken".to_owned();
        Err(CatalogueError::Unreadable(path.to_owned(), why))
    })
}

/// An empty file is as good as none; any other must begin like a catalogue.
pub(super) fn check_magic(file: &File) -> io::Result<()> {
    let mut magic = [0; 4];
    if file.metadata()?.len() > 0 && (file.read_exact_at(&mut magic, 0).is_err() || magic != MAGIC)
    {
        return Err(io::Error::other("it does not begin like one"));
    }
    Ok(())
}

/// Writes the format and the instance id into a new file, upgrades an older one, refuses a newer.
pub(super) fn initialise(path: &Path, database: &Database) -> Result<(), CatalogueError> {
    match upgrade::stored_format(database)? {
        Some(found) if found > FORMAT => {
            Err(CatalogueError::Newer { path: path.to_owned(), found, known: FORMAT })
        }
        Some(found) => upgrade::upgrade(database, found),
        None => begin_anew(path, database),
    }
}

fn begin_anew(path: &Path, database: &Database) -> Result<(), CatalogueError> {
    let txn = upgrade::begin(database)?;
    {
        let mut tx = super::Tx::open(&txn, Arc::default(), Timestamp(0), Timestamp(0))?;
        tx.set_value(&values::FORMAT, &FORMAT)?;
        tx.set_value(&values::INSTANCE, &crate::random::hex(16))?;
    }
    txn.commit()?;
    // A directory entry that is lost takes the whole catalogue with it.
    if let Some(parent) = path.parent() {
        let synced = fs::File::open(parent).and_then(|dir| dir.sync_all());
        synced.map_err(|e| CatalogueError::Storage(e.to_string()))?;
    }
    Ok(())
}

struct Loaded {
    settings: Settings,
    ledger: Ledger,
    instance: String,
    last_created: Timestamp,
}

fn load(database: &Database) -> Result<Loaded, CatalogueError> {
    let snapshot = Snapshot::new(database.begin_read()?);
    let settings =
        Settings { topology: snapshot.load_topology()?, tokens: snapshot.load_tokens()? };
    let ledger = Ledger::default();
    let mut totals: BTreeMap<_, u64> = BTreeMap::new();
    for store in settings.topology.stores.keys() {
        for state in STATES.into_iter().filter(|s| *s != ReplicaState::Missing) {
            *totals.entry(*store).or_default() +=
                snapshot.count(&Counter::Store(*store, state))?.bytes;
        }
    }
    ledger.settle(&totals.into_iter().collect::<Vec<_>>(), &[]);
    let instance = snapshot
        .value(&values::INSTANCE)?
        .ok_or_else(|| CatalogueError::Corrupt("the instance id is missing".to_owned()))?;
    let last_created = snapshot.newest_file()?.map_or(Timestamp(0), |f| f.created_at);
    Ok(Loaded { settings, ledger, instance, last_created })
}

/// Keeps a ballast file beside the catalogue while there is room for it.
fn keep_ballast(path: &Path) {
    let ballast = ballast_path(path);
    if ballast.exists() {
        return;
    }
    if let Err(error) = make_ballast(&ballast) {
        tracing::warn!(%error, "no room for the catalogue's ballast file: free some disk space");
        remove_ballast(&ballast);
    }
}

fn make_ballast(ballast: &Path) -> std::io::Result<()> {
    let file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(ballast)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, BALLAST)?;
    Ok(())
}

fn remove_ballast(ballast: &PathBuf) {
    match fs::remove_file(ballast) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, "the ballast file cannot be removed");
        }
        _ => {}
    }
}

/// Makes room for the next commits on a full disk.
pub(super) fn give_up_ballast(path: &Path) {
    remove_ballast(&ballast_path(path));
}
