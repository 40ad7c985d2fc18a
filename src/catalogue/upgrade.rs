//! The format of the whole file, and how one of an older version becomes today's.
//!
//! Records carry versions of their own and are converted when they are read (see `records`), which
//! costs nothing at a start. A new format is for what that cannot do: a new table, other keys, a
//! row that has to be computed from others. All its steps and its number go into one transaction,
//! so that a start that is cut short leaves the old file as it was.

use redb::{Database, ReadableDatabase, WriteTransaction};

use super::{CatalogueError, Tx, tables, values};
use crate::domain::Timestamp;

/// The newest format that this version reads and writes.
pub const FORMAT: u32 = 1;

/// Leads from one format to the next; changes the file through the transaction alone.
type Step = fn(&WriteTransaction) -> Result<(), CatalogueError>;

/// The first leads from format 1 to 2. A step stays as it is once it was released.
const STEPS: &[Step] = &[];

const _: () = assert!(STEPS.len() + 1 == FORMAT as usize, "each format has the step to it");

/// The format of an existing file; `None` in one that is new.
pub fn stored_format(database: &Database) -> Result<Option<u32>, CatalogueError> {
    let txn = database.begin_read()?;
    match txn.open_table(tables::META) {
        Ok(meta) => values::read(&meta, &values::FORMAT),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Brings a file of format `found` to ours. The caller has refused a newer one.
pub fn upgrade(database: &Database, found: u32) -> Result<(), CatalogueError> {
    run(database, found, STEPS)
}

fn run(database: &Database, found: u32, steps: &[Step]) -> Result<(), CatalogueError> {
    let due = (found as usize).checked_sub(1).and_then(|done| steps.get(done..));
    let due =
        due.ok_or_else(|| CatalogueError::Corrupt(format!("no version wrote format {found}")))?;
    if due.is_empty() {
        return Ok(());
    }
    let new = steps.len() + 1;
    tracing::info!(found, new, "the catalogue is brought to a new format");
    let txn = begin(database)?;
    for step in due {
        step(&txn)?;
    }
    set_format(&txn, new)?;
    txn.commit()?;
    tracing::info!(format = new, "the catalogue has its new format");
    Ok(())
}

/// A transaction that survives a power cut whole or not at all, without a rescan.
pub fn begin(database: &Database) -> Result<WriteTransaction, CatalogueError> {
    let mut txn = database.begin_write()?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    Ok(txn)
}

/// Writes the number, and makes the tables that the new format has and the old one had not.
fn set_format(txn: &WriteTransaction, format: usize) -> Result<(), CatalogueError> {
    let format = u32::try_from(format).map_err(|e| CatalogueError::Corrupt(e.to_string()))?;
    let mut tx = Tx::open(txn, std::sync::Arc::default(), Timestamp(0), Timestamp(0))?;
    tx.set_value(&values::FORMAT, &format)
}

#[cfg(test)]
mod tests {
    use redb::{ReadableTable, TableDefinition};

    use super::*;
    use crate::catalogue::{Catalogue, Options};

    const ADDED: TableDefinition<'_, &str, u64> = TableDefinition::new("added_by_a_test");

    fn add(txn: &WriteTransaction) -> Result<(), CatalogueError> {
        txn.open_table(ADDED)?.insert("steps", 1)?;
        Ok(())
    }

    fn add_more(txn: &WriteTransaction) -> Result<(), CatalogueError> {
        let mut table = txn.open_table(ADDED)?;
        let before = table.get("steps")?.map_or(0, |v| v.value());
        table.insert("steps", before + 1)?;
        Ok(())
    }

    fn fail(_: &WriteTransaction) -> Result<(), CatalogueError> {
        Err(CatalogueError::Storage("as a test wants it".to_owned()))
    }

    fn steps(database: &Database) -> Option<u64> {
        let txn = database.begin_read().expect("a transaction");
        let table = txn.open_table(ADDED).ok()?;
        table.get("steps").expect("readable").map(|v| v.value())
    }

    /// A real catalogue of format 1, closed in order.
    async fn first_format(dir: &std::path::Path) -> std::path::PathBuf {
        let path = dir.join("hayloft.redb");
        let catalogue = Catalogue::open(&path, &Options::default()).expect("a new catalogue");
        catalogue.close().await.expect("closed");
        path
    }

    #[tokio::test]
    async fn the_steps_that_are_missing_run_once_and_in_order() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(first_format(dir.path()).await).expect("open");
        run(&database, 1, &[add]).expect("upgraded");
        assert_eq!((steps(&database), stored_format(&database).expect("read")), (Some(1), Some(2)));
        run(&database, 2, &[add, add_more]).expect("upgraded");
        assert_eq!((steps(&database), stored_format(&database).expect("read")), (Some(2), Some(3)));
        run(&database, 3, &[add, add_more]).expect("nothing to do");
        assert_eq!(steps(&database), Some(2));
    }

    #[tokio::test]
    async fn an_upgrade_that_fails_half_way_changes_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = first_format(dir.path()).await;
        let database = Database::open(&path).expect("open");
        run(&database, 1, &[add, fail]).expect_err("the second step fails");
        assert_eq!((steps(&database), stored_format(&database).expect("read")), (None, Some(1)));
        drop(database);
        let catalogue = Catalogue::open(&path, &Options::default()).expect("opens as before");
        catalogue.close().await.expect("closed");
    }

    #[tokio::test]
    async fn a_format_that_no_version_wrote_is_damage() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(first_format(dir.path()).await).expect("open");
        assert!(matches!(run(&database, 0, &[]), Err(CatalogueError::Corrupt(_))));
    }
}
