//! The rooms that `make mutants` mutates and builds.

pub mod domain;
pub mod planner;
