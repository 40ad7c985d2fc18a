//! What an administrator can do about a finding, as a value. `words` alone says it: as a command, as
//! a sentence, as a link of the page.

use serde::{Deserialize, Serialize};

use super::{ScopeName, StoreName};

/// A setting of a store, by its key in SPEC 11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreSetting {
    Bucket,
    Prefix,
    Region,
    Endpoint,
    PublicEndpoint,
    PathStyle,
    StorageClass,
    Serve,
    PresignTtl,
    Checksum,
    AccessKeyId,
    SecretAccessKey,
    Credentials,
    InstanceWide,
    /// Of a store that is to be made: what is there already becomes part of it.
    Adopt,
    SoftMaxSize,
    MaxSize,
}

/// A setting of a link, by its key in SPEC 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkSetting {
    Populate,
    Drain,
    ReadOnly,
    WriteOnly,
    SoftMaxSize,
}

/// What a setting should become.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The administrator knows the value; we do not.
    Chosen,
    Unset,
    On,
    Off,
    /// Bytes.
    Size(u64),
    Value(String),
}

/// A setting and what it should become.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Change<S> {
    pub setting: S,
    pub to: Target,
}

impl<S> Change<S> {
    pub fn new(setting: S, to: Target) -> Self {
        Self { setting, to }
    }
}

/// What can be done about one thing that is wrong. The first of several is the one to try.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Remedy {
    CheckStore {
        store: StoreName,
    },
    ShowStore {
        store: StoreName,
    },
    /// Compare a store with the catalogue and make its marker ours again.
    ReconcileStore {
        store: StoreName,
    },
    /// Delete what the brake of the sweep has stopped at.
    ConfirmSweep {
        store: StoreName,
    },
    SetStore {
        store: StoreName,
        changes: Vec<Change<StoreSetting>>,
    },
    DeleteStore {
        store: StoreName,
    },
    /// `None`: the administrator's choice.
    LinkStore {
        scope: Option<ScopeName>,
        store: Option<StoreName>,
    },
    SetLink {
        scope: ScopeName,
        store: StoreName,
        changes: Vec<Change<LinkSetting>>,
    },
    UnlinkStore {
        scope: ScopeName,
        store: StoreName,
    },
    /// Make a store the first choice for uploads.
    DefaultStore {
        scope: ScopeName,
        store: Option<StoreName>,
    },
    /// Compare all replicas with the catalogue.
    Verify,
    /// And copy again what is missing or damaged.
    Repair,
    /// And read every byte.
    ReadAll,
    StartRun,
    ResumeRun,
    ShowRun {
        run: u64,
    },
    ListRuns,
    CreateToken,
    CreateScope,
    ShowStatus,
    /// Make a store of a directory that holds one.
    AdoptDirectory,
}

impl Remedy {
    /// A change of one setting of a store.
    pub fn set_store(store: StoreName, setting: StoreSetting, to: Target) -> Self {
        Self::SetStore { store, changes: vec![Change::new(setting, to)] }
    }

    /// A change of one setting of a link.
    pub fn set_link(scope: ScopeName, store: StoreName, setting: LinkSetting, to: Target) -> Self {
        Self::SetLink { scope, store, changes: vec![Change::new(setting, to)] }
    }
}
