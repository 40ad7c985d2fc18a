//! The integration tests, in one binary.

mod acceptance;
mod cli;
mod config;
mod conformance;
mod planner;
mod recipes;
mod stores_local;
mod stores_s3;
mod support;
mod tidy;
