//! Opens an instance: makes its directory and catalogue when it is new, finishes what a crash left, and
//! gives a new one what it starts with. This stands above `ops`, which works on an open instance.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;

use crate::app::{App, Role};
pub use crate::catalogue::Rehearsal;
use crate::catalogue::{Catalogue, CatalogueError, Options};
use crate::clock::Clock;
use crate::config::Config;
use crate::maintenance::Maintenance;
use crate::ops::{self, OpError};
use crate::transfer::Transfer;

/// Why an instance cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the catalogue: a server or another command.
    #[error("another Hayloft process is using this instance")]
    Locked,
    #[error("data_dir {path} cannot be used: {why}")]
    DataDir { path: String, why: String },
    #[error(transparent)]
    Catalogue(CatalogueError),
    #[error(transparent)]
    Setup(#[from] OpError),
}

impl From<CatalogueError> for OpenError {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::Locked(_) => Self::Locked,
            other => Self::Catalogue(other),
        }
    }
}

/// What a start would find in `config.data_dir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No catalogue: a start makes one.
    Nothing,
    /// A server or a command has it open, so that it cannot be looked at.
    InUse,
    /// This user may not read it.
    Closed,
    /// It can be opened, after an upgrade if the formats differ.
    Good(Rehearsal),
}

/// Rehearses a start and changes nothing. An error is what the start would fail with.
pub fn rehearse(config: &Config) -> Result<Found, OpenError> {
    let path = config.catalogue();
    match fs::File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Ok(Found::Closed),
        _ => {}
    }
    let cache = usize::try_from(config.limits.cache).unwrap_or(usize::MAX);
    match Catalogue::rehearse(&path, cache) {
        Ok(None) => Ok(Found::Nothing),
        Ok(Some(rehearsal)) => Ok(Found::Good(rehearsal)),
        Err(CatalogueError::Locked(_)) => Ok(Found::InUse),
        Err(error) => Err(error.into()),
    }
}

impl App {
    /// Opens the instance in `config.data_dir`, creates it when it is new, and finishes what a
    /// crash left.
    pub async fn open(config: Arc<Config>, role: Role) -> Result<Arc<Self>, OpenError> {
        Self::open_at(config, role, Clock::System).await
    }

    /// Opens it with another clock.
    pub fn open_at(
        config: Arc<Config>,
        role: Role,
        clock: Clock,
    ) -> BoxFuture<'static, Result<Arc<Self>, OpenError>> {
        Box::pin(Self::opened(config, role, clock))
    }

    async fn opened(config: Arc<Config>, role: Role, clock: Clock) -> Result<Arc<Self>, OpenError> {
        make_data_dir(&config)?;
        let started_at = clock.now();
        let cache = usize::try_from(config.limits.cache).unwrap_or(usize::MAX);
        let path = config.catalogue();
        let created = !path.exists();
        let options = Options { cache, clock };
        let opened = tokio::task::spawn_blocking(move || Catalogue::open(&path, &options)).await;
        let catalogue = opened
            .map_err(|e| OpError::Internal(format!("opening the catalogue ended: {e}")))??;
        let transfer = Transfer::new(Arc::clone(&catalogue), config.spool_dir());
        transfer.recover().await?;
        if role == Role::Server {
            transfer.begin_serving().await?;
        }
        let maintenance = Maintenance::new(Arc::clone(&transfer), Arc::clone(&config));
        let app = Arc::new(Self {
            config,
            role,
            catalogue,
            transfer,
            maintenance,
            started_at,
            created,
            address: OnceLock::new(),
        });
        ops::bootstrap(&app).await?;
        Ok(app)
    }
}

fn make_data_dir(config: &Config) -> Result<(), OpenError> {
    let dir = &config.data_dir;
    let refused = |why| OpenError::DataDir { path: dir.display().to_string(), why };
    // A unit may show a directory that is there and closed to writing.
    if let Some(why) = dir.exists().then(|| ops::stores::obstacle(dir, true)).flatten() {
        return Err(refused(why));
    }
    for path in [dir.clone(), config.spool_dir()] {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|e| {
            let known = ops::stores::obstacle(dir, dir.exists());
            refused(known.unwrap_or_else(|| {
                format!("{e}. Create it, or set data_dir to a directory of this user")
            }))
        })?;
    }
    Ok(())
}
