//! The integration tests, in one binary.

mod acceptance;
mod admin;
mod care;
mod cli;
mod cli_faults;
mod cli_live;
mod config;
mod conformance;
mod crash;
mod house;
mod http;
mod lives;
mod maintenance;
mod planner;
mod recipes;
mod stores_local;
mod stores_s3;
mod storm;
mod support;
mod tidy;
