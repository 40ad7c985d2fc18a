//! Hayloft: a storage appliance for one server.
pub mod api;
pub mod clock;
pub mod domain;
pub mod planner;
pub mod stores;
