//! Hayloft: a storage appliance for one server.
pub mod api;
pub mod catalogue;
pub mod clock;
pub mod domain;
pub mod planner;
pub mod random;
pub mod stores;
pub mod transfer;
