//! The life of a replica: what can happen to it, and to which state it leads.
//!
//! [`Event::arrow`] is the whole table. Nothing else changes the state of a replica, so that a transition
//! that is not in it cannot be made. What an event takes besides the state (nobody reads the replica,
//! another one is safe) is asked by its caller, in the same write transaction.

use ReplicaState::{Corrupt, Deleting, Missing, Present, Writing};

use super::{File, StoreId, Timestamp};

/// Where a replica stands (SPEC 1). `Missing` and `Corrupt` are the marks on a present replica.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaState {
    /// A copy into the store is under way; its bytes count against the hard limit.
    Writing,
    Present,
    /// Given up; the bytes go when no issued URL can still read them.
    Deleting,
    /// The store was reachable and did not have the object. Counts no bytes.
    Missing,
    /// The bytes were read and are not the file's.
    Corrupt,
}

impl ReplicaState {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Writing => "writing",
            Present => "present",
            Deleting => "deleting",
            Missing => "missing",
            Corrupt => "corrupt",
        }
    }
}

/// A file's copy in one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    pub store: StoreId,
    pub state: ReplicaState,
    pub stored_at: Timestamp,
    /// When the store last proved the bytes by a checksum; `None` for a replica never verified.
    pub verified_at: Option<Timestamp>,
}

/// What happens to a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A copy into the store is to begin.
    Announced,
    /// The bytes of the copy are durable in the store.
    Copied { verified: bool },
    /// An upload left its bytes in the store.
    Uploaded { verified: bool },
    /// An upload met the bytes in the store and relies on them: when they were stored and verified
    /// stays as it was.
    Reused,
    /// The copy does not take place, and no bytes of it are in the store: the mark that it was to
    /// replace stands again.
    Withdrawn { replaced: Option<Replica> },
    /// The copy ended, and bytes of it may be in the store.
    Interrupted,
    /// The store, whose marker was read, does not have the object.
    FoundMissing,
    /// The bytes were read and are not the file's.
    FoundCorrupt,
    /// The object that was missing is in the store. Unverified when only its size was seen.
    FoundAgain { verified: bool },
    /// The bytes that were corrupt were read again and are right.
    ReadRight,
    /// A run gives the replica up by the rule for removal.
    GivenUp { run: u64 },
    /// No scope has the file any more.
    Orphaned,
    /// The bytes are gone.
    Erased,
    /// The mark of a missing replica is of no more use.
    Forgotten,
    /// The administrator gave the store up, with whatever lies in it.
    StoreForgotten,
}

/// The state of a replica; `None` where a store has no row for the file.
type Row = Option<ReplicaState>;

impl Event {
    /// The states in which it can happen, and the one to which it leads.
    const fn arrow(self) -> (&'static [Row], Row) {
        match self {
            // Bytes are written only where a row says so (SPEC 7). A marked replica is replaced; one that
            // is being written or deleted has an owner.
            Self::Announced => (&[None, Some(Missing), Some(Corrupt)], Some(Writing)),
            // An upload may have brought the bytes meanwhile, or the file may be gone: not twice.
            Self::Copied { .. } => (&[Some(Writing)], Some(Present)),
            // The key was held, so the bytes are there whatever the row said. A deletion that has not
            // begun is revived (SPEC 2).
            Self::Uploaded { .. } | Self::Reused => (
                &[None, Some(Writing), Some(Deleting), Some(Missing), Some(Corrupt)],
                Some(Present),
            ),
            Self::Withdrawn { replaced: None } => (&[Some(Writing)], None),
            Self::Withdrawn { replaced: Some(Replica { state, .. }) } => match state {
                Missing | Corrupt => (&[Some(Writing)], Some(state)),
                // No announcement replaces these.
                Writing | Present | Deleting => (&[], Some(state)),
            },
            // The row goes only after the bytes (invariant 1).
            Self::Interrupted => (&[Some(Writing)], Some(Deleting)),
            // A row that somebody changed meanwhile is not about the bytes that were looked at.
            Self::FoundMissing => (&[Some(Present)], Some(Missing)),
            Self::FoundCorrupt => (&[Some(Present)], Some(Corrupt)),
            Self::FoundAgain { .. } => (&[Some(Missing)], Some(Present)),
            Self::ReadRight => (&[Some(Corrupt)], Some(Present)),
            // A missing replica has nothing to delete; its row stays for populate to mend.
            Self::GivenUp { .. } => (&[Some(Present), Some(Corrupt)], Some(Deleting)),
            // A copy under way ends by itself, and its row is then deleted by the next run.
            Self::Orphaned => (&[Some(Present), Some(Corrupt), Some(Deleting)], Some(Deleting)),
            Self::Erased => (&[Some(Deleting)], None),
            Self::Forgotten => (&[Some(Missing)], None),
            Self::StoreForgotten => (
                &[Some(Writing), Some(Present), Some(Deleting), Some(Missing), Some(Corrupt)],
                None,
            ),
        }
    }

    /// True where it can happen to a replica in `state`.
    pub fn happens_to(self, state: Row) -> bool {
        self.arrow().0.contains(&state)
    }

    /// What becomes of a replica in `state` when no scope has its file: a missing one has no bytes to
    /// wait for.
    pub fn of_orphan(state: ReplicaState) -> Self {
        if state == Missing { Self::Forgotten } else { Self::Orphaned }
    }

    /// When the bytes were stored and last verified, after the event.
    fn times(self, before: Option<&Replica>, now: Timestamp) -> (Timestamp, Option<Timestamp>) {
        let stored_at = before.map_or(now, |r| r.stored_at);
        match self {
            Self::Announced => (now, None),
            Self::Copied { verified } | Self::Uploaded { verified } => {
                (now, verified.then_some(now))
            }
            Self::FoundAgain { verified } => (stored_at, verified.then_some(now)),
            Self::ReadRight => (stored_at, Some(now)),
            Self::Withdrawn { replaced: Some(replica) } => (replica.stored_at, replica.verified_at),
            _ => (stored_at, before.and_then(|r| r.verified_at)),
        }
    }
}

impl File {
    /// Lets `event` happen to the replica in `store`. False, and nothing changes, where it cannot.
    pub fn apply(&mut self, store: StoreId, event: Event, now: Timestamp) -> bool {
        let before = self.replica(store);
        if !event.happens_to(before.map(|r| r.state)) {
            return false;
        }
        let (stored_at, verified_at) = event.times(before, now);
        match event.arrow().1 {
            Some(state) => self.put_replica(Replica { store, state, stored_at, verified_at }),
            None => self.replicas.retain(|r| r.store != store),
        }
        if let Event::GivenUp { run } = event {
            self.depart(run, store);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Digest, FileId};

    const STORE: StoreId = StoreId(1);
    const OTHER: StoreId = StoreId(2);
    const BEFORE: Timestamp = Timestamp(5);
    const NOW: Timestamp = Timestamp(9);

    fn replica(store: StoreId, state: ReplicaState) -> Replica {
        Replica { store, state, stored_at: BEFORE, verified_at: Some(BEFORE) }
    }

    fn file(state: Row) -> File {
        File {
            id: FileId(1),
            digest: Digest([0; 32]),
            size: 1,
            created_at: BEFORE,
            last_used: BEFORE,
            replicas: state
                .map(|s| replica(STORE, s))
                .into_iter()
                .chain([replica(OTHER, Present)])
                .collect(),
            members: Vec::new(),
            departed: None,
        }
    }

    fn letter(state: Row) -> char {
        match state {
            None => '0',
            Some(Writing) => 'w',
            Some(Present) => 'p',
            Some(Deleting) => 'd',
            Some(Missing) => 'm',
            Some(Corrupt) => 'c',
        }
    }

    const ROWS: [Row; 6] =
        [None, Some(Writing), Some(Present), Some(Deleting), Some(Missing), Some(Corrupt)];

    /// Each event with the states to which it leads from none, writing, present, deleting, missing and
    /// corrupt; `.` where it does not happen.
    const TABLE: [(Event, &str); 21] = [
        (Event::Announced, "w...ww"),
        (Event::Copied { verified: true }, ".p...."),
        (Event::Copied { verified: false }, ".p...."),
        (Event::Uploaded { verified: true }, "pp.ppp"),
        (Event::Uploaded { verified: false }, "pp.ppp"),
        (Event::Reused, "pp.ppp"),
        (Event::Withdrawn { replaced: None }, ".0...."),
        (Event::Withdrawn { replaced: Some(REPLACED) }, ".m...."),
        (Event::Withdrawn { replaced: Some(Replica { state: Corrupt, ..REPLACED }) }, ".c...."),
        (Event::Withdrawn { replaced: Some(Replica { state: Present, ..REPLACED }) }, "......"),
        (Event::Withdrawn { replaced: Some(Replica { state: Deleting, ..REPLACED }) }, "......"),
        (Event::Interrupted, ".d...."),
        (Event::FoundMissing, "..m..."),
        (Event::FoundCorrupt, "..c..."),
        (Event::FoundAgain { verified: true }, "....p."),
        (Event::ReadRight, ".....p"),
        (Event::GivenUp { run: 7 }, "..d..d"),
        (Event::Orphaned, "..dd.d"),
        (Event::Erased, "...0.."),
        (Event::Forgotten, "....0."),
        (Event::StoreForgotten, ".00000"),
    ];
    const REPLACED: Replica =
        Replica { store: STORE, state: Missing, stored_at: Timestamp(3), verified_at: None };

    #[test]
    fn every_event_leads_where_the_table_says_and_happens_nowhere_else() {
        for (event, expected) in TABLE {
            let led = ROWS.map(|row| {
                let (before, mut after) = (file(row), file(row));
                let applied = after.apply(STORE, event, NOW);
                assert_eq!(after.replica(OTHER), before.replica(OTHER), "{event:?}");
                assert!(applied || after == before, "{event:?} on {row:?}");
                if applied { letter(after.state(STORE)) } else { '.' }
            });
            assert_eq!(led.iter().collect::<String>(), expected, "{event:?}");
        }
    }

    #[test]
    fn a_row_goes_only_after_its_bytes_unless_there_are_none() {
        for (event, _) in TABLE.iter().filter(|(event, _)| event.arrow().1.is_none()) {
            let (from, _) = event.arrow();
            let bytes = from.iter().any(|row| matches!(row, Some(Present | Corrupt)));
            assert!(!bytes || *event == Event::StoreForgotten, "{event:?}");
        }
    }

    #[test]
    fn an_event_says_when_the_bytes_were_stored_and_verified() {
        let times = |row, event| {
            let mut file = file(row);
            assert!(file.apply(STORE, event, NOW), "{event:?}");
            let replica = file.replica(STORE).expect("a row");
            (replica.stored_at, replica.verified_at)
        };
        let fresh = |verified: bool| (NOW, verified.then_some(NOW));
        for verified in [true, false] {
            assert_eq!(times(Some(Writing), Event::Copied { verified }), fresh(verified));
            assert_eq!(times(Some(Deleting), Event::Uploaded { verified }), fresh(verified));
            let again = times(Some(Missing), Event::FoundAgain { verified });
            assert_eq!(again, (BEFORE, verified.then_some(NOW)));
        }
        assert_eq!(times(Some(Corrupt), Event::Announced), fresh(false));
        assert_eq!(times(None, Event::Reused), fresh(false));
        assert_eq!(times(Some(Deleting), Event::Reused), (BEFORE, Some(BEFORE)));
        assert_eq!(times(Some(Corrupt), Event::ReadRight), (BEFORE, Some(NOW)));
        let withdrawn = Event::Withdrawn { replaced: Some(REPLACED) };
        assert_eq!(times(Some(Writing), withdrawn), (REPLACED.stored_at, None));
    }

    #[test]
    fn only_what_a_run_gives_up_is_noted_as_a_departure() {
        for (event, _) in TABLE {
            let mut given = file(Some(Present));
            given.apply(STORE, event, NOW);
            let expected = (event == Event::GivenUp { run: 7 }).then(|| (7, vec![STORE]));
            assert_eq!(given.departed, expected, "{event:?}");
        }
    }
}
