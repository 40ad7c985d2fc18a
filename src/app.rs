//! Placeholder of the server side's `app`, replaced at the merge: every open is refused.

use std::sync::Arc;

use crate::config::Config;

/// Who opens the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Server,
    Command,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process has the catalogue open")]
    Locked,
    #[error("{0}")]
    Other(String),
}

#[derive(Debug)]
pub struct App;

impl App {
    pub fn open(_config: Arc<Config>, _role: Role) -> Result<Arc<Self>, OpenError> {
        Err(OpenError::Other("this build has no server side".to_owned()))
    }

    pub async fn shutdown(&self) {
        std::future::ready(()).await;
    }
}
