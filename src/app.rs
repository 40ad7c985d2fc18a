//! An open instance: configuration, catalogue, stores and maintenance in one place.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::catalogue::{Catalogue, CatalogueError};
use crate::config::Config;
use crate::domain::Timestamp;
use crate::maintenance::Maintenance;
use crate::transfer::Transfer;

/// Who opens the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The server: it issues URLs and runs the timer.
    Server,
    /// One command in its own process, while no server runs.
    Command,
}

/// An open instance.
#[derive(Debug)]
pub struct App {
    pub config: Arc<Config>,
    pub role: Role,
    pub catalogue: Arc<Catalogue>,
    pub transfer: Arc<Transfer>,
    pub maintenance: Arc<Maintenance>,
    pub started_at: Timestamp,
    /// True when there was no catalogue before.
    pub created: bool,
    /// Where the server listens: known once it does, other than `listen` for port 0.
    pub address: OnceLock<SocketAddr>,
}

impl App {
    /// Where this instance is reached, without a slash at the end.
    pub fn base_url(&self) -> String {
        self.config.base_url(*self.address.get().unwrap_or(&self.config.listen))
    }

    /// Ends maintenance between files, writes what is pending and closes the catalogue. After this
    /// every operation fails.
    pub fn shutdown(&self) -> BoxFuture<'_, Result<(), CatalogueError>> {
        Box::pin(async move {
            self.maintenance.shutdown().await;
            // Also those that are newer by less than the granularity: memory ends here.
            self.catalogue.flush_last_uses(Duration::ZERO).await?;
            if self.role == Role::Server {
                self.transfer.end_serving().await?;
            }
            self.catalogue.close().await
        })
    }
}
