//! What all handlers share: the limits, the models, the counters, and whether the server is about to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::extract::FromRef;
use parkade_core::{Engine, EngineError, Refusal};
use parkade_model::ModelConfig;
use parkade_model::chat_template::ChatTemplate;
use parkade_model::tokenizer::Tokenizer;
use parkade_sync::RwLock;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::access::{AccessState, Policy};
use crate::config::{ConfigError, ServerConfig};
use crate::generate::ignored_fields::IgnoredLog;
use crate::generate::in_flight::InFlight;
use crate::http::error::ApiError;
use crate::http::state::HttpState;

/// The name that always means the first loaded model.
pub const DEFAULT_MODEL: &str = "default";

/// A model that can answer.
#[non_exhaustive]
pub struct ModelEntry {
    /// The name under which it is listed.
    pub name: String,
    /// Further names that mean it.
    pub aliases: Vec<String>,
    /// The engine that runs it.
    pub engine: Engine,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Its chat template; without one only `/v1/completions` works.
    pub template: Option<Arc<ChatTemplate>>,
    /// Its geometry.
    pub config: ModelConfig,
    /// When it was loaded, in seconds since 1970.
    pub created: u64,
    /// What answers report as `system_fingerprint`: the same for the same model and version.
    pub fingerprint: String,
    /// The longest text of one token in bytes: what a prompt's length in tokens is estimated with.
    pub(crate) longest_token: usize,
}

impl ModelEntry {
    /// A model under a name, loaded now.
    pub fn new(
        name: impl Into<String>,
        engine: Engine,
        tokenizer: Arc<Tokenizer>,
        template: Option<Arc<ChatTemplate>>,
        config: ModelConfig,
    ) -> Self {
        let name = name.into();
        let longest_token = (0..tokenizer.vocab_size())
            .filter_map(|id| u32::try_from(id).ok())
            .map(|id| {
                let bytes = tokenizer.token_bytes(id).len();
                bytes.max(tokenizer.token_text(id).len())
            })
            .max()
            .unwrap_or(1)
            .max(1);
        let geometry = format!("{} {name} {config:?}", env!("CARGO_PKG_VERSION"));
        let digest = Sha256::digest(geometry.as_bytes());
        let fingerprint = digest[..5].iter().fold("fp_".to_owned(), |text, byte| text + &format!("{byte:02x}"));
        Self {
            name,
            aliases: Vec::new(),
            engine,
            tokenizer,
            template,
            config,
            created: unix_seconds(),
            fingerprint,
            longest_token,
        }
    }

    /// Adds names that mean this model too.
    #[must_use]
    pub fn with_aliases(mut self, aliases: impl IntoIterator<Item = String>) -> Self {
        self.aliases.extend(aliases);
        self
    }

    /// Whether a request's `model` means this one.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// Seconds since 1970, as OpenAI's `created`.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

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
                access: AccessState::new(http.config.max_connections),
                http,
                models: RwLock::new("server.models", Vec::new()),
                in_flight: InFlight::new(),
                draining: AtomicBool::new(false),
                preparation: Arc::new(Semaphore::new(cores)),
                ignored_log: IgnoredLog::new(),
                started: Instant::now(),
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
            && let Err(error) = model.engine.reconfigure(&policy.lot_settings())
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
        policy.lot_settings().validate()?;
        for model in models.iter() {
            model.engine.reconfigure(&policy.lot_settings())?;
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

    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.shared.in_flight
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
        let first = models.first().ok_or_else(ApiError::model_loading)?;
        // A model that was given the name `default` by its operator is meant before the first one.
        let named = name.and_then(|name| models.iter().find(|model| model.answers_to(name)));
        match (named, name) {
            (Some(model), _) => Ok(model.clone()),
            (None, None | Some(DEFAULT_MODEL)) => Ok(first.clone()),
            (None, Some(name)) => {
                let known: Vec<_> = models.iter().map(|model| model.name.clone()).collect();
                Err(ApiError::model_not_found(name, &known))
            }
        }
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
            return Err(ApiError::model_loading());
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
    pub fn uptime(&self) -> std::time::Duration {
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

impl FromRef<AppState> for Arc<AccessState> {
    fn from_ref(state: &AppState) -> Self {
        state.access().clone()
    }
}
