//! Hayloft: a storage appliance for one server.
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod logging;
pub mod server;
pub mod stores;
