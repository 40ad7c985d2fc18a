//! Open backends and whether they can be used: unavailable is not empty (SPEC 2).

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::catalogue::{Catalogue, values};
use crate::domain::{BackendConfig, Diagnosis, Store, StoreId, StoreProblem, Timestamp};
use crate::stores::{self, Backend, Marker, StoreError};

/// A look at a marker waits this long for an answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);
/// After this long the store counts as unavailable, whatever the look still hears.
const SILENCE: Duration = Duration::from_secs(5);
/// How long anybody waits for a store that was last seen unavailable.
const LITTLE_PATIENCE: Duration = Duration::from_secs(1);
/// A remote store's marker is read again after this long.
const FRESH: Duration = Duration::from_secs(2);

/// What the last look at a store's marker said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthState {
    /// Not looked at yet.
    Unknown,
    /// The marker is ours and at our generation.
    Ok,
    /// No write starts, nothing is marked missing.
    Unavailable(Diagnosis),
    /// Usable, but the marker is another's or of another generation: nothing is deleted until
    /// `store reconcile`.
    Foreign(Diagnosis),
}

impl HealthState {
    pub fn is_available(&self) -> bool {
        matches!(self, Self::Ok | Self::Foreign(_))
    }

    pub fn allows_deletion(&self) -> bool {
        matches!(self, Self::Ok)
    }

    /// Why no deletion, or nothing at all, is possible now.
    pub fn obstacle(&self) -> Diagnosis {
        self.problem().cloned().unwrap_or_else(|| "it was not looked at yet".into())
    }

    pub fn problem(&self) -> Option<&Diagnosis> {
        match self {
            Self::Unknown | Self::Ok => None,
            Self::Unavailable(why) | Self::Foreign(why) => Some(why),
        }
    }
}

#[derive(Debug, Clone)]
struct Seen {
    state: HealthState,
    since: Option<Timestamp>,
    looked: Option<Instant>,
    /// Looks that have begun, and when the last of them did.
    begun: u64,
    begun_at: Option<Instant>,
    /// The last look that came to its end, by the count of `begun`.
    ended: u64,
    /// True from a look without an answer to the next one with any.
    silent: bool,
}

/// A backend with its health.
#[derive(Debug)]
pub struct OpenStore {
    pub id: StoreId,
    pub backend: Arc<dyn Backend>,
    config: BackendConfig,
    seen: Mutex<Seen>,
    /// One look at a time: the others wait for its answer.
    looking: Arc<tokio::sync::Mutex<()>>,
}

/// The right to look.
type Turn = tokio::sync::OwnedMutexGuard<()>;

impl OpenStore {
    fn new(id: StoreId, backend: Arc<dyn Backend>, config: BackendConfig) -> Arc<Self> {
        let seen = Seen {
            state: HealthState::Unknown,
            since: None,
            looked: None,
            begun: 0,
            begun_at: None,
            ended: 0,
            silent: false,
        };
        Arc::new(Self { id, backend, config, seen: Mutex::new(seen), looking: Arc::default() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn state(&self) -> HealthState {
        self.seen().state.clone()
    }

    /// True while the store does not even say what is wrong: calls to it would hang.
    pub fn is_silent(&self) -> bool {
        self.seen().silent
    }

    /// The state, and since when it is that.
    pub fn health(&self) -> (HealthState, Option<Timestamp>) {
        let seen = self.seen();
        (seen.state.clone(), seen.since)
    }

    fn begin(&self) -> u64 {
        let mut seen = self.seen();
        seen.begun += 1;
        seen.begun_at = Some(Instant::now());
        seen.begun
    }

    fn begun(&self) -> u64 {
        self.seen().begun
    }

    /// Whether a look that began after the first `begun` ones has ended.
    fn was_looked_at_since(&self, begun: u64) -> bool {
        self.seen().ended > begun
    }

    fn set(&self, state: HealthState, now: Timestamp, name: &str) {
        let mut seen = self.seen();
        if seen.state != state {
            if let Some(problem) = state.problem() {
                tracing::warn!(store = name, %problem, "a store cannot be used as usual");
            } else if seen.state.problem().is_some() {
                tracing::info!(store = name, "a store can be used again");
            }
            seen.since = Some(now);
            seen.state = state;
        }
        seen.silent = false;
        seen.looked = Some(Instant::now());
    }

    /// No answer came in time. What was wrong before is said on: it is known better.
    fn set_silent(&self, now: Timestamp, name: &str) {
        if !matches!(self.state(), HealthState::Unavailable(_)) {
            let problem = StoreProblem::NoAnswer { seconds: SILENCE.as_secs() };
            self.set(HealthState::Unavailable(problem.into()), now, name);
        }
        self.seen().silent = true;
    }

    /// What is left of `patience` for a look that is under way.
    fn left_of(&self, patience: Duration) -> Duration {
        let begun = self.seen().begun_at;
        patience.saturating_sub(begun.map_or(Duration::ZERO, |at| at.elapsed()))
    }

    fn is_fresh(&self) -> bool {
        let seen = self.seen();
        seen.state.is_available()
            && matches!(self.config, BackendConfig::S3(_))
            && seen.looked.is_some_and(|at| at.elapsed() < FRESH)
    }
}

/// The backends of all stores, opened when first needed. All clones share them.
#[derive(Debug, Clone)]
pub struct OpenStores {
    catalogue: Arc<Catalogue>,
    open: Arc<RwLock<HashMap<StoreId, Arc<OpenStore>>>>,
    /// Older generations that a marker may carry while, or after a crash in which, it is raised.
    tolerated: Arc<RwLock<BTreeMap<StoreId, u64>>>,
}

/// The marker that a store of this instance must carry.
pub fn marker_of(instance: &str, store: &Store) -> Marker {
    Marker {
        format: 1,
        instance: instance.to_owned(),
        store: store.uid.clone(),
        generation: store.generation,
    }
}

impl OpenStores {
    pub(super) fn new(catalogue: Arc<Catalogue>) -> Self {
        let raising = catalogue.snapshot().and_then(|s| s.value(&values::RAISING_GENERATION));
        let raising = raising.unwrap_or_else(|error| {
            tracing::error!(%error, "what a crash left of raised generations cannot be read");
            None
        });
        let tolerated = raising.unwrap_or_default().into_iter().map(|(s, g)| (StoreId(s), g));
        let tolerated = Arc::new(RwLock::new(tolerated.collect()));
        Self { catalogue, open: Arc::default(), tolerated }
    }

    /// A marker at `generation` counts as ours until the next call: the catalogue is about to say,
    /// or says already, the next one.
    pub fn tolerate(&self, id: StoreId, generation: Option<u64>) {
        let mut tolerated = self.tolerated.write().unwrap_or_else(PoisonError::into_inner);
        match generation {
            Some(generation) => tolerated.insert(id, generation),
            None => tolerated.remove(&id),
        };
    }

    /// Whether the marker may still be of an older generation.
    pub fn is_tolerating(&self, id: StoreId) -> bool {
        self.tolerated.read().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    fn is_tolerated(&self, found: &Marker, expected: &Marker, id: StoreId) -> bool {
        let tolerated = self.tolerated.read().unwrap_or_else(PoisonError::into_inner);
        tolerated.get(&id).is_some_and(|g| *found == Marker { generation: *g, ..expected.clone() })
    }

    /// The store's backend, opened (without contacting it) when its configuration is new.
    pub fn get(&self, id: StoreId) -> Result<Arc<OpenStore>, StoreError> {
        let settings = self.catalogue.settings();
        let store = settings.topology.stores.get(&id).ok_or(StoreError::NotFound)?;
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = open.get(&id).filter(|o| o.config == store.backend) {
            return Ok(Arc::clone(found));
        }
        drop(open);
        let backend = stores::open(&store.backend)?;
        Ok(self.install(id, backend, store.backend.clone()))
    }

    /// Puts a backend in place of what the configuration says: tests inject faults with it.
    pub fn install(
        &self,
        id: StoreId,
        backend: Arc<dyn Backend>,
        config: BackendConfig,
    ) -> Arc<OpenStore> {
        let opened = OpenStore::new(id, backend, config);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(id, Arc::clone(&opened));
        opened
    }

    /// The store's name, for the log.
    pub fn name(&self, id: StoreId) -> String {
        self.catalogue.settings().topology.store_name(id)
    }

    /// Forgets a deleted store.
    pub fn forget(&self, id: StoreId) {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Reads the marker now and returns what it says. Whoever comes while another looks shares the next
    /// look.
    pub async fn look(&self, id: StoreId) -> HealthState {
        let open = match self.get(id) {
            Ok(open) => open,
            Err(error) => return HealthState::Unavailable(error.into()),
        };
        let before = open.begun();
        let turn = Arc::clone(&open.looking).lock_owned().await;
        if open.was_looked_at_since(before) {
            return open.state();
        }
        // On the heap: whoever asks is deep in a request, whose future is large enough.
        Box::pin(self.look_now(&open, turn)).await
    }

    async fn look_now(&self, open: &OpenStore, _turn: Turn) -> HealthState {
        let number = open.begin();
        let (id, now) = (open.id, || self.catalogue.clock().now());
        let ask = async {
            let mut state = self.judge(id, open.backend.read_marker().await);
            if matches!(state, HealthState::Foreign(_)) {
                // The generation may have been raised between the answer and the judgement.
                state = self.judge(id, open.backend.read_marker().await);
            }
            state
        };
        let mut ask = pin!(ask);
        let mut answered = timeout(SILENCE, &mut ask).await;
        if answered.is_err() {
            open.set_silent(now(), &self.name(id));
            answered = timeout(PROBE_TIMEOUT.saturating_sub(SILENCE), &mut ask).await;
        }
        match answered {
            Ok(state) => open.set(state, now(), &self.name(id)),
            Err(_) => open.set_silent(now(), &self.name(id)),
        }
        open.seen().ended = number;
        open.state()
    }

    /// The state after a look, for someone who waits for `patience` at most. The look goes on without
    /// them, and while it does no other begins.
    pub async fn glimpse(&self, id: StoreId, patience: Duration) -> HealthState {
        let open = match self.get(id) {
            Ok(open) => open,
            Err(error) => return HealthState::Unavailable(error.into()),
        };
        if open.is_fresh() {
            return open.state();
        }
        let patience = match open.state() {
            HealthState::Unavailable(_) => patience.min(LITTLE_PATIENCE),
            HealthState::Unknown | HealthState::Ok | HealthState::Foreign(_) => patience,
        };
        // Who gets no answer in time learns what is known.
        if let Ok(turn) = Arc::clone(&open.looking).try_lock_owned() {
            let (me, looked) = (self.clone(), Arc::clone(&open));
            let look = tokio::spawn(async move { me.look_now(&looked, turn).await });
            timeout(patience, look).await.ok();
        } else {
            timeout(open.left_of(patience), open.looking.lock()).await.ok();
        }
        open.state()
    }

    fn judge(&self, id: StoreId, answer: Result<Option<Marker>, StoreError>) -> HealthState {
        let settings = self.catalogue.settings();
        let Some(store) = settings.topology.stores.get(&id) else {
            return HealthState::Unavailable("the store was deleted".into());
        };
        let expected = marker_of(self.catalogue.instance(), store);
        match answer {
            Err(error) => HealthState::Unavailable(error.into()),
            Ok(None) => HealthState::Unavailable(no_marker(&store.backend).into()),
            Ok(Some(found)) if self.is_tolerated(&found, &expected, id) => HealthState::Ok,
            Ok(Some(found)) => match found.foreign(&expected, store.backend.location()) {
                None => HealthState::Ok,
                Some(problem) => HealthState::Foreign(problem.into()),
            },
        }
    }

    /// The store's state, from a look no older than its kind allows: a local marker is read each
    /// time, a remote one every two seconds. A store that was last seen unavailable is not waited for.
    pub async fn check(&self, id: StoreId) -> HealthState {
        let Ok(open) = self.get(id) else {
            return self.look(id).await;
        };
        if open.is_fresh() {
            return open.state();
        }
        if matches!(open.state(), HealthState::Unavailable(_)) {
            return self.glimpse(id, LITTLE_PATIENCE).await;
        }
        let before = open.begun();
        let turn = Arc::clone(&open.looking).lock_owned();
        // A look that takes longer has said by then that the store is silent.
        let Ok(turn) = timeout(SILENCE + LITTLE_PATIENCE, turn).await else { return open.state() };
        if open.is_fresh() || open.was_looked_at_since(before) {
            return open.state();
        }
        // On the heap: whoever asks is deep in a request, whose future is large enough.
        Box::pin(self.look_now(&open, turn)).await
    }

    /// Bytes free on the disk of a store that is well; `None` for others and where that means nothing.
    /// Blocks for a moment at most, so not to be asked with a snapshot in hand.
    pub fn free_room(&self, id: StoreId) -> Option<u64> {
        let open = self.get(id).ok()?;
        // A disk that does not answer its marker would not answer this either.
        let is_well = !matches!(open.state(), HealthState::Unavailable(_));
        is_well.then(|| open.backend.free_space().ok().flatten()).flatten()
    }

    /// The state as last seen, without a look.
    pub fn last_seen(&self, id: StoreId) -> HealthState {
        self.get(id).map_or_else(|e| HealthState::Unavailable(e.into()), |open| open.state())
    }

    /// A call failed in a way that puts the whole store in doubt: it is unavailable until the next look.
    pub fn report(&self, id: StoreId, error: &StoreError) {
        if let (StoreError::Unavailable(found), Ok(open)) = (error, self.get(id))
            && !matches!(open.state(), HealthState::Unavailable(_))
        {
            let now = self.catalogue.clock().now();
            open.set(HealthState::Unavailable((**found).clone()), now, &self.name(id));
        }
    }
}

fn no_marker(backend: &BackendConfig) -> StoreProblem {
    let location = backend.location();
    match backend {
        BackendConfig::Local(_) => StoreProblem::NoMarkerInDirectory { location },
        BackendConfig::S3(_) => StoreProblem::NoMarkerInBucket { location },
    }
}
