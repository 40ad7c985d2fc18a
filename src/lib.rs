//! Hayloft: a storage appliance for one server.
pub mod api;
pub mod app;
pub mod catalogue;
pub mod clock;
pub mod config;
pub mod domain;
pub mod logging;
pub mod maintenance;
pub mod ops;
pub mod planner;
pub mod random;
pub mod server;
pub mod stores;
pub mod transfer;
