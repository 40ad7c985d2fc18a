<<<<<<< HEAD
//! The integration tests, in one binary.

mod conformance;
mod stores_local;
mod stores_s3;
mod support;
=======
mod planner;
>>>>>>> planner
