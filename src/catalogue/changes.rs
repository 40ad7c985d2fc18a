//! Which files were changed of late: whoever holds an older view of a file can tell.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::FileId;

/// Changes that are remembered; about 1 MB.
const REMEMBERED: usize = 16_384;

/// A point in the sequence of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark(u64);

/// The last commits that changed the place of a file or who has it. Reads do not count.
#[derive(Debug, Default)]
pub struct Changes(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    commits: u64,
    /// The newest commit of each file.
    newest: BTreeMap<FileId, u64>,
    /// In the order of commits; a file that was changed again is in it more than once.
    order: VecDeque<(FileId, u64)>,
    /// Nothing is known of commits up to this one.
    forgotten: u64,
}

impl Changes {
    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now: a snapshot that is taken afterwards has everything that was noted so far.
    pub fn mark(&self) -> Mark {
        Mark(self.lock().commits)
    }

    /// Whether `file` was changed after `mark`; also `true` when that is too long ago to know.
    pub fn is_changed_since(&self, file: FileId, mark: Mark) -> bool {
        let recent = self.lock();
        mark.0 < recent.forgotten || recent.newest.get(&file).is_some_and(|at| *at > mark.0)
    }

    /// A commit that everybody can see changed these files.
    pub(super) fn note(&self, files: &[FileId]) {
        if files.is_empty() {
            return;
        }
        let recent = &mut *self.lock();
        recent.commits += 1;
        for file in files {
            recent.newest.insert(*file, recent.commits);
            recent.order.push_back((*file, recent.commits));
        }
        while recent.order.len() > REMEMBERED {
            let Some((file, commit)) = recent.order.pop_front() else { return };
            recent.forgotten = commit;
            if recent.newest.get(&file) == Some(&commit) {
                recent.newest.remove(&file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_newer_than_the_marks_before_it() {
        let changes = Changes::default();
        let (a, b) = (FileId(1), FileId(2));
        let before = changes.mark();
        changes.note(&[a]);
        let after = changes.mark();
        assert!(changes.is_changed_since(a, before) && !changes.is_changed_since(b, before));
        assert!(!changes.is_changed_since(a, after));
    }

    #[test]
    fn what_is_forgotten_counts_as_changed() {
        let changes = Changes::default();
        let before = changes.mark();
        for n in 0..=REMEMBERED as u64 {
            changes.note(&[FileId(n)]);
        }
        assert!(changes.is_changed_since(FileId(u64::MAX), before));
        assert!(!changes.is_changed_since(FileId(u64::MAX), changes.mark()));
        assert_eq!(changes.lock().newest.len(), REMEMBERED);
    }
}
