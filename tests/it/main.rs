//! The integration tests, in one binary.

mod acceptance;
mod cli;
mod cli_faults;
mod config;
mod conformance;
mod http;
mod planner;
mod recipes;
mod stores_local;
mod stores_s3;
mod support;
mod tidy;
