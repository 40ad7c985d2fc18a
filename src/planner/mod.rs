//! The heart: which replicas should exist where, and the moves that bring that about (SPEC 7).
//!
//! Pure: no clock, no I/O, no runtime. The [`Driver`] looks at a fresh [`Snapshot`] and a [`World`],
//! and answers with the next [`Batch`] of moves; whoever executes it tells what became of each.
//! A dry run is the same driver against an [`Overlay`], which pretends that every move was done.

mod decide;
mod driver;
mod placement;
mod plan;
mod removal;
mod report;
mod snapshot;
mod usage;
mod world;

pub use decide::{Decision, Note};
pub use driver::{Driver, Position};
pub use placement::{
    blocking_limit, cannot_receive, download_order, fits, named_obstacle, source, targets,
    upload_order,
};
pub use plan::{Action, Batch, Move, MoveResult, Phase, Plan, Reason};
pub use removal::{CONFIRMED, Pin, keeps_another, removable};
pub use report::{Cause, ErrorClass, Limit, Obstacle, Over, Report, Retained};
pub use snapshot::Snapshot;
pub use usage::{Count, Usage};
pub use world::World;
