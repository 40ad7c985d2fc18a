//! Listings for people: one level of folders at a time, and what was deleted. Every item costs one
//! seek at most, whatever lies in a folder.

use std::ops::Bound;

use super::snapshot::path;
use super::{CatalogueError, Snapshot, records, tables};
use crate::domain::{Entry, FilePath, ScopeId, Tombstone};

/// A folder or a live entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// The path of a folder from the scope on, with its slash at the end.
    Folder(String),
    Entry(FilePath, Entry),
}

/// A page of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items<T> {
    pub items: Vec<T>,
    /// True when more follow the last one.
    pub more: bool,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { items: Vec::new(), more: false }
    }
}

/// Below every path that does not begin with `folder`, and above all that do.
fn past(folder: &str) -> String {
    // '0' is the character after '/'.
    format!("{}0", folder.trim_end_matches('/'))
}

impl Snapshot {
    /// The entries whose paths are `prefix` and a name, and the folders for what lies deeper, in path
    /// order. `after` is an item of the page before.
    pub fn level(
        &self,
        scope: ScopeId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Items<Listed>, CatalogueError> {
        let table = self.table(tables::ENTRIES)?;
        let mut from = match after.filter(|after| *after >= prefix) {
            Some(folder) if folder.ends_with('/') => Bound::Included(past(folder)),
            Some(entry) => Bound::Excluded(entry.to_owned()),
            None => Bound::Included(prefix.to_owned()),
        };
        let mut page = Items::default();
        loop {
            let start = from.as_ref().map(|text| (scope.0, text.as_str()));
            let mut folder = None;
            for row in table.range((start, Bound::Excluded((scope.0 + 1, ""))))? {
                let (key, value) = row?;
                let (_, text) = key.value();
                let Some(rest) = text.strip_prefix(prefix) else { return Ok(page) };
                if page.items.len() == limit {
                    page.more = true;
                    return Ok(page);
                }
                if let Some(slash) = rest.find('/') {
                    folder = text.get(..=prefix.len() + slash).map(str::to_owned);
                    break;
                }
                let entry = records::decode_entry(value.value())?;
                page.items.push(Listed::Entry(path(text)?, entry));
            }
            let Some(folder) = folder else { return Ok(page) };
            from = Bound::Included(past(&folder));
            page.items.push(Listed::Folder(folder));
        }
    }

    /// The newest tombstone of each path with `prefix` after the path `after`, in path order.
    pub fn deleted(
        &self,
        scope: ScopeId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Items<Tombstone>, CatalogueError> {
        let paths = self.table(tables::TOMBSTONE_PATHS)?;
        let tombstones = self.table(tables::TOMBSTONES)?;
        let mut from = match after.filter(|after| *after >= prefix) {
            Some(path) => Bound::Excluded((path.to_owned(), u64::MAX)),
            None => Bound::Included((prefix.to_owned(), 0)),
        };
        let mut page = Items::default();
        loop {
            let start = from.as_ref().map(|(text, id)| (scope.0, text.as_str(), *id));
            let mut rows = paths.range((start, Bound::Excluded((scope.0 + 1, "", 0))))?;
            let Some(row) = rows.next().transpose()? else { return Ok(page) };
            let text = row.0.value().1.to_owned();
            if !text.starts_with(prefix) {
                return Ok(page);
            }
            if page.items.len() == limit {
                page.more = true;
                return Ok(page);
            }
            let of_path = (scope.0, text.as_str(), 0)..=(scope.0, text.as_str(), u64::MAX);
            let newest = paths.range(of_path)?.next_back().transpose()?;
            let newest = newest.map(|(key, _)| key.value().2);
            if let Some(id) = newest
                && let Some(bytes) = tombstones.get(id)?
            {
                page.items.push(records::decode_tombstone(bytes.value())?);
            }
            from = Bound::Excluded((text, u64::MAX));
        }
    }
}
