//! The audit list (SPEC 10): who changed what, when, before and after.

use std::sync::Arc;

use serde_json::{Value, json};

use super::s3_settings;
use super::{Actor, OpError};
use crate::api::AuditEntry;
use crate::app::App;
use crate::catalogue::{AuditRecord, CatalogueError, Tx};
use crate::domain::{Link, Store};

/// Rows of a page when the caller does not say.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// What was changed. Neither side ever holds a secret.
pub(super) struct Change {
    /// `noun.verb`.
    pub what: &'static str,
    pub subject: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Change {
    pub(super) fn new(what: &'static str, subject: impl Into<String>) -> Self {
        Self { what, subject: subject.into(), before: None, after: None }
    }

    pub(super) fn before(mut self, value: Value) -> Self {
        self.before = Some(value);
        self
    }

    pub(super) fn after(mut self, value: Value) -> Self {
        self.after = Some(value);
        self
    }

    /// Appends the record to the transaction that makes the change.
    pub(super) fn record(self, tx: &mut Tx<'_>, actor: &Actor) -> Result<(), CatalogueError> {
        let Self { what, subject, before, after } = self;
        let who = actor.who.clone();
        let what = what.to_owned();
        tx.append_audit(&AuditRecord { at: tx.now(), who, what, subject, before, after })
    }
}

/// A link as the audit list shows it.
pub(super) fn link_value(link: &Link) -> Value {
    json!({
        "upload_priority": link.upload_priority,
        "download_priority": link.download_priority,
        "policy": link.policy,
    })
}

/// A store as the audit list shows it: without secrets.
pub(super) fn store_value(store: &Store) -> Value {
    json!({
        "backend": store.backend.kind(),
        "location": store.backend.location(),
        "instance_wide": store.instance_wide,
        "soft_max_size": store.soft_max_size,
        "max_size": store.max_size,
        "s3": store.s3().map(s3_settings::view),
    })
}

/// Changes, newest first; `after` is the id of the last one of the page before.
pub async fn list(
    app: &Arc<App>,
    actor: &Actor,
    after: Option<u64>,
    limit: Option<usize>,
) -> Result<Vec<AuditEntry>, OpError> {
    actor.require_instance_admin()?;
    let limit = limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    super::blocking(app, move |app| {
        let rows = app.catalogue.snapshot()?.audit(after, limit)?;
        Ok(rows.into_iter().map(|(id, record)| entry(id, record)).collect())
    })
    .await
}

fn entry(id: u64, record: AuditRecord) -> AuditEntry {
    let AuditRecord { at, who, what, subject, before, after } = record;
    AuditEntry { id, at, who, what, subject, before, after }
}
