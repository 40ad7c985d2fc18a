//! Why an operation was refused or failed, by meaning; `server::errors` alone maps it to a status.

use serde_json::{Map, Value};

use crate::catalogue::CatalogueError;
use crate::domain::{Remedy, ScopeName, StoreName};
use crate::words::Phrase;

/// An operation's failure. Nothing is half done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpError {
    #[error("there is no {what} {name:?}")]
    NotFound { what: &'static str, name: String },
    #[error("{}", not_linked(scope, store))]
    NotLinked { scope: ScopeName, store: StoreName },
    #[error("{}", no_run())]
    NoRun,
    /// A malformed or contradictory request.
    #[error("{0}")]
    Invalid(Phrase),
    /// The same, about one field of the request.
    #[error("{detail}")]
    Field { field: &'static str, detail: Phrase },
    /// The state of things forbids it. `extra` has further facts.
    #[error("{detail}")]
    Refused { kind: Refusal, detail: Phrase, extra: Map<String, Value> },
    /// A store did not do what was needed.
    #[error("{detail}")]
    Store { kind: &'static str, detail: Phrase },
    #[error("{0}")]
    Forbidden(Phrase),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A defect or a broken machine.
    #[error("{0}")]
    Internal(String),
}

/// What forbids an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    AlreadyLinked,
    ChangedMeanwhile,
    DeletionsPending,
    DrainTargetNeeded,
    DrainTargetRefused,
    FilesMissing,
    FilesWouldBeUnreadable,
    ForeignMarker,
    LocationNotEmpty,
    MarkerNotFound,
    NoHigherPriority,
    OverlappingLocation,
    RunInProgress,
    RunOver,
    ScopeExists,
    ScopeInUse,
    StoreExists,
    StoreInUse,
    StoreNotInstanceWide,
    StoreShared,
    WorkspacesDisagree,
}

impl Refusal {
    /// The `type` of the problem document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyLinked => "already-linked",
            Self::ChangedMeanwhile => "changed-meanwhile",
            Self::DeletionsPending => "deletions-pending",
            Self::DrainTargetNeeded => "drain-target-needed",
            Self::DrainTargetRefused => "drain-target-refused",
            Self::FilesMissing => "files-missing",
            Self::FilesWouldBeUnreadable => "files-would-be-unreadable",
            Self::ForeignMarker => "foreign-marker",
            Self::LocationNotEmpty => "location-not-empty",
            Self::MarkerNotFound => "marker-not-found",
            Self::NoHigherPriority => "no-higher-priority",
            Self::OverlappingLocation => "overlapping-location",
            Self::RunInProgress => "run-in-progress",
            Self::RunOver => "run-over",
            Self::ScopeExists => "scope-exists",
            Self::ScopeInUse => "scope-in-use",
            Self::StoreExists => "store-exists",
            Self::StoreInUse => "store-in-use",
            Self::StoreNotInstanceWide => "store-not-instance-wide",
            Self::StoreShared => "store-shared",
            Self::WorkspacesDisagree => "workspaces-disagree",
        }
    }
}

impl OpError {
    pub fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound { what, name: name.into() }
    }

    pub fn refused(kind: Refusal, detail: impl Into<Phrase>) -> Self {
        Self::Refused { kind, detail: detail.into(), extra: Map::new() }
    }

    /// A malformed field of the request, by its key in SPEC 11.
    pub fn field_invalid(field: &'static str, detail: impl Into<Phrase>) -> Self {
        Self::Field { field, detail: detail.into() }
    }

    /// What was wrong and what to do, for each surface to say in its own way.
    pub fn detail(&self) -> Phrase {
        match self {
            Self::NotLinked { scope, store } => not_linked(scope, store),
            Self::NoRun => no_run(),
            Self::Invalid(detail)
            | Self::Field { detail, .. }
            | Self::Refused { detail, .. }
            | Self::Store { detail, .. }
            | Self::Forbidden(detail) => detail.clone(),
            Self::NotFound { .. } | Self::Catalogue(_) | Self::Internal(_) => {
                Phrase::new(self.to_string())
            }
        }
    }

    /// The field of the request that the error is about, if it is about one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Field { field, .. } => Some(field),
            Self::Refused { extra, .. } => extra.get("field").and_then(Value::as_str),
            Self::NotFound { .. }
            | Self::NotLinked { .. }
            | Self::NoRun
            | Self::Invalid(_)
            | Self::Store { .. }
            | Self::Forbidden(_)
            | Self::Catalogue(_)
            | Self::Internal(_) => None,
        }
    }

    /// Says which field of the request a refusal is about.
    #[must_use]
    pub fn at(self, field: &'static str) -> Self {
        self.with("field", field)
    }

    /// Adds a fact to a refusal; other errors stay as they are.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Self::Refused { extra, .. } = &mut self {
            extra.insert(key.to_owned(), value.into());
        }
        self
    }
}

fn not_linked(scope: &ScopeName, store: &StoreName) -> Phrase {
    let link = Remedy::LinkStore { scope: Some(scope.clone()), store: Some(store.clone()) };
    Phrase::new(format!("scope {scope} does not link {store}: ")).command(link).text(" does")
}

fn no_run() -> Phrase {
    Phrase::new("no run is at work: ")
        .command(Remedy::StartRun)
        .text(" starts one, ")
        .command(Remedy::ListRuns)
        .text(" lists past ones")
}
