//! The integration tests, in one binary.

mod cli;
mod cli_faults;
mod config;
mod conformance;
mod planner;
mod stores_local;
mod stores_s3;
mod support;
mod tidy;
