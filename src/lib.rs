//! Hayloft: a storage appliance for one server.
pub mod clock;
pub mod domain;
pub mod stores;
