//! The nouns of SPEC 1 to 3 as plain maps, for the naive model. Ids stand for names in their order, and
//! of files for their age.

use std::collections::{BTreeMap, BTreeSet};

pub type Id = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    No,
    Anywhere,
    /// `None`: a name that no store has.
    Into(Option<Id>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Writing,
    Present,
    /// Present, but never verified.
    Unproven,
    Deleting,
    Missing,
    Corrupt,
}

#[derive(Debug, Clone, Default)]
pub struct Store {
    pub soft: Option<u64>,
    pub max: Option<u64>,
    pub reserved: u64,
    pub unavailable: bool,
    pub proves_nothing: bool,
    /// URLs are out: what is deleted goes on counting until the run is over.
    pub defers: bool,
}

#[derive(Debug, Clone)]
pub struct Link {
    pub up: Option<i32>,
    pub down: Option<i32>,
    pub populate: bool,
    pub drain: Drain,
    pub read_only: bool,
    pub write_only: bool,
    pub soft: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct File {
    pub size: u64,
    pub used: i64,
    /// Scopes with an entry, and those with a tombstone or an entry.
    pub live: BTreeSet<Id>,
    pub scopes: BTreeSet<Id>,
    pub at: BTreeMap<Id, State>,
    /// Stores that it was removed from in this run.
    pub left: BTreeSet<Id>,
}

/// A copy has a target and a source, a removal a store that is left, a move a target and such a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    pub file: Id,
    pub source: Option<Id>,
    pub to: Option<Id>,
    pub leaves: Option<Id>,
}

#[derive(Debug, Clone, Default)]
pub struct Naive {
    pub stores: BTreeMap<Id, Store>,
    /// By (scope, store).
    pub links: BTreeMap<(Id, Id), Link>,
    /// Links that were removed within the grace.
    pub in_grace: BTreeSet<(Id, Id)>,
    pub files: BTreeMap<Id, File>,
    pub steps: Vec<Step>,
}

/// A limit that is not set bounds nothing.
pub fn bound(limit: Option<u64>) -> u64 {
    limit.unwrap_or(u64::MAX)
}

impl File {
    pub fn is_in(&self, store: Id) -> bool {
        matches!(self.at.get(&store), Some(State::Present | State::Unproven))
    }

    /// A missing or corrupt row does not hold it.
    pub fn is_free_of(&self, store: Id) -> bool {
        matches!(self.at.get(&store), None | Some(State::Missing | State::Corrupt))
    }
}

impl Naive {
    pub fn sum(&self, store: Id, counts: impl Fn(&File, State) -> bool) -> u64 {
        let here = self.files.values().filter(|f| f.at.get(&store).is_some_and(|s| counts(f, *s)));
        here.map(|f| f.size).sum()
    }

    /// What `max_size` bounds: reserved + writing + present + deleting + corrupt.
    pub fn hard(&self, store: Id) -> u64 {
        self.stores[&store].reserved + self.sum(store, |_, state| state != State::Missing)
    }

    pub fn soft(&self, store: Id) -> u64 {
        self.sum(store, |f, _| f.is_in(store))
    }

    pub fn soft_of(&self, scope: Id, store: Id) -> u64 {
        self.sum(store, |f, _| f.is_in(store) && f.scopes.contains(&scope))
    }
}
