//! The admin API below `/api`: thin handlers over `ops`.
//!
//! One table, `routes`, makes the router and the `OpenAPI` document; a test holds them together.

mod extract;
mod instance;
mod links;
mod openapi;
mod routes;
mod scopes;
mod stores;
mod tokens;
mod vacuum;

use super::errors::Failure;
pub use extract::Names;
use extract::{Input, InputList, Nothing, Query, Who};

pub use openapi::document;
pub use routes::router;

/// What a handler answers.
type Answer<T> = Result<T, Failure>;
