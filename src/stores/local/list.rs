//! Walking the directories: listing, emptiness, and tidying up at the end.

use std::fs;
use std::io;
use std::path::Path;

use super::{Disk, LOST_AND_FOUND, TEMP, disk_error, is_absent, modified, unavailable};
use crate::domain::Digest;
use crate::stores::names::{MARKER, parse_hex};
use crate::stores::{Listed, Page, StoreError};

impl Disk {
    /// Objects after `after`, one `ab/cd` directory in memory at a time.
    pub(super) fn list(&self, after: Option<Digest>, limit: usize) -> Result<Page, StoreError> {
        let limit = limit.clamp(1, 1000);
        let from = after.map(Digest::to_hex).unwrap_or_default();
        let mut page = Page::default();
        for ab in branches(&self.root, from.get(..2).unwrap_or_default())? {
            let above = self.root.join(&ab);
            // The second level is bounded by `after` only within the branch where `after` lies.
            let lowest = if from.starts_with(&ab) { &from[2..4] } else { "" };
            for cd in branches(&above, lowest)? {
                self.list_directory(&above.join(&cd), &[&ab, &cd], &from, &mut page)?;
                if page.objects.len() > limit {
                    page.objects.truncate(limit);
                    page.next = page.objects.last().map(|o| o.digest);
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    fn list_directory(
        &self,
        path: &Path,
        branch: &[&str; 2],
        from: &str,
        page: &mut Page,
    ) -> Result<(), StoreError> {
        let mut names: Vec<String> = directory_names(path)?
            .into_iter()
            .filter(|n| n.as_str() > from && n[..2] == *branch[0] && n[2..4] == *branch[1])
            .collect();
        names.sort_unstable();
        for name in names {
            let Some(digest) = parse_hex(&name) else { continue };
            if let Some(stat) = self.stat_listed(&path.join(&name))? {
                page.objects.push(Listed { digest, size: stat.0, modified: Some(stat.1) });
            }
        }
        Ok(())
    }

    /// Size and time; `None` for what is no plain file or went away since it was listed.
    fn stat_listed(
        &self,
        path: &Path,
    ) -> Result<Option<(u64, crate::domain::Timestamp)>, StoreError> {
        match fs::symlink_metadata(path) {
            Ok(meta) => Ok(meta.is_file().then(|| (meta.len(), modified(&meta)))),
            // Gone with its volume is not the same as gone by a delete.
            Err(e) if is_absent(&e) => self.require_root().map(|()| None),
            Err(e) => Err(disk_error("looking at", path, &e)),
        }
    }

    pub(super) fn is_empty(&self) -> Result<bool, StoreError> {
        let read = |e| unavailable("reading", &self.root, &e);
        for entry in fs::read_dir(&self.root).map_err(read)? {
            let name = entry.map_err(read)?.file_name();
            let ours_and_empty = name == TEMP && is_empty_directory(&self.temp)?;
            if name != LOST_AND_FOUND && !ours_and_empty {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the marker last, so that a crash in between leaves a store that can be opened.
    pub(super) fn delete_marker(&self) -> Result<(), StoreError> {
        self.require_root()?;
        for ab in branches(&self.root, "")? {
            let above = self.root.join(&ab);
            for cd in branches(&above, "")? {
                remove_if_empty(&above.join(cd))?;
            }
            remove_if_empty(&above)?;
        }
        match fs::read_dir(&self.temp) {
            Ok(entries) => {
                for entry in entries {
                    let path = entry.map_err(|e| disk_error("reading", &self.temp, &e))?.path();
                    gone(fs::remove_file(&path), &path)?;
                }
                remove_if_empty(&self.temp)?;
            }
            Err(e) if is_absent(&e) => {}
            Err(e) => return Err(disk_error("reading", &self.temp, &e)),
        }
        let marker = self.root.join(MARKER);
        gone(fs::remove_file(&marker), &marker)?;
        super::write::sync_directory(&self.root)
    }
}

/// Directory names of two hex digits that are not below `lowest`, in order.
fn branches(path: &Path, lowest: &str) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) => return Err(unavailable("reading", path, &e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| unavailable("reading", path, &e))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let hex = name.len() == 2 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex && name.as_str() >= lowest && entry.file_type().is_ok_and(|t| t.is_dir()) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Names of our shape in one directory.
fn directory_names(path: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| unavailable("reading", path, &e))? {
        let entry = entry.map_err(|e| unavailable("reading", path, &e))?;
        if let Ok(name) = entry.file_name().into_string()
            && parse_hex(&name).is_some()
        {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_empty_directory(path: &Path) -> Result<bool, StoreError> {
    let mut entries = fs::read_dir(path).map_err(|e| unavailable("reading", path, &e))?;
    Ok(entries.next().is_none())
}

/// Removes a directory unless something is in it.
fn remove_if_empty(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => gone(result, path),
    }
}

fn gone(result: io::Result<()>, path: &Path) -> Result<(), StoreError> {
    match result {
        Err(e) if !is_absent(&e) => Err(disk_error("removing", path, &e)),
        _ => Ok(()),
    }
}
