//! What all handlers share: the limits, the models, the counters, and whether the server is about to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::FromRef;
use parkade_core::{EngineError, Refusal, TaskKind};
use parkade_sync::RwLock;
use tokio::sync::Semaphore;

use crate::access::{AccessState, Policy};
use crate::config::{ConfigError, ServerConfig};
use crate::generate::ModelEntry;
use crate::generate::durable::Durable;
use crate::generate::ignored_fields::IgnoredLog;
use crate::generate::in_flight::InFlight;
use crate::generate::in_hand::InHand;
use crate::generate::kept::{MemoryStore, Store};
use crate::generate::supersedes::Supersessions;
use crate::http::{ApiError, HttpState, Retry, quote};

/// The name that always means the first loaded model, of those that do what is asked for.
pub const DEFAULT_MODEL: &str = "default";

/// The state behind the router. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct AppState {
    shared: Arc<Shared>,
}

struct Shared {
    http: Arc<HttpState>,
    access: Arc<AccessState>,
    models: RwLock<Vec<Arc<ModelEntry>>>,
    in_flight: InFlight,
    kept: Arc<dyn Store>,
    durable: Durable,
    texts_in_hand: InHand,
    supersessions: Arc<Supersessions>,
    draining: AtomicBool,
    preparation: Arc<Semaphore>,
    ignored_log: IgnoredLog,
    started: Instant,
}

impl AppState {
    /// A server without a model; [`set_model`](Self::set_model) brings one.
    ///
    /// # Errors
    /// A limit that cannot work.
    pub fn new(config: ServerConfig) -> Result<Self, ConfigError> {
        let http = HttpState::new(config)?;
        // Templates and tokenizers compete with the model for the same cores: no more of them at once than cores.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            shared: Arc::new(Shared {
                access: AccessState::new(http.config.max_connections, http.config.objectives.clone()),
                models: RwLock::new("server.models", Vec::new()),
                in_flight: InFlight::new(),
                texts_in_hand: InHand::new(),
                kept: Arc::new(MemoryStore::new(http.config.kept_bytes, http.config.kept_for)),
                durable: Durable::new(http.config.store.clone()),
                supersessions: Arc::new(Supersessions::new()),
                draining: AtomicBool::new(false),
                preparation: Arc::new(Semaphore::new(cores)),
                ignored_log: IgnoredLog::new(),
                started: Instant::now(),
                http,
            }),
        })
    }

    /// Adds a model, or replaces the one of the same name. The first one is the `default`. The policy that is in force
    /// by [`set_policy`](Self::set_policy) holds for it too.
    pub fn set_model(&self, model: ModelEntry) {
        let model = Arc::new(model);
        // Taken first, so that no policy comes between.
        let mut models = self.shared.models.write();
        if let Some(policy) = self.shared.access.explicit_policy()
            && let (limits, history) = policy.of_scheduler()
            && let Err(error) = model.engine.reconfigure(limits, history)
        {
            tracing::error!(%error, model = model.name, "the model keeps the weights that it was started with");
        }
        match models.iter_mut().find(|known| known.name == model.name) {
            Some(known) => *known = model,
            None => models.push(model),
        }
    }

    /// Puts keys, rates and weights in force, for all models that are here and that will be. Requests that were taken
    /// go on as they are.
    ///
    /// # Errors
    /// If the weights or limits make no sense; then nothing changes.
    pub fn set_policy(&self, policy: Policy) -> Result<(), EngineError> {
        let models = self.shared.models.write();
        let (limits, history) = policy.of_scheduler();
        limits.validate()?;
        for model in models.iter() {
            model.engine.reconfigure(limits.clone(), history)?;
        }
        self.shared.access.set_policy(policy);
        Ok(())
    }

    /// What connections and requests share.
    pub(crate) fn http(&self) -> &Arc<HttpState> {
        &self.shared.http
    }

    /// Who may ask.
    pub(crate) fn access(&self) -> &Arc<AccessState> {
        &self.shared.access
    }

    /// Bodies of texts that are being worked off.
    pub(crate) fn texts_in_hand(&self) -> &InHand {
        &self.shared.texts_in_hand
    }

    /// Answers that can be asked for later.
    pub(crate) fn kept(&self) -> &Arc<dyn Store> {
        &self.shared.kept
    }

    /// Work that outlives its client.
    pub(crate) fn durable(&self) -> &Durable {
        &self.shared.durable
    }

    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.shared.in_flight
    }

    pub(crate) fn supersessions(&self) -> &Arc<Supersessions> {
        &self.shared.supersessions
    }

    /// All models, the default first.
    pub fn models(&self) -> Vec<Arc<ModelEntry>> {
        self.shared.models.read().clone()
    }

    /// The model that a request names; without a name the default.
    ///
    /// # Errors
    /// 503 while nothing is loaded, 404 for an unknown name.
    pub fn model(&self, name: Option<&str>) -> Result<Arc<ModelEntry>, ApiError> {
        let models = self.shared.models.read();
        let first = models.first().ok_or_else(loading)?;
        // A model that was given the name `default` by its operator is meant before the first one.
        let named = name.and_then(|name| models.iter().find(|model| model.answers_to(name)));
        match (named, name) {
            (Some(model), _) => Ok(model.clone()),
            (None, None | Some(DEFAULT_MODEL)) => Ok(first.clone()),
            (None, Some(name)) => {
                if let Some(model) = models.iter().find(|model| model.any_name) {
                    return Ok(model.clone());
                }
                let known: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
                let message =
                    format!("the model {} does not exist here; models: default, {}", quote(name), known.join(", "));
                Err(ApiError::not_found("model_not_found", message).with_param("model"))
            }
        }
    }

    /// The model that does what a path is for, of the name that a request gives. Without a name, or as `default`, the first one that does.
    ///
    /// # Errors
    /// As [`model`](Self::model), and 400 if the model has not learnt it: with what it does instead, and who has learnt it.
    pub(crate) fn model_for(&self, task: TaskKind, name: Option<&str>) -> Result<Arc<ModelEntry>, ApiError> {
        let named = self.model(name)?;
        let can = named.engine.task();
        if can == task {
            return Ok(named);
        }
        let able = self.models().into_iter().find(|model| model.engine.task() == task);
        let here = able.as_ref().map(|able| format!(", as {} here", quote(&able.name))).unwrap_or_default();
        if let (None | Some(DEFAULT_MODEL), Some(able)) = (name, able) {
            return Ok(able);
        }
        let (name, can, wanted) = (quote(&named.name), can.verb(), task.verb());
        let message = format!("the model {name} {can}; this path is for one that {wanted}{here}");
        Err(ApiError::bad_request("model_not_supported", message).with_param("model"))
    }

    /// Takes no new work from now on; readiness is false. Running requests go on.
    pub fn begin_drain(&self) {
        // Release and acquire: who sees the flag also sees what was written before the shutdown began.
        self.shared.draining.store(true, Ordering::Release);
    }

    /// Whether the server is about to end.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Acquire)
    }

    /// Whether a request would be taken.
    ///
    /// # Errors
    /// 503 with the reason why not.
    pub fn ready(&self) -> Result<(), ApiError> {
        self.is_open(self.has_died())
    }

    fn is_open(&self, is_dead: bool) -> Result<(), ApiError> {
        if self.is_draining() {
            return Err(ApiError::shutting_down(self.shared.http.config.drain_limit));
        }
        if self.shared.models.read().is_empty() {
            return Err(loading());
        }
        if is_dead { Err(ApiError::engine_stopped()) } else { Ok(()) }
    }

    /// Whether an engine has ended although nobody stopped the server: only a restart helps.
    pub fn has_died(&self) -> bool {
        !self.is_draining() && self.shared.models.read().iter().any(|model| !model.engine.is_alive())
    }

    /// Whether any request would be taken, asked for one that has come: counted as refused if not. While one model of several can
    /// still answer, only those for the others are refused, by their engines.
    pub(crate) fn admits(&self) -> Result<(), ApiError> {
        let all_dead = self.shared.models.read().iter().all(|model| !model.engine.is_alive());
        let refused = self.is_open(all_dead && !self.is_draining());
        if let (Err(_), Some(model)) = (&refused, self.shared.models.read().first()) {
            let refusal = match self.is_draining() {
                true => Refusal::Draining { retry_after: self.shared.http.config.drain_limit },
                false => Refusal::Stopped,
            };
            model.engine.note_refusal(&refusal);
        }
        refused
    }

    /// The limits.
    pub fn config(&self) -> &ServerConfig {
        &self.shared.http.config
    }

    /// Time since the state was made.
    pub fn uptime(&self) -> Duration {
        self.shared.started.elapsed()
    }

    pub(crate) fn ignored_log(&self) -> &IgnoredLog {
        &self.shared.ignored_log
    }

    /// Permission to render and tokenise.
    pub(crate) fn preparation(&self) -> &Arc<Semaphore> {
        &self.shared.preparation
    }
}

/// The port is open, but the model is still being loaded.
fn loading() -> ApiError {
    let message = "the model is still being loaded; GET /health/ready answers 200 when it can be used";
    ApiError::unavailable("model_loading", message, Retry::After(Duration::from_secs(1)))
}

impl FromRef<AppState> for Arc<AccessState> {
    fn from_ref(state: &AppState) -> Self {
        state.access().clone()
    }
}
