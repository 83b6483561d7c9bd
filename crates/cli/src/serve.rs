//! `parkade serve`: the port first, then the model, then answers until somebody says stop.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use parkade_core::{EngineError, LoadError, Loaded, OutOfRange, SchedulerKind};
use parkade_server::{AppState, Listener, ModelEntry, ServerConfig, Tls};
use parkade_store::{Place, Retention, StoreConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::args::{ServeArgs, StoreArgs};
use crate::config::Settings;
use crate::directories;
use crate::listeners::{self, DEFAULT_HOST, ListenError};
use crate::loading::{self, Models, ModelsError};
use crate::machine::Machine;
use crate::models::DEFAULT_NAMES;
use crate::open_files;
use crate::policy::{self, PolicyError};
use crate::stderr;

/// Why the server did not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A model's file is not there, or its KV cache cannot fit.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The keys, weights or limits make no sense.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A limit of the engine that makes no sense.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A default for requests that makes no sense.
    #[error(transparent)]
    Answers(#[from] OutOfRange),
    /// A limit of the server that makes no sense.
    #[error(transparent)]
    Server(#[from] parkade_server::ConfigError),
    /// A port, a socket or a certificate cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The model cannot be used.
    #[error("cannot load the model: {0}")]
    Load(#[from] LoadError),
    /// The loading thread died.
    #[error("loading the model failed by a fault of Parkade's own; the message above says where")]
    LoadPanicked,
    /// The system refused something that a server needs.
    #[error("{what}: {source}")]
    System {
        /// What it refused.
        what: &'static str,
        /// Its reason.
        source: io::Error,
    },
}

impl ServeError {
    /// Whether the flags are at fault, and not the machine.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            ServeError::Policy(_)
                | ServeError::Engine(_)
                | ServeError::Server(_)
                | ServeError::Answers(_)
                | ServeError::Models(ModelsError::Memory(_))
        ) || matches!(self, ServeError::Listen(error) if error.is_usage())
    }
}

impl ServeError {
    /// The settings that it is about, or the fields of a configuration that they fill.
    #[must_use]
    pub fn settings(&self) -> Vec<&str> {
        match self {
            ServeError::Models(error) => vec![error.setting()],
            ServeError::Policy(PolicyError::Keys(_)) => vec!["api-keys"],
            ServeError::Policy(PolicyError::Webhook(error)) => vec![error.setting()],
            ServeError::Policy(PolicyError::WebhookPlace(parkade_server::PolicyError::Webhook(_))) => {
                vec!["webhook-url"]
            }
            ServeError::Policy(PolicyError::WebhookPlace(_)) => vec!["api-keys"],
            ServeError::Policy(PolicyError::Engine(error)) | ServeError::Engine(error) => {
                vec![loading::setting_of_engine(error)]
            }
            ServeError::Server(error) => vec![error.field],
            ServeError::Answers(error) => vec![error.field],
            ServeError::Listen(error) => error.settings(),
            ServeError::Load(error) => vec![loading::setting_of(error)],
            ServeError::Policy(_) | ServeError::LoadPanicked | ServeError::System { .. } => Vec::new(),
        }
    }
}

/// What `--print-config` prints.
///
/// # Errors
/// If the configuration file's own section of weights and limits makes no sense.
pub fn configuration(settings: &Settings, args: &ServeArgs) -> Result<String, ServeError> {
    let threads = loading::threads(&args.model, &Machine::read());
    let mut computed = vec![("threads", threads.to_string())];
    if args.listen.unix.is_none() {
        computed.push(("host", DEFAULT_HOST.to_owned()));
    }
    if args.store.store.is_none() {
        computed.push(("store", directories::store().display().to_string()));
    }
    Ok(settings.as_file(&computed) + &policy::as_section(settings.file.as_deref())?)
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps it from serving; see [`ServeError`].
pub fn serve(args: &ServeArgs, file: Option<&Path>) -> Result<(), ServeError> {
    // What can be known to be wrong is said before the port opens.
    let engine = loading::engine_config(&args.scheduling);
    engine.validate()?;
    args.answers.defaults().validate()?;
    let models = Models::find(&args.model, &args.embedding, engine, &Machine::read())?;
    let config = server_config(args);
    let drain_limit = config.drain_limit;
    open_files::make_room_for(config.max_connections);
    let state = AppState::new(config)?;
    load_policy(&state, args, file)?;

    // One thread is enough for the sockets: the cores belong to the model.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ServeError::System { what: "cannot start the event loop", source })?;
    let code = runtime.block_on(listen(args, file, state, models, drain_limit));
    // A model that is still loading is not waited for.
    runtime.shutdown_background();
    code
}

fn server_config(args: &ServeArgs) -> ServerConfig {
    let defaults = ServerConfig::default();
    let max_body_bytes = args.listen.max_body_mb.saturating_mul(1 << 20);
    ServerConfig {
        max_connections: args.listen.max_connections,
        idle_timeout: Duration::from_secs(args.listen.idle_seconds),
        strict: args.listen.strict,
        slots: args.listen.slots,
        max_body_bytes,
        // Several of the largest must fit, of several senders.
        body_memory_bytes: defaults.body_memory_bytes.max(max_body_bytes.saturating_mul(4)),
        drain_limit: Duration::from_secs(args.listen.drain_seconds),
        drain_waiting: args.listen.drain_waiting,
        log_lines_dropped: stderr::dropped,
        cors_origins: listed(args.listen.cors_origins.as_deref()),
        allowed_hosts: listed(args.listen.allowed_hosts.as_deref()),
        host_names: listeners::hosts(&args.listen),
        objectives: args.listen.gateway_objectives.iter().cloned().collect(),
        store: store_config(&args.store),
        retention: retention(&args.store),
        ..defaults
    }
}

/// Where durable work is kept; none if it is not.
fn store_config(args: &StoreArgs) -> Option<StoreConfig> {
    let place = match args.store.as_deref() {
        Some("none") => return None,
        Some(place) => Place::parse(place),
        None => Place::Sqlite(directories::store()),
    };
    let lease = Duration::from_secs(args.lease_seconds);
    Some(StoreConfig { quota: args.store_quota_mb.saturating_mul(1 << 20), lease, ..StoreConfig::at(place) })
}

fn retention(args: &StoreArgs) -> Retention {
    let time = Duration::from_secs(args.store_days.saturating_mul(24 * 3600));
    Retention { answers: time, batches: time, ..Retention::default() }
}

/// The members of a comma-separated list.
fn listed(text: Option<&str>) -> Vec<String> {
    let members = text.unwrap_or_default().split(',').map(str::trim);
    members.filter(|member| !member.is_empty()).map(str::to_owned).collect()
}

async fn listen(
    args: &ServeArgs,
    file: Option<&Path>,
    state: AppState,
    models: Models,
    drain_limit: Duration,
) -> Result<(), ServeError> {
    let tls = listeners::tls(&args.listen)?;
    let listeners = listeners::open(&args.listen, tls.as_ref()).await?;
    let urls: Vec<String> = listeners.iter().map(url_of).collect();

    let shutdown = shutdown_signal()?;
    let names = names(args, &models);
    let mut loading = load_in_background(models)?;
    let serving = parkade_server::serve(listeners, state.clone(), shutdown);
    tokio::pin!(serving);
    let mut hangup = signal_handler(SignalKind::hangup())?;
    // It would end the process when the log's file may not grow; that somebody listens makes it an error of the write.
    let _log_file_full = signal_handler(SignalKind::from_raw(libc::SIGXFSZ))?;
    let mut engines = Vec::new();
    let ended = loop {
        tokio::select! {
            ended = &mut serving => break ended,
            loaded = &mut loading, if engines.is_empty() => {
                let (first, beside) = loaded.map_err(|_| ServeError::LoadPanicked)??;
                for (loaded, names) in [first].into_iter().chain(beside).zip(&names) {
                    engines.push(loaded.engine.clone());
                    tracing::info!(model = %loaded.name, url = urls.join(", "), "ready");
                    let entry = entry(loaded, names).with_call_style(args.listen.tool_call_parser);
                    state.set_model(entry.with_defaults(args.answers.defaults()));
                }
            }
            Some(()) = hangup.recv() => read_again(&state, args, file, tls.as_deref()),
        }
    };
    ended.map_err(|source| ServeError::System { what: "the server's socket failed", source })?;
    // Their own threads: draining blocks, and this one still hears the second Ctrl-C.
    let drains = engines.into_iter().map(|engine| tokio::task::spawn_blocking(move || engine.drain(drain_limit)));
    for drain in drains.collect::<Vec<_>>() {
        drain.await.map_err(|error| ServeError::System {
            what: "the engine did not end well",
            source: io::Error::other(error),
        })?;
    }
    Ok(())
}

/// Where the API is, as clients take it.
fn url_of(listener: &Listener) -> String {
    let place = listener.to_string();
    if place.starts_with("unix:") { place } else { place + "/v1" }
}

/// Reads again what may change while the server runs. What cannot be used changes nothing.
fn read_again(state: &AppState, args: &ServeArgs, file: Option<&Path>, tls: Option<&Tls>) {
    match load_policy(state, args, file) {
        Ok(()) => tracing::info!(signal = "SIGHUP", "keys, weights and limits were read again"),
        Err(error) => tracing::error!(signal = "SIGHUP", "everything stays as it was: {error}"),
    }
    match tls.map(Tls::reload) {
        Some(Ok(())) => tracing::info!(signal = "SIGHUP", "the certificate was read again"),
        Some(Err(error)) => tracing::error!(signal = "SIGHUP", "the certificate stays as it was: {error}"),
        None => {}
    }
}

/// Puts the keys file and the section `[parking-lot]` in force, all of it or nothing.
fn load_policy(state: &AppState, args: &ServeArgs, file: Option<&Path>) -> Result<(), PolicyError> {
    let policy = policy::read(args, file)?;
    if policy.keys.is_some() && args.scheduling.scheduler == SchedulerKind::Default {
        tracing::warn!(
            "the scheduler 'default' knows no classes, weights or lines of tenants: of the keys file only the rates hold"
        );
    }
    let keys = policy.keys.as_ref().map(parkade_server::ApiKeys::len);
    state.set_policy(policy)?;
    tracing::debug!(keys, "policy in force");
    Ok(())
}

fn signal_handler(kind: SignalKind) -> Result<Signal, ServeError> {
    signal(kind).map_err(|source| ServeError::System { what: "cannot handle signals", source })
}

/// The models that are served, the default first.
type LoadedModels = (Loaded, Option<Loaded>);

fn load_in_background(models: Models) -> Result<oneshot::Receiver<Result<LoadedModels, LoadError>>, ServeError> {
    let (done, loading) = oneshot::channel();
    let load = move || {
        let started = Instant::now();
        let loaded = models.load();
        tracing::debug!(seconds = started.elapsed().as_secs_f64(), "loading ended");
        // Nobody listens any more if the server was stopped meanwhile.
        let _ = done.send(loaded);
    };
    let thread = std::thread::Builder::new().name("load-model".to_owned()).spawn(load);
    thread.map_err(|source| ServeError::System { what: "cannot start a thread", source })?;
    Ok(loading)
}

/// What a model is called.
struct Names {
    /// Further names under which requests may ask for it.
    further: Vec<String>,
    /// Names that its operator gave it.
    given: Vec<String>,
    /// Its file, without the folder.
    file: String,
}

fn entry(loaded: Loaded, names: &Names) -> ModelEntry {
    let Loaded { engine, tokenizer, template, pairs, config, name, .. } = loaded;
    ModelEntry::new(name, engine, tokenizer, template, config)
        .with_pairs(pairs)
        .with_aliases(names.further.clone())
        .with_given_aliases(&names.given)
        .with_file_name(&names.file)
}

/// What each model is called: further names are how it was given, and all names of the default one.
fn names(args: &ServeArgs, models: &Models) -> Vec<Names> {
    let first = (Some(&args.model.model), Some(&models.path));
    let second = (args.embedding.embedding_model.as_ref(), models.beside.as_ref().map(|(path, _)| path));
    let mut all = Vec::new();
    for (given, path) in [first, second] {
        let mut further: Vec<String> = given.into_iter().cloned().collect();
        if path.is_some_and(|path| *path == crate::directories::default_model()) {
            further.extend(DEFAULT_NAMES.map(str::to_owned));
        }
        let file =
            path.and_then(|path| path.file_name()).map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        // Of two models the first is what the flag is about.
        let given = if all.is_empty() { listed(args.listen.alias.as_deref()) } else { Vec::new() };
        all.push(Names { further, given, file });
    }
    all
}

/// Resolves at the first SIGTERM or SIGINT. A second SIGINT ends the process at once: whoever presses Ctrl-C twice does
/// not want to wait for the answers that run.
fn shutdown_signal() -> Result<impl Future<Output = ()> + Send + 'static, ServeError> {
    let mut terminate = signal_handler(SignalKind::terminate())?;
    let mut interrupt = signal_handler(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "stopping: running answers end first"),
            _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "stopping: running answers end first (Ctrl-C again: at once)"),
        }
        tokio::spawn(async move {
            interrupt.recv().await;
            tracing::warn!("stopped at once");
            stderr::flush();
            std::process::exit(130);
        });
    })
}
