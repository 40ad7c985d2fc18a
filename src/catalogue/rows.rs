//! Rows of a table for keys that mostly ascend.

use std::cmp::Ordering;

use redb::{AccessGuard, Key, Range, ReadOnlyTable, Value};

use super::CatalogueError;

/// Rows stepped over on the way to the next key: about what it costs to go down the tree.
const STEPS: usize = 16;

/// Looks keys up beginning where the last one was: a neighbour costs a step of the cursor, not a way
/// down the tree. Keys in any order are found; ascending ones are quick.
pub(super) struct Rows<'t, K: Key + 'static, V: Value + 'static> {
    table: &'t ReadOnlyTable<K, V>,
    cursor: Option<Range<'static, K, V>>,
    /// Where the cursor was set down, and the last row that it has left behind since.
    begin: Option<K>,
    behind: Option<K>,
    /// The row that the cursor has handed out too early.
    ahead: Option<(K, AccessGuard<'static, V>)>,
}

impl<'t, K, V> Rows<'t, K, V>
where
    K: Key + Ord + Copy + 'static,
    K: for<'a> Value<SelfType<'a> = K>,
    V: Value + 'static,
{
    pub fn of(table: &'t ReadOnlyTable<K, V>) -> Self {
        Self { table, cursor: None, begin: None, behind: None, ahead: None }
    }

    pub fn get(&mut self, key: K) -> Result<Option<AccessGuard<'static, V>>, CatalogueError> {
        let is_behind = self.behind.is_some_and(|last| key <= last);
        if is_behind || self.begin.is_none_or(|begin| key < begin) {
            self.seek(key)?;
        }
        let mut steps = 0;
        while let Some((at, value)) = self.next()? {
            match at.cmp(&key) {
                Ordering::Equal => {
                    self.behind = Some(at);
                    return Ok(Some(value));
                }
                Ordering::Greater => {
                    self.ahead = Some((at, value));
                    return Ok(None);
                }
                Ordering::Less if steps == STEPS => self.seek(key)?,
                Ordering::Less => {
                    self.behind = Some(at);
                    steps += 1;
                }
            }
        }
        Ok(None)
    }

    fn seek(&mut self, key: K) -> Result<(), CatalogueError> {
        self.cursor = Some(self.table.range(key..)?);
        (self.begin, self.behind, self.ahead) = (Some(key), None, None);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(K, AccessGuard<'static, V>)>, CatalogueError> {
        if let Some(row) = self.ahead.take() {
            return Ok(Some(row));
        }
        let row = self.cursor.as_mut().and_then(Iterator::next).transpose()?;
        Ok(row.map(|(key, value)| (key.value(), value)))
    }
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableDatabase, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<'_, (u32, u64), u64> = TableDefinition::new("t");

    #[test]
    fn keys_in_any_order_are_found_and_others_are_not() {
        let memory = redb::backends::InMemoryBackend::new();
        let db = Database::builder().create_with_backend(memory).expect("database");
        let txn = db.begin_write().expect("write");
        {
            let mut table = txn.open_table(TABLE).expect("table");
            for n in (0..1000).filter(|n| n % 3 == 0) {
                table.insert((1, n), n).expect("insert");
            }
            table.insert((2, 0), 7).expect("insert");
        }
        txn.commit().expect("commit");
        let table = db.begin_read().expect("read").open_table(TABLE).expect("table");
        let mut rows = Rows::of(&table);
        let far = STEPS as u64 * 3;
        let ascending = (0..1000).chain([0, 0, 3, 3, 2, 3, far + 3, 6, 5, 998, 999, 1001]);
        let jumps = (0..1000).step_by(STEPS * 3 + 1).chain((0..1000).step_by(STEPS * 3));
        for n in ascending.chain(jumps).chain((0..1000).rev()) {
            let found = rows.get((1, n)).expect("get").map(|v| v.value());
            let expected = (n < 1000 && n % 3 == 0).then_some(n);
            assert_eq!(found, expected, "{n}");
        }
        assert_eq!(rows.get((2, 0)).expect("get").map(|v| v.value()), Some(7));
        assert!(rows.get((3, 0)).expect("get").is_none());
    }
}
