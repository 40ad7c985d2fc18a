//! The admin API below `/api`: thin handlers over `ops`.
//!
//! One table, `routes`, makes the router and, in tests, the `OpenAPI` document.

mod extract;
mod instance;
mod links;
#[cfg(test)]
mod openapi;
mod routes;
mod scopes;
mod stores;
mod tokens;
mod vacuum;

use super::errors::Failure;
pub use extract::Names;
use extract::{Input, InputList, Nothing, Query, Who};

pub use routes::router;

/// The `OpenAPI` document of all that the public port answers, made by the tests in `openapi`.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// What a handler answers.
type Answer<T> = Result<T, Failure>;
