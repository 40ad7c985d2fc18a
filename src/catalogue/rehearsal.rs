//! What a start of this version would do to a catalogue, found out without changing it.
//!
//! The file is opened for reading; whatever redb writes (a repair, the upgrade, its own header)
//! stays in memory. So the rehearsal runs the very code of a start, on a file that may lie on a
//! read-only medium, and ends without a trace.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
};

use super::{
    AuditRecord, Catalogue, CatalogueError, Session, Token, open, records, tables, upgrade,
};
use crate::api::Run;
use crate::domain::{FileId, ScopeId, StoreId};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rehearsal {
    /// The format of the file.
    pub format: u32,
    /// The format after a start of this version.
    pub becomes: u32,
    /// Rows of all kinds that were read after it, each of them whole.
    pub records: u64,
}

impl Catalogue {
    /// Opens the catalogue as a start would, upgrade included, and reads every row; `None` when
    /// there is no file. `cache`: bytes of page cache. An upgrade that rewrites much holds as much
    /// in memory.
    pub fn rehearse(path: &Path, cache: usize) -> Result<Option<Rehearsal>, CatalogueError> {
        let unreadable =
            |e: &dyn std::fmt::Display| CatalogueError::Unreadable(path.to_owned(), e.to_string());
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unreadable(&e)),
        };
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(CatalogueError::Locked(path.to_owned()));
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(unreadable(&e)),
        }
        open::check_magic(&file).map_err(|e| unreadable(&e))?;
        let overlay = Overlay::new(file).map_err(|e| unreadable(&e))?;
        let rehearsed = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let database =
                Database::builder().set_cache_size(cache).create_with_backend(overlay)?;
            start(path, &database)
        }));
        rehearsed.unwrap_or_else(|_| Err(unreadable(&"its structure is broken"))).map(Some)
    }
}

fn start(path: &Path, database: &Database) -> Result<Rehearsal, CatalogueError> {
    let format = upgrade::stored_format(database)?;
    open::initialise(path, database)?;
    let becomes = upgrade::FORMAT;
    let records = read_all(&database.begin_read()?)?;
    Ok(Rehearsal { format: format.unwrap_or(becomes), becomes, records })
}

/// Reads every row that holds a record, and counts them.
fn read_all(txn: &ReadTransaction) -> Result<u64, CatalogueError> {
    let json = |bytes: &[u8]| records::decode_json::<serde_json::Value>(bytes).map(drop);
    let mut read = 0;
    read += each(txn, tables::META, |_, v| json(v))?;
    read += each(txn, tables::SCOPES, |id, v| records::decode_scope(ScopeId(id), v).map(drop))?;
    read += each(txn, tables::STORES, |id, v| records::decode_store(StoreId(id), v).map(drop))?;
    read += each(txn, tables::LINKS, |(scope, store), v| {
        records::decode_link(ScopeId(scope), StoreId(store), v).map(drop)
    })?;
    read += each(txn, tables::FILES, |id, v| records::decode_file(FileId(id), v).map(drop))?;
    read += each(txn, tables::ENTRIES, |_, v| records::decode_entry(v).map(drop))?;
    read += each(txn, tables::TOMBSTONES, |_, v| records::decode_tombstone(v).map(drop))?;
    read += each(txn, tables::TOKENS, |_, v| records::decode_json::<Token>(v).map(drop))?;
    read += each(txn, tables::SESSIONS, |_, v| records::decode_json::<Session>(v).map(drop))?;
    read += each(txn, tables::AUDIT, |_, v| records::decode_json::<AuditRecord>(v).map(drop))?;
    read += each(txn, tables::RUNS, |_, v| records::decode_json::<Run>(v).map(drop))?;
    Ok(read)
}

fn each<K: redb::Key + 'static>(
    txn: &ReadTransaction,
    table: TableDefinition<'_, K, &'static [u8]>,
    decode: impl Fn(K::SelfType<'_>, &[u8]) -> Result<(), CatalogueError>,
) -> Result<u64, CatalogueError> {
    let mut read = 0;
    for row in txn.open_table(table)?.iter()? {
        let (key, value) = row?;
        decode(key.value(), value.value())?;
        read += 1;
    }
    Ok(read)
}

const BLOCK: usize = 4096;

/// A file whose changes stay in memory.
#[derive(Debug)]
struct Overlay {
    file: File,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    len: u64,
    /// How much of the file still shows through: what was cut off does not come back.
    below: u64,
    /// By number; each holds all of its bytes.
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
}

impl Overlay {
    fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let changed = Changed { len, below: len, blocks: BTreeMap::new() };
        Ok(Self { file, changed: Mutex::new(changed) })
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first `below` bytes of the file, and zeros behind them.
    fn read_file(&self, below: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = usize::try_from(below.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (there, behind) = out.split_at_mut(there.min(out.len()));
        behind.fill(0);
        self.file.read_exact_at(there, offset)
    }
}

/// The parts of a range by blocks: number, offset in the block, offset in the range, length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at;
        let place = offset + from as u64;
        // Less than a block, so that the cast keeps it.
        let within = usize::try_from(place % BLOCK as u64).ok()?;
        let count = (BLOCK - within).min(len - from);
        at += count;
        (count > 0).then_some((place / BLOCK as u64, within, from, count))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changed().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.changed();
        if offset + out.len() as u64 > changed.len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.read_file(changed.below, offset, out)?;
        for (number, within, from, count) in parts(offset, out.len()) {
            if let Some(block) = changed.blocks.get(&number) {
                out[from..from + count].copy_from_slice(&block[within..within + count]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.changed();
        if len < changed.len {
            let within = usize::try_from(len % BLOCK as u64).unwrap_or_default();
            changed.blocks.split_off(&len.div_ceil(BLOCK as u64));
            if let Some(last) = changed.blocks.get_mut(&(len / BLOCK as u64)) {
                last[within..].fill(0);
            }
            changed.below = changed.below.min(len);
        }
        changed.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changed = self.changed();
        let below = changed.below;
        for (number, within, from, count) in parts(offset, data.len()) {
            let block = match changed.blocks.entry(number) {
                Entry::Occupied(block) => block.into_mut(),
                Entry::Vacant(place) => {
                    let mut block = Box::new([0; BLOCK]);
                    self.read_file(below, number * BLOCK as u64, block.as_mut_slice())?;
                    place.insert(block)
                }
            };
            block[within..within + count].copy_from_slice(&data[from..from + count]);
        }
        changed.len = changed.len.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Options;

    #[test]
    fn the_overlay_reads_back_what_was_written_and_leaves_the_file_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        let original: Vec<u8> = (0..10_000u32).map(|i| i.to_le_bytes()[0]).collect();
        std::fs::write(&path, &original).expect("written");
        let overlay = Overlay::new(File::open(&path).expect("open")).expect("an overlay");
        overlay.write(4090, &[7; 20]).expect("across blocks");
        overlay.set_len(12_000).expect("grown");
        overlay.write(9_990, &[8; 20]).expect("across the end");
        let mut expected = original.clone();
        expected.resize(12_000, 0);
        expected[4090..4110].fill(7);
        expected[9_990..10_010].fill(8);
        let mut read = vec![1; 12_000];
        overlay.read(0, &mut read).expect("all");
        assert_eq!(read, expected);
        overlay.set_len(5000).expect("cut");
        overlay.set_len(9000).expect("grown again");
        expected[5000..].fill(0);
        let mut read = vec![1; 9000];
        overlay.read(0, &mut read).expect("all");
        assert_eq!(read, expected[..9000]);
        assert!(overlay.read(8_990, &mut [0; 20]).is_err(), "behind the end");
        assert_eq!(std::fs::read(&path).expect("read"), original);
    }

    #[tokio::test]
    async fn a_rehearsal_leaves_every_byte_and_tells_an_open_catalogue() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("hayloft.redb");
        assert_eq!(Catalogue::rehearse(&path, 1 << 20).expect("no file"), None);
        let catalogue = Catalogue::open(&path, &Options::default()).expect("a new catalogue");
        let in_use = Catalogue::rehearse(&path, 1 << 20);
        assert!(matches!(in_use, Err(CatalogueError::Locked(_))), "{in_use:?}");
        catalogue.close().await.expect("closed");
        let before = std::fs::read(&path).expect("read");
        let found = Catalogue::rehearse(&path, 1 << 20).expect("readable").expect("there");
        assert_eq!((found.format, found.becomes), (upgrade::FORMAT, upgrade::FORMAT));
        assert!(found.records >= 2, "format and instance id: {found:?}");
        assert_eq!(std::fs::read(&path).expect("read"), before);
        std::fs::write(&path, "not a catalogue").expect("written");
        let foreign = Catalogue::rehearse(&path, 1 << 20);
        assert!(matches!(foreign, Err(CatalogueError::Unreadable(..))), "{foreign:?}");
    }
}
