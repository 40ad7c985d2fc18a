//! New stores: never eat foreign data (SPEC 2).
//!
//! The order is: ids of adopted objects, the marker, then the row with its audit record. A crash
//! before the marker leaves adoptions under a store id that is never used (the next creation clears
//! them); one between marker and row leaves a marker of ours that names no store, which creating again takes
//! for what it is: ours to replace. The row comes last, so that no store that can be written to
//! or swept ever has objects that are not recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::super::audit::{Change, store_value};
use super::super::{Actor, OpError, Refusal, blocking, s3_settings};
use super::view::shown;
use super::{check_limits, nothing_done, writable};
use crate::api::{StoreCreate, StoreView};
use crate::app::App;
use crate::catalogue::{CatalogueError, Tx, values};
use crate::domain::{
    BackendConfig, LocalConfig, Store, StoreId, StoreName, StoreSetting, Timestamp, Topology,
};
use crate::random;
use crate::stores::{self, Backend, LocalStore, StoreError};
use crate::transfer::marker_of;
use crate::words::Phrase;

/// Random bytes of a store's uid.
const UID: usize = 16;
const PAGE: usize = 1000;

/// Looking at a location and writing its marker must not be interleaved with another creation.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A store to be.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Place {
    pub name: StoreName,
    pub backend: BackendConfig,
    pub instance_wide: bool,
    pub soft_max_size: Option<u64>,
    pub max_size: Option<u64>,
    pub adopt: bool,
}

/// Makes a store as the request says.
pub async fn create(
    app: &Arc<App>,
    actor: &Actor,
    request: &StoreCreate,
) -> Result<StoreView, OpError> {
    actor.require_instance_admin()?;
    check_limits(request.soft_max_size, request.max_size)?;
    if app.catalogue.settings().topology.store(request.name.as_str()).is_some() {
        return Err(taken(&request.name));
    }
    let given = request.clone();
    // Directories of a disk that does not answer are no reason to hold everybody up.
    let (backend, root) = blocking(app, move |app| config(app, &given)).await?;
    let place = Place {
        name: request.name.clone(),
        backend,
        instance_wide: request.instance_wide.unwrap_or(true),
        soft_max_size: request.soft_max_size,
        max_size: request.max_size,
        adopt: request.adopt,
    };
    found(app, actor, place, root, |_| Ok(())).await?;
    shown(app, &request.name).await
}

fn taken(name: &StoreName) -> OpError {
    let detail = format!("there is a store {name} already: choose another name");
    OpError::refused(Refusal::StoreExists, detail).at("name")
}

/// Why a store could not be made: what its place answered.
fn not_made(name: &StoreName, error: StoreError) -> OpError {
    nothing_done(&format!("store {name} was not made"), name, error)
}

fn config(app: &App, request: &StoreCreate) -> Result<(BackendConfig, Option<LocalRoot>), OpError> {
    let invalid = |field, text: &str| Err(OpError::field_invalid(field, text));
    match request.backend.as_str() {
        "local" => {
            if request.bucket.is_some()
                || request.prefix.is_some()
                || request.s3 != crate::api::S3Settings::default()
            {
                return invalid("root", "a local store has a root and no S3 settings");
            }
            let Some(root) = &request.root else {
                return invalid(
                    "root",
                    "a local store needs its root: a directory with its whole path",
                );
            };
            let root = LocalRoot::new(app, Path::new(root))?;
            Ok((BackendConfig::Local(LocalConfig { root: root.path.clone() }), Some(root)))
        }
        "s3" => {
            if request.root.is_some() {
                return invalid("bucket", "an s3 store has a bucket and no root");
            }
            let (bucket, prefix) = (request.bucket.as_deref(), request.prefix.as_deref());
            let s3 = s3_settings::create(bucket, prefix, &request.s3)?;
            Ok((BackendConfig::S3(Box::new(s3)), None))
        }
        other => invalid("backend", &format!("{other:?} is not a backend: local or s3")),
    }
}

/// A local root, checked and with symlinks resolved, but perhaps not made yet.
#[derive(Debug)]
pub(in crate::ops) struct LocalRoot {
    path: PathBuf,
    exists: bool,
}

impl LocalRoot {
    fn new(app: &App, root: &Path) -> Result<Self, OpError> {
        let shown = root.display();
        if !root.is_absolute() {
            let detail = format!("{shown} is not absolute: give the whole path");
            return Err(OpError::field_invalid("root", detail));
        }
        let resolved = Self::resolve(root)?;
        Self::outside_data_dir(app, &resolved.path)?;
        Ok(resolved)
    }

    /// Resolves symlinks; of a directory that does not exist yet, those of its parent.
    fn resolve(root: &Path) -> Result<Self, OpError> {
        let shown = root.display();
        match fs::canonicalize(root) {
            Ok(path) if path.is_dir() => return Ok(Self { path, exists: true }),
            Ok(_) => {
                return Err(OpError::field_invalid("root", format!("{shown} is not a directory")));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                return Err(OpError::field_invalid("root", format!("{shown} cannot be used: {e}")));
            }
        }
        let parent = root.parent().and_then(|p| fs::canonicalize(p).ok());
        match (parent, root.file_name()) {
            (Some(parent), Some(name)) => Ok(Self { path: parent.join(name), exists: false }),
            _ => Err(match writable::hidden(root) {
                // Lines of commands, for which there is no room beside a field.
                Some(instruction) => OpError::Invalid(instruction.into()),
                None => OpError::field_invalid(
                    "root",
                    format!(
                        "the directory above {shown} does not exist: make it, or mount the disk that has it"
                    ),
                ),
            }),
        }
    }

    /// The catalogue and the spool are not to lie in a store, nor a store among them.
    fn outside_data_dir(app: &App, path: &Path) -> Result<(), OpError> {
        let data =
            fs::canonicalize(&app.config.data_dir).unwrap_or_else(|_| app.config.data_dir.clone());
        let local = data.join("store");
        let inside = path.starts_with(&data) && !path.starts_with(&local);
        if inside || data.starts_with(path) {
            return Err(OpError::refused(
                Refusal::OverlappingLocation,
                format!(
                    "{} overlaps with data_dir ({}), which holds the catalogue: choose a directory of its own",
                    path.display(),
                    data.display()
                ),
            )
            .at("root"));
        }
        Ok(())
    }

    async fn make(&self, name: &StoreName) -> Result<(), OpError> {
        if let Some(detail) = writable::obstacle(&self.path, self.exists) {
            return Err(OpError::Store { kind: "store-unavailable", detail: detail.into() });
        }
        if self.exists {
            return Ok(());
        }
        LocalStore::create(&self.path).await.map(drop).map_err(|e| not_made(name, e))
    }

    /// Takes back an empty directory that was made for a store which did not come to be.
    fn unmake(&self) {
        if !self.exists
            && let Err(error) = fs::remove_dir(&self.path)
        {
            tracing::warn!(%error, root = %self.path.display(), "a directory made in vain stays");
        }
    }
}

/// Founds a store; `also` runs in the transaction that makes the row.
pub(in crate::ops) async fn found(
    app: &Arc<App>,
    actor: &Actor,
    place: Place,
    root: Option<LocalRoot>,
    also: fn(&mut Tx<'_>) -> Result<(), CatalogueError>,
) -> Result<StoreId, OpError> {
    let _alone = ONE_AT_A_TIME.lock().await;
    check_location(&app.catalogue.settings().topology, &place)?;
    if let Some(root) = &root {
        root.make(&place.name).await?;
    }
    let made = occupy(app, actor, &place, also).await;
    if let (Err(_), Some(root)) = (&made, &root) {
        root.unmake();
    }
    let id = made?;
    app.transfer.stores.look(id).await;
    Ok(id)
}

/// No two stores may see each other's objects.
fn check_location(topology: &Topology, place: &Place) -> Result<(), OpError> {
    if topology.store(place.name.as_str()).is_some() {
        return Err(taken(&place.name));
    }
    match topology.stores.values().find(|s| s.backend.overlaps(&place.backend)) {
        Some(other) => Err(OpError::refused(
            Refusal::OverlappingLocation,
            format!(
                "{} is the same as, inside of or around {}, where store {} lies: choose another place",
                place.backend.location(),
                other.backend.location(),
                other.name
            ),
        )
        .at(where_it_lies(&place.backend))),
        None => Ok(()),
    }
}

/// The field of a request that says where the store lies.
fn where_it_lies(backend: &BackendConfig) -> &'static str {
    match backend {
        BackendConfig::Local(_) => "root",
        BackendConfig::S3(_) => "bucket",
    }
}

/// Boxed: it is large, and reached from several rooms, each of which would compile it again.
fn occupy<'a>(
    app: &'a Arc<App>,
    actor: &'a Actor,
    place: &'a Place,
    also: fn(&mut Tx<'_>) -> Result<(), CatalogueError>,
) -> BoxFuture<'a, Result<StoreId, OpError>> {
    Box::pin(take(app, actor, place, also))
}

async fn take(
    app: &Arc<App>,
    actor: &Actor,
    place: &Place,
    also: fn(&mut Tx<'_>) -> Result<(), CatalogueError>,
) -> Result<StoreId, OpError> {
    let backend = stores::open(&place.backend).map_err(|e| not_made(&place.name, e))?;
    inspect(app, place, backend.as_ref()).await?;
    let id = app.catalogue.write(begin).await?;
    let store = Store {
        id,
        name: place.name.clone(),
        uid: random::hex(UID),
        backend: place.backend.clone(),
        instance_wide: place.instance_wide,
        soft_max_size: place.soft_max_size,
        max_size: place.max_size,
        generation: 1,
        created_at: Timestamp::default(),
    };
    let done = settle(app, actor, place, &store, backend.as_ref(), also).await;
    if done.is_err() {
        app.catalogue.write(clear).await?;
    }
    done.map(|()| id)
}

/// Takes an id, after clearing what an earlier attempt left.
fn begin(tx: &mut Tx<'_>) -> Result<StoreId, CatalogueError> {
    clear(tx)?;
    let id = tx.new_store_id()?;
    tx.set_value(&values::STORE_UNDER_WAY, &Some(id))?;
    Ok(id)
}

fn clear(tx: &mut Tx<'_>) -> Result<(), CatalogueError> {
    let left = tx.value(&values::STORE_UNDER_WAY)?.flatten();
    if let Some(id) = left.filter(|id| !tx.topology().stores.contains_key(id)) {
        tx.delete_store(id)?;
    }
    tx.set_value(&values::STORE_UNDER_WAY, &None)
}

/// Whether the location may be taken.
async fn inspect(app: &App, place: &Place, backend: &dyn Backend) -> Result<(), OpError> {
    let failed = |e| not_made(&place.name, e);
    let location = place.backend.location();
    let empty = match backend.read_marker().await.map_err(failed)? {
        None => backend.is_empty().await.map_err(failed)?,
        Some(found) if found.instance != app.catalogue.instance() => {
            return Err(OpError::refused(
                Refusal::ForeignMarker,
                Phrase::new(format!(
                    "{location} belongs to another Hayloft instance ({}): choose another place. If that instance is gone \
                     for good, remove the marker .hayloft-store there and adopt what is there (",
                    found.instance
                ))
                .setting(StoreSetting::Adopt)
                .text(")"),
            )
            .at(where_it_lies(&place.backend)));
        }
        Some(found) => {
            let settings = app.catalogue.settings();
            if let Some(owner) = settings.topology.stores.values().find(|s| s.uid == found.store) {
                return Err(OpError::refused(
                    Refusal::OverlappingLocation,
                    format!("{location} is where store {} lies already", owner.name),
                )
                .at(where_it_lies(&place.backend)));
            }
            // Left by a creation that a crash cut short, or by `store delete --force`.
            backend.list(None, 1).await.map_err(failed)?.objects.is_empty()
        }
    };
    if empty || place.adopt {
        return Ok(());
    }
    Err(OpError::refused(
        Refusal::LocationNotEmpty,
        Phrase::new(format!(
            "{location} is not empty: choose another place, or adopt what is there ("
        ))
        .setting(StoreSetting::Adopt)
        .text(
            "): everything stays as it is, and objects of Hayloft's shape are used when files with their digests appear",
        ),
    )
    .at("adopt"))
}

async fn settle(
    app: &App,
    actor: &Actor,
    place: &Place,
    store: &Store,
    backend: &dyn Backend,
    also: fn(&mut Tx<'_>) -> Result<(), CatalogueError>,
) -> Result<(), OpError> {
    let failed = |e| not_made(&place.name, e);
    if place.adopt {
        adopt(app, store, backend).await?;
    }
    backend.write_marker(&marker_of(app.catalogue.instance(), store)).await.map_err(failed)?;
    let (actor, place, row) = (actor.clone(), place.clone(), store.clone());
    let written = app
        .catalogue
        .write(move |tx| {
            check_location(tx.topology(), &place)?;
            let store = Store { created_at: tx.now(), ..row.clone() };
            Change::new("store.create", format!("store {}", store.name))
                .after(store_value(&store))
                .record(tx, &actor)?;
            tx.put_store(store)?;
            tx.set_value(&values::STORE_UNDER_WAY, &None)?;
            Ok::<_, OpError>(also(tx)?)
        })
        .await;
    if written.is_err()
        && let Err(error) = backend.delete_marker().await
    {
        tracing::warn!(%error, store = %store.name, "the marker of a store that did not come to be stays");
    }
    written
}

/// Records every object of our shape, page by page.
async fn adopt(app: &App, store: &Store, backend: &dyn Backend) -> Result<(), OpError> {
    let mut after = None;
    loop {
        let listed = backend.list(after.as_ref(), PAGE).await;
        let page = listed.map_err(|e| not_made(&store.name, e))?;
        let (id, objects) = (store.id, page.objects);
        app.catalogue
            .write(move |tx| {
                objects.iter().try_for_each(|o| tx.adopt(id, &o.digest, o.size))?;
                Ok::<_, OpError>(())
            })
            .await?;
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}
