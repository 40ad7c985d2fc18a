//! Hayloft: a storage appliance for one server.
//!
//! Files come in over HTTP, lie as plain files on the local disk, and move to S3-compatible storage
//! and back under policies that the administrator sets per scope. The contract is SPEC.md; numbers
//! in brackets in the code are its acceptance list.
//!
//! # Bird's-eye view
//!
//! ```text
//!   client ── HTTP ──> server ──> transfer ──> stores (local, s3)
//!   admin  ── CLI ───> server/admin ──> ops ──> catalogue (redb)
//!   timer  ─────────── maintenance: snapshot -> planner -> check -> transfer -> record
//!
//!   planner, stores, catalogue, ops ── causes, diagnoses, warnings, remedies ──> words ──> sentence,
//!                                      as values                                          command, link
//! ```
//!
//! The one hard idea is **which replicas should exist where, and how they get there without a
//! moment in which a crash could lose one**. The first half is [`planner`], which is pure: a
//! topology, files and a time go in, moves with reasons come out. The second half is [`transfer`],
//! the only code that changes bytes and catalogue rows together; its ordering rules stand at its
//! head. Everything else brings requests to these two.
//!
//! # Code map
//!
//! - [`domain`]: nouns and rules, pure: also the life of a replica (every transition there is), what can
//!   be wrong with a store, and what can be done about it.
//! - [`words`]: these values as sentences, commands, links and fields, once for each surface. [`api`]: the
//!   shapes of requests and answers; a phrase in them is a text on the wire.
//! - [`catalogue`]: all metadata in one redb file; group commit, counters that are exact by
//!   construction, short-lived snapshots, upgrades. The only user of redb and bincode.
//! - [`stores`]: the trait `Backend`, its contract and its backends. `stores::s3` is the only user
//!   of rust-s3.
//! - [`planner`]: upload and download order, populate, drain, shedding, the one rule for removal.
//! - [`transfer`]: uploads, downloads, copies, removals, deferred deletes, recovery.
//! - [`maintenance`]: runs of the vacuum, previews of the next one, sweep, verify, notifications, timer.
//! - [`ops`]: every administrative operation, once.
//! - [`server`]: HTTP: files, admin API, page, access, metrics; the only map to HTTP statuses.
//! - [`cli`]: the command line, a client of the admin API over socket, URL or in-process.
//! - [`app`]: an open instance; [`open`]: how it gets open. [`config`], [`logging`], [`clock`],
//!   [`random`], [`histogram`]: what they say.
//!
//! Who may use whom: `domain` <- `planner` | `catalogue` | `stores` <- `transfer` <- `maintenance`
//! <- `app` <- `ops` <- `open` | `server` <- `cli`; [`api`], [`clock`] and [`random`] are ground for all
//! that do I/O.
//! `tests/it/tidy.rs` enforces it.
//!
//! # Invariants
//!
//! 1. A row says `present` only after the bytes are durable; bytes go only after `deleting` is durable.
//! 2. A replica of a file that a scope has is given up only in a write transaction that finds it
//!    removable, with another readable replica that its store confirmed in the same run; the only
//!    exception is an administrator's `store delete --force`.
//! 3. A hard limit counts everything that may lie in a store, promised bytes included.
//! 4. Absence is believed only of a store whose marker was read; nothing is deleted in a store whose
//!    marker is not ours and at our generation.
//! 5. Every counter is a sum of pure functions of file records, changed in the records' own
//!    transaction.
//! 6. No snapshot is held across I/O; no listing is held whole in memory.
//! 7. A replica changes its state through `domain::replica` only.
//! 8. Nothing is executed that `planner::check` refuses.
//! 9. A secret leaves the catalogue only towards the store that needs it.
//!
//! Deliberately absent: a second implementation of any operation for the command line; statuses in
//! storage layers; a clock outside `clock`; traits with one implementation.

pub mod api;
pub mod app;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod histogram;
pub mod logging;
pub mod maintenance;
pub mod open;
pub mod ops;
pub mod planner;
pub mod random;
pub mod server;
pub mod stores;
pub mod transfer;
pub mod words;
