//! The vacuum: gather, plan, execute, record.

use std::sync::Arc;

use crate::config::Config;
use crate::transfer::Transfer;

/// Storage maintenance of one instance.
#[derive(Debug)]
pub struct Maintenance {
    pub transfer: Arc<Transfer>,
    pub config: Arc<Config>,
}

impl Maintenance {
    pub fn new(transfer: Arc<Transfer>, config: Arc<Config>) -> Arc<Self> {
        Arc::new(Self { transfer, config })
    }

    pub async fn shutdown(&self) {
        std::future::ready(()).await;
    }
}
