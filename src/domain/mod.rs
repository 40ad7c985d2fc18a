//! Nouns and rules of the product, pure: no I/O, no clock, no runtime.

mod advice;
mod diagnosis;
mod file;
mod forecast;
mod name;
mod path;
mod policy;
mod remedy;
mod replica;
#[cfg(test)]
mod schema;
mod store;
mod time;
mod topology;
mod units;
mod warning;

pub use advice::{OutsideAdvice, ReconcileAdvice, SettingAdvice, StoreAdvice};
pub use diagnosis::{
    CredentialsFault, Diagnosis, DiskFault, MarkerOwner, S3Permission, StoreProblem,
};
pub use file::{Digest, DigestError, Entry, File, FileId, Member, Tombstone};
pub use forecast::{Growth, LimitKind};
pub use name::{NameError, ScopeId, ScopeName, StoreId, StoreName};
pub use path::{FilePath, PathError};
pub use policy::{Drain, Link, Policy, PolicyError};
pub use remedy::{Change, LinkSetting, Remedy, StoreSetting, Target};
pub use replica::{Event, Replica, ReplicaState};
pub use store::{BackendConfig, Checksum, Credentials, LocalConfig, S3Config, ServeMode, Store};
pub use time::{Timestamp, parse_duration};
pub use topology::{Scope, Topology};
pub use units::{ByteSize, Count, SizeError, parse_limit, plain_types, plural};
pub use warning::{Concern, LimitOf, Warning};
