//! The integration tests, in one binary.

mod acceptance;
mod admin;
mod care;
mod cli;
mod cli_faults;
mod cli_live;
mod config;
mod conformance;
mod contract;
mod crash;
mod house;
mod http;
mod maintenance;
mod peers;
mod planner;
mod recipes;
mod sentences;
mod stores_local;
mod stores_s3;
mod storm;
mod support;
mod tidy;
