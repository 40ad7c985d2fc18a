//! The integration tests, in one binary.

mod cli;
mod config;
mod conformance;
mod planner;
mod stores_local;
mod stores_s3;
mod support;
mod tidy;
