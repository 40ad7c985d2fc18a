//! Every administrative operation, once: API, command line and page all come through here.

mod access;
mod error;

pub use access::{Actor, Grant};
pub use error::OpError;

/// Makes a new instance usable: the local store `local`. Does nothing in one that has been set up.
pub async fn bootstrap(_app: &std::sync::Arc<crate::app::App>) -> Result<(), OpError> {
    std::future::ready(Ok(())).await
}
