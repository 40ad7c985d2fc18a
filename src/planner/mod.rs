//! The heart: which replicas should exist where, and the moves that bring that about (SPEC 7).
//!
//! Pure: no clock, no I/O, no runtime. The [`Driver`] looks at a fresh [`Snapshot`] and a [`World`],
//! and answers with the next [`Batch`] of moves; whoever executes it tells what became of each.
//! A dry run is the same driver against an [`Overlay`], which pretends that every move was done.

mod check;
mod clean_up;
mod decide;
mod drain;
mod driver;
mod ledger;
mod overlay;
mod placement;
mod plan;
mod populate;
mod remedy;
mod removal;
mod report;
mod shed;
mod snapshot;
mod units;
mod usage;
mod world;

pub use crate::domain::Count;
pub use check::{Checked, Refused, Violation, admit, check};
pub use clean_up::{clean_up, is_residual};
pub use decide::{Decision, Note};
pub use drain::drain;
pub use driver::{Driver, Position};
pub use overlay::{Overlay, plan_all};
pub use placement::{
    blocking_limit, cannot_receive, download_order, fits, is_readable, named_obstacle, source,
    targets, upload_order,
};
pub use plan::{Action, Batch, Move, MoveResult, Phase, Reason};
pub use populate::populate;
pub use remedy::check_store;
pub use removal::{CONFIRMED, Pin, keeps_another, removable};
pub use report::{Cause, ErrorClass, Limit, Obstacle, Over, Report, Retained};
pub use shed::{shed_scope, shed_store};
pub use snapshot::{FileSet, Snapshot};
pub use units::ahead;
pub use usage::Usage;
pub use world::World;
