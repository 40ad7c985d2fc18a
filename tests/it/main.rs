//! The integration tests, in one binary.

mod care;
mod cli;
mod config;
mod conformance;
mod crash;
mod house;
mod maintenance;
mod planner;
mod stores_local;
mod stores_s3;
mod storm;
mod support;
mod tidy;
