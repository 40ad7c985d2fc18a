//! The integration tests, in one binary.

mod acceptance;
mod admin;
mod browser;
mod care;
mod cli;
mod cli_faults;
mod cli_live;
mod config;
mod conformance;
mod crash;
mod docs;
mod first;
mod house;
mod http;
mod maintenance;
mod package;
mod planner;
mod preview;
mod recipes;
mod stores_local;
mod stores_s3;
mod storm;
mod support;
mod tidy;
mod upgrade;
