//! `parkade bench overload`: what a server keeps of its promises when it is asked for more than it can do.

mod capacity;
mod flood;
mod levels;
mod vanish;

use crate::load::client::ask;
use crate::load::{Class, Mix, Slo, Target, Workload};
use crate::machine::resident_bytes;
use crate::report::Report;
use crate::serve::{Traffic, seconds};
use crate::started::{self, Started};
use crate::{BenchError, Samples, peer, random, runtime};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Overloads a server: one that runs (--url), or one that this command starts and stops itself.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Server to measure; without it, one is started: this program with `serve`
    #[arg(long)]
    pub url: Option<String>,
    /// Process whose memory is watched, when the server was not started here
    #[arg(long, requires = "url")]
    pub server_pid: Option<u32>,
    /// Scheduler of the server that is started
    #[arg(long, conflicts_with = "url")]
    pub scheduler: Option<String>,
    /// Program to start instead of this one
    #[arg(long, conflicts_with = "url")]
    pub server_bin: Option<PathBuf>,
    /// Further argument for the server that is started, for example --server-arg=--max-seqs=16
    #[arg(long = "server-arg", conflicts_with = "url", allow_hyphen_values = true)]
    pub server_args: Vec<String>,
    /// What happens to the server
    #[arg(long, value_enum, default_value_t = Scenario::Load)]
    pub scenario: Scenario,
    /// For how long requests are sent at each load, or in the scenario
    #[arg(long, default_value_t = 60.0)]
    pub seconds: f64,
    /// Loads, in multiples of the measured capacity
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    pub loads: Vec<f64>,
    /// Share of requests of the high class
    #[arg(long, default_value_t = 0.1)]
    pub high_share: f64,
    /// Before each load, send only its requests of the high class, at the same moments: what they wait for each other
    #[arg(long)]
    pub alone: bool,
    /// Longest time to the first text of a good answer, in ms
    #[arg(long, default_value_t = 2_000)]
    pub slo_ttft_ms: u64,
    /// Longest mean time between two tokens of a good answer, in ms
    #[arg(long, default_value_t = 200)]
    pub slo_itl_ms: u64,
    /// Do not tell the server the SLO for the first text (header x-slo-ttft-ms)
    #[arg(long)]
    pub no_announce: bool,
    /// Take this as the capacity, in requests a second, instead of measuring it
    #[arg(long)]
    pub capacity: Option<f64>,
    /// Seconds for each step of measuring the capacity
    #[arg(long, default_value_t = 15.0)]
    pub capacity_seconds: f64,
    /// Requests, one after the other, that say what the unloaded server does
    #[arg(long, default_value_t = 100)]
    pub baseline_requests: usize,
    /// Seconds at the start of each load that are sent but not counted
    #[arg(long, default_value_t = 5.0)]
    pub warmup_seconds: f64,
    /// tenant-flood: well-behaved tenants beside the one that floods
    #[arg(long, default_value_t = 4)]
    pub tenants: usize,
    /// tenant-flood: how many times as much as each of the others the flooding tenant sends
    #[arg(long, default_value_t = 100.0)]
    pub flood: f64,
    /// tenant-flood: what each of the others asks for, as a part of its fair share of the capacity
    #[arg(long, default_value_t = 0.8)]
    pub tenant_load: f64,
    /// vanish: clients at a time
    #[arg(long, default_value_t = 200)]
    pub clients: usize,
    /// vanish: each client goes away between 0 and so many seconds after it asked
    #[arg(long, default_value_t = 5.0)]
    pub vanish_within_seconds: f64,
    /// vanish: how long the server may take to notice that all have gone
    #[arg(long, default_value_t = 10.0)]
    pub settle_seconds: f64,
    /// What is asked
    #[command(flatten)]
    pub traffic: Traffic,
}

impl Options {
    /// What the server under test is started with.
    fn server_arguments(&self) -> Vec<String> {
        let flags = [("--scheduler", &self.scheduler), ("--model", &self.traffic.model)];
        let flags =
            flags.iter().flat_map(|(flag, value)| value.iter().flat_map(|value| [flag.to_string(), value.clone()]));
        flags.chain(self.server_args.iter().cloned()).collect()
    }
}

/// What happens to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Poisson arrivals at multiples of the capacity, some of them of the high class.
    Load,
    /// One tenant sends a hundred times as much as each of the others.
    TenantFlood,
    /// Many clients that vanish at random moments; nothing of theirs may be left.
    Vanish,
}

/// Numbers of requests in the phases of a run: no phase repeats another's prompts.
#[derive(Clone, Copy)]
enum Phase {
    Baseline,
    Capacity(usize),
    Level(usize),
    Scenario,
}

impl Phase {
    fn first(self) -> u64 {
        let (phase, step) = match self {
            Phase::Baseline => (1, 0),
            Phase::Capacity(step) => (2, step),
            Phase::Level(step) => (3, step),
            Phase::Scenario => (4, 0),
        };
        phase << 44 | (step as u64) << 32
    }
}

/// The server under test and what it is asked.
struct Bench {
    options: Options,
    target: Arc<Target>,
    workload: Workload,
    slo: Slo,
    warm_up: Duration,
    sending: Duration,
    /// The process whose memory is watched.
    pid: Option<u32>,
}

impl Bench {
    /// The workload for a phase.
    fn workload(&self, phase: Phase) -> Workload {
        Workload { first: phase.first(), ..self.workload.clone() }
    }

    fn announced(&self) -> Option<Slo> {
        (!self.options.no_announce).then_some(self.slo)
    }

    fn resident_mib(&self) -> Option<f64> {
        Some(resident_bytes(self.pid?)? as f64 / (1 << 20) as f64)
    }

    /// Does `work` and watches the server meanwhile, once a second.
    async fn watching<T>(&self, work: impl Future<Output = T>) -> (T, Watched) {
        let start = tokio::time::Instant::now();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut memory = Vec::new();
        let done = Arc::new(AtomicBool::new(false));
        let scraper = tokio::spawn(scrape(Arc::clone(&self.target), Arc::clone(&done)));
        tokio::pin!(work);
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                _ = tick.tick() => memory.extend(self.resident_mib().map(|mib| (start.elapsed().as_secs_f64(), mib))),
            }
        };
        memory.extend(self.resident_mib().map(|mib| (start.elapsed().as_secs_f64(), mib)));
        // Relaxed: it is waited for.
        done.store(true, Ordering::Relaxed);
        let scrape_ms = scraper.await.unwrap_or_default().into_iter().collect();
        (result, Watched { memory, scrape_ms })
    }
}

/// What was seen of a server while it worked.
struct Watched {
    /// (seconds, MiB).
    memory: Vec<(f64, f64)>,
    /// How long `GET /metrics` took, as often as it was answered.
    scrape_ms: Samples,
}

/// Reads the metrics once a second, as an impatient Prometheus would.
async fn scrape(target: Arc<Target>, done: Arc<AtomicBool>) -> Vec<f64> {
    let mut took = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        if done.load(Ordering::Relaxed) {
            return took;
        }
        let start = tokio::time::Instant::now();
        if ask(&target, "/metrics", None).await.is_ok_and(|(status, _)| status.is_success()) {
            took.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
}

/// Measures; starts and stops a server if no address is given.
///
/// # Errors
/// If the server cannot be started or reached, or options make no sense.
pub fn run(options: Options) -> Result<Report, BenchError> {
    check(&options)?;
    let seed = options.traffic.seed.unwrap_or_else(random::fresh_seed);
    let title = match options.scenario {
        Scenario::Load => "Overload: multiples of the measured capacity",
        Scenario::TenantFlood => "Overload: one tenant floods",
        Scenario::Vanish => "Overload: clients that vanish",
    };
    let mut report = Report::new("overload", title, Some(seed));
    runtime::block_on(measure(options, seed, &mut report))??;
    Ok(report)
}

fn check(options: &Options) -> Result<(), BenchError> {
    let bad = |reason: String| Err(BenchError::Options(reason));
    if options.loads.is_empty() || options.loads.iter().any(|load| !(0.01..=1_000.0).contains(load)) {
        return bad("--loads must be multiples from 0.01 to 1000, as 1,2,4".to_string());
    }
    if !(0.0..=1.0).contains(&options.high_share) {
        return bad(format!("--high-share is {}; it must be from 0 to 1", options.high_share));
    }
    if options.capacity.is_some_and(|rate| !(1e-3..=1e6).contains(&rate)) {
        return bad("--capacity must be from 0.001 to 1000000 requests a second".to_string());
    }
    for (option, value) in [
        ("--seconds", options.seconds),
        ("--warmup-seconds", options.warmup_seconds),
        ("--capacity-seconds", options.capacity_seconds),
        ("--vanish-within-seconds", options.vanish_within_seconds),
        ("--settle-seconds", options.settle_seconds),
        ("--timeout-seconds", options.traffic.timeout_seconds),
    ] {
        seconds(option, value)?;
    }
    if options.seconds <= options.warmup_seconds {
        return bad("--seconds must be more than --warmup-seconds".to_string());
    }
    if options.baseline_requests == 0 || options.clients == 0 || options.tenants == 0 {
        return bad("--baseline-requests, --clients and --tenants must be at least 1".to_string());
    }
    if !(1.0..=1e4).contains(&options.flood) || !(0.01..=10.0).contains(&options.tenant_load) {
        return bad("--flood must be from 1 to 10000 and --tenant-load from 0.01 to 10".to_string());
    }
    Ok(())
}

async fn measure(options: Options, seed: u64, report: &mut Report) -> Result<(), BenchError> {
    let started = match &options.url {
        Some(_) => None,
        None => {
            Some(Started::start(&started::program(options.server_bin.as_deref())?, options.server_arguments()).await?)
        }
    };
    let url = options.url.clone().or_else(|| started.as_ref().map(|server| server.url.clone())).unwrap_or_default();
    let mut target = options.traffic.target(&url)?;
    // For a server that is started here, --model says what it loads; it is always called `default`.
    target.model = match started {
        Some(_) => "default".to_string(),
        None => peer::model_name(&target, options.traffic.model.as_deref()).await?,
    };
    let high = options.high_share;
    let mix = match high {
        0.0 => Mix::only(Class::Normal),
        1.0 => Mix::only(Class::High),
        _ => Mix::new(vec![(Class::High, high), (Class::Normal, 1.0 - high)]),
    };
    let workload = Workload { mix, ..options.traffic.workload(&target, seed).await? };
    let bench = Bench {
        slo: Slo {
            ttft: Some(Duration::from_millis(options.slo_ttft_ms)),
            per_token: Some(Duration::from_millis(options.slo_itl_ms)),
        },
        warm_up: seconds("--warmup-seconds", options.warmup_seconds)?,
        sending: seconds("--seconds", options.seconds)?,
        pid: started.as_ref().map(Started::pid).or(options.server_pid),
        target: Arc::new(target),
        workload,
        options,
    };
    match &started {
        Some(server) => report.setting("server", &server.command),
        None => report.setting("server", format!("{} ({})", bench.target.url, bench.target.model)),
    }
    bench.options.traffic.describe(report);
    let told = if bench.options.no_announce { "not told to the server" } else { "its TTFT told to the server" };
    report.setting("slo", format!("{}, {told}", bench.slo));
    match bench.options.scenario {
        Scenario::Load => levels::measure(&bench, report).await,
        Scenario::TenantFlood => flood::measure(&bench, report).await,
        Scenario::Vanish => vanish::measure(&bench, report).await,
    }
}
