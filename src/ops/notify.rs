//! `notify test`: whether the receivers of `[[notify]]` can be reached.

use std::sync::Arc;

use super::{Actor, OpError};
use crate::api::NotifyTested;
use crate::app::App;

/// Sends a test message to every receiver. Empty when the configuration names none.
pub async fn test(app: &Arc<App>, actor: &Actor) -> Result<Vec<NotifyTested>, OpError> {
    actor.require_instance_admin()?;
    Ok(app.maintenance.test_receivers().await)
}
