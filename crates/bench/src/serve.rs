//! `parkade bench serve`: load on servers that speak OpenAI's API.

use crate::load::{Api, Class, Digest, Lengths, Mix, Pace, Plan, Run, Slo, Target, Tenants, Workload, run as send};
use crate::peer::{self, PeerUrl};
use crate::report::{Axis, Line, Plot, Report, Table};
use crate::stats::Samples;
use crate::tables;
use crate::{BenchError, random, runtime};
use std::sync::Arc;
use std::time::Duration;

/// Sends streaming requests to one or more servers and measures what their clients see.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Server to measure, as http://HOST:PORT or NAME=http://HOST:PORT. Given several times, the servers are measured in
    /// turn, and the first is what the others are compared with
    #[arg(long = "url", required = true)]
    pub urls: Vec<PeerUrl>,
    /// How often each server is measured; figures are then medians over the rounds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Requests a round [default: 64, if --seconds is not given]
    #[arg(long)]
    pub requests: Option<usize>,
    /// For how long requests are sent in a round
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Open loop: so many requests a second, as a seeded Poisson process, whatever the server does
    #[arg(long, conflicts_with = "concurrency")]
    pub rate: Option<f64>,
    /// Closed loop: so many clients, each of which waits for its answer before it asks again [default: 1, without --rate]
    #[arg(long)]
    pub concurrency: Option<usize>,
    /// What is asked
    #[command(flatten)]
    pub traffic: Traffic,
    /// Longest time to the first text of a good answer, in ms
    #[arg(long)]
    pub slo_ttft_ms: Option<u64>,
    /// Longest mean time between two tokens of a good answer, in ms
    #[arg(long)]
    pub slo_itl_ms: Option<u64>,
    /// Tell the server the SLO for the first text (header x-slo-ttft-ms)
    #[arg(long, requires = "slo_ttft_ms")]
    pub announce_slo: bool,
    /// Classes and their shares, for example high=0.1,normal=0.9
    #[arg(long, default_value = "normal=1")]
    pub priority: Mix,
    /// Tenants and their shares, for example alice=1,bob=1,flood=100; sent as `user`
    #[arg(long)]
    pub tenants: Option<Tenants>,
    /// Seconds at the start of each round that are sent but not counted
    #[arg(long, default_value_t = 0.0)]
    pub warmup_seconds: f64,
}

/// What is asked, and how: the same for all benchmarks that send requests.
#[derive(Clone, Debug, clap::Args)]
pub struct Traffic {
    /// Endpoint
    #[arg(long, value_enum, default_value_t = Api::Chat)]
    pub api: Api,
    /// Model to ask for; of a server that is started here, the model that it loads [default: the first that the server
    /// lists, or the default model]
    #[arg(long)]
    pub model: Option<String>,
    /// API key, sent as a bearer token
    #[arg(long)]
    pub api_key: Option<String>,
    /// Tokens of a prompt, the chat template's included: 128, 64-256, exp:100 or lognormal:100:0.8
    #[arg(long, default_value = "128")]
    pub prompt_tokens: Lengths,
    /// Tokens of an answer: 128, 64-256, exp:100 or lognormal:100:0.8
    #[arg(long, default_value = "64")]
    pub output_tokens: Lengths,
    /// Tokens at the start of each prompt that are the same for all; the rest is always new
    #[arg(long, default_value_t = 0)]
    pub shared_prefix: usize,
    /// Let the model end its answers by itself (otherwise `ignore_eos` is sent, and answers are as long as wanted)
    #[arg(long)]
    pub allow_eos: bool,
    /// Seconds after which a client gives up on an answer
    #[arg(long, default_value_t = 60.0)]
    pub timeout_seconds: f64,
    /// Seed of arrivals, lengths and prompts [default: a new one for each run, so that no prefix cache knows the prompts]
    #[arg(long)]
    pub seed: Option<u64>,
}

impl Traffic {
    /// The target at `url`, with its model's name asked for.
    ///
    /// # Errors
    /// If the server cannot be reached or lists no model.
    pub fn target(&self, url: &str) -> Result<Target, BenchError> {
        let mut target = Target::new(url, self.api, seconds("--timeout-seconds", self.timeout_seconds)?)?;
        target.api_key.clone_from(&self.api_key);
        Ok(target)
    }

    /// The workload for `target`; prompts are sized by what its tokenizer makes of two probes.
    pub(crate) async fn workload(&self, target: &Target, seed: u64) -> Result<Workload, BenchError> {
        Ok(Workload {
            seed,
            first: 0,
            prompt_tokens: self.prompt_tokens,
            output_tokens: self.output_tokens,
            shared_prefix: self.shared_prefix,
            sizing: peer::sizing(target, seed).await?,
            mix: Mix::only(Class::Normal),
            only: None,
            tenants: None,
            allow_eos: self.allow_eos,
            announced: None,
            vanish_within: None,
        })
    }

    /// Notes the settings that figures depend on.
    pub(crate) fn describe(&self, report: &mut Report) {
        report.setting("api", self.api.path());
        report.setting("prompt", format!("{} tokens, the first {} shared", self.prompt_tokens, self.shared_prefix));
        let end = if self.allow_eos { "or shorter" } else { "exactly" };
        report.setting("answer", format!("{} tokens, {end}", self.output_tokens));
    }
}

/// A duration option, checked.
pub(crate) fn seconds(option: &str, value: f64) -> Result<Duration, BenchError> {
    match Duration::try_from_secs_f64(value) {
        Ok(duration) if value <= 86_400.0 => Ok(duration),
        _ => Err(BenchError::Options(format!("{option} is {value}; it must be from 0 to 86400 seconds"))),
    }
}

impl Options {
    fn plan(&self) -> Result<Plan, BenchError> {
        let pace = match (self.rate, self.concurrency) {
            (Some(rate), None) if (1e-3..=1e6).contains(&rate) => Pace::Open(rate),
            (Some(rate), _) => {
                return Err(BenchError::Options(format!(
                    "--rate is {rate}; it must be from 0.001 to 1000000 requests/s"
                )));
            }
            (None, concurrency) => match concurrency.unwrap_or(1) {
                clients @ 1..=100_000 => Pace::Closed(clients),
                other => {
                    return Err(BenchError::Options(format!("--concurrency is {other}; it must be from 1 to 100000")));
                }
            },
        };
        let sending = self.seconds.map(|value| seconds("--seconds", value)).transpose()?;
        let requests = self.requests.or(if sending.is_none() { Some(64) } else { None });
        if requests == Some(0) || sending == Some(Duration::ZERO) {
            return Err(BenchError::Options("--requests and --seconds must be more than 0".to_string()));
        }
        Ok(Plan { pace, requests, sending })
    }

    fn slo(&self) -> Slo {
        Slo { ttft: self.slo_ttft_ms.map(Duration::from_millis), per_token: self.slo_itl_ms.map(Duration::from_millis) }
    }
}

/// Measures. Servers are started and stopped by others.
///
/// # Errors
/// If a server cannot be reached at the start, or options make no sense. What goes wrong with requests is in the report.
pub fn run(options: Options) -> Result<Report, BenchError> {
    let plan = options.plan()?;
    let seed = options.traffic.seed.unwrap_or_else(random::fresh_seed);
    let mut report = Report::new("serve", title(&options, &plan), Some(seed));
    let measured = runtime::block_on(measure(&options, &plan, seed))??;
    options.traffic.describe(&mut report);
    report.setting("classes", &options.priority);
    if let Some(tenants) = &options.tenants {
        report.setting("tenants", tenants);
    }
    report.setting("slo", options.slo());
    tell(&mut report, &options, &measured)?;
    Ok(report)
}

fn title(options: &Options, plan: &Plan) -> String {
    let pace = match plan.pace {
        Pace::Open(rate) => format!("open loop, {rate} requests/s"),
        Pace::Closed(1) => "closed loop, 1 client".to_string(),
        Pace::Closed(clients) => format!("closed loop, {clients} clients"),
    };
    let limit = match (plan.requests, options.seconds) {
        (Some(requests), None) => format!("{requests} requests"),
        (None, Some(seconds)) => format!("{seconds} s"),
        (requests, seconds) => format!("{} requests or {} s", requests.unwrap_or(0), seconds.unwrap_or(0.0)),
    };
    format!("Serving: {pace}, {limit}, {} round(s)", options.rounds)
}

/// A server and its rounds.
struct Measured {
    name: String,
    model: String,
    rounds: Vec<Run>,
}

async fn measure(options: &Options, plan: &Plan, seed: u64) -> Result<Vec<Measured>, BenchError> {
    let mut peers = Vec::new();
    for PeerUrl { name, url } in &options.urls {
        let mut target = options.traffic.target(url)?;
        target.model = peer::model_name(&target, options.traffic.model.as_deref()).await?;
        let workload = Workload {
            mix: options.priority.clone(),
            tenants: options.tenants.clone(),
            announced: options.announce_slo.then(|| options.slo()),
            ..options.traffic.workload(&target, seed).await?
        };
        let measured = Measured {
            name: name.clone().unwrap_or_else(|| target.url.clone()),
            model: target.model.clone(),
            rounds: Vec::new(),
        };
        peers.push((measured, Arc::new(target), workload));
    }
    for round in 0..options.rounds {
        for (measured, target, workload) in &mut peers {
            crate::output::say(format_args!("round {} of {}: {}", round + 1, options.rounds, measured.name));
            // All servers get the same requests in a round; rounds differ.
            workload.first = u64::from(round) << 32;
            measured.rounds.push(send(target, &Arc::new(workload.clone()), plan).await);
        }
    }
    Ok(peers.into_iter().map(|(measured, _, _)| measured).collect())
}

fn tell(report: &mut Report, options: &Options, measured: &[Measured]) -> Result<(), BenchError> {
    let warm_up = seconds("--warmup-seconds", options.warmup_seconds)?;
    let slo = options.slo();
    let digests = |wanted: Option<Class>| -> Vec<Vec<Digest>> {
        let pick = |run: &Run| Digest::of(run, slo, warm_up, |seen| wanted.is_none_or(|class| seen.class == class));
        measured.iter().map(|peer| peer.rounds.iter().map(pick).collect()).collect()
    };
    let all = digests(None);
    let names: Vec<&str> = measured.iter().map(|peer| peer.name.as_str()).collect();
    for peer in measured {
        report.setting("model", format!("{} at {}", peer.model, peer.name));
    }
    report.tables.push(throughput(&names, &all));
    let mut latency = tables::latency("Latency, ms from the intended moment", "server");
    for (name, rounds) in names.iter().zip(&all) {
        tables::latency_rows(&mut latency, name, "all", rounds);
    }
    for class in Class::ALL {
        for (name, rounds) in names.iter().zip(digests(Some(class))) {
            if rounds.iter().zip(&all[0]).any(|(class, all)| class.offered > 0 && class.offered < all.offered) {
                tables::latency_rows(&mut latency, name, class.name(), &rounds);
            }
        }
    }
    report.tables.push(latency);
    report.tables.push(tables::outcomes("Outcomes, all rounds", "server", &names, &all));
    report.tables.extend(tables::refusals(&names, &all));
    report.tables.extend(tables::complaints(&names, &all));
    for (index, rounds) in all.iter().enumerate() {
        figures(report, index, rounds, &all[0]);
    }
    report.plots.push(curves("Time to first text", "ms", &names, &all, |digest| &digest.ttft));
    report.plots.push(curves("Gaps between pieces of text", "ms", &names, &all, |digest| &digest.gaps));
    report.plots.push(curves("Whole answers", "ms", &names, &all, |digest| &digest.latency));
    report.notes.extend(tables::trust(&all.concat()));
    Ok(())
}

/// The measure over the rounds: its median, smallest and largest.
fn over(rounds: &[Digest], measure: impl Fn(&Digest) -> Option<f64>) -> Samples {
    rounds.iter().filter_map(measure).collect()
}

/// The median over the rounds of the ratio to the first server in the same round.
fn ratio(rounds: &[Digest], first: &[Digest], measure: impl Fn(&Digest) -> Option<f64>) -> Option<f64> {
    let pairs = rounds.iter().zip(first);
    let ratios = pairs.filter_map(|(this, first)| Some(measure(this)? / measure(first)?));
    ratios.filter(|ratio| ratio.is_finite()).collect::<Samples>().median()
}

fn tokens_per_second(digest: &Digest) -> Option<f64> {
    digest.rate(digest.output_tokens)
}

fn answers_per_second(digest: &Digest) -> Option<f64> {
    digest.rate(digest.completed as f64)
}

fn throughput(names: &[&str], all: &[Vec<Digest>]) -> Table {
    let columns = [
        "server",
        "output tok/s",
        "min",
        "max",
        "x first",
        "answers/s",
        "good/s",
        "prompt tokens",
        "from cache",
        "TTFT p50 x first",
    ];
    let mut table = Table::new("Throughput, medians over the rounds", &columns);
    for (name, rounds) in names.iter().zip(all) {
        let tokens = over(rounds, tokens_per_second);
        let cached: f64 = rounds.iter().map(|round| round.cached_tokens as f64).sum();
        let prompt = Samples::merged(rounds.iter().map(|round| &round.prompt_tokens));
        let share = prompt.mean().map(|mean| format!("{:.1} %", 100.0 * cached / (mean * prompt.len() as f64)));
        table.row(vec![
            (*name).into(),
            tokens.median().into(),
            tokens.min().into(),
            tokens.max().into(),
            ratio(rounds, &all[0], tokens_per_second).into(),
            over(rounds, answers_per_second).median().into(),
            over(rounds, Digest::goodput).median().into(),
            prompt.mean().into(),
            share.into(),
            ratio(rounds, &all[0], |digest| digest.ttft.median()).into(),
        ]);
    }
    table
}

fn figures(report: &mut Report, index: usize, rounds: &[Digest], first: &[Digest]) {
    // Scripts mostly measure one server: its figures have plain names.
    let name = |figure: &str| if index == 0 { figure.to_string() } else { format!("peer{index}_{figure}") };
    report.figure(name("output_tokens_per_second"), over(rounds, tokens_per_second).median(), "tokens/s");
    report.figure(name("answers_per_second"), over(rounds, answers_per_second).median(), "answers/s");
    report.figure(name("goodput"), over(rounds, Digest::goodput).median(), "answers/s");
    type Pick = fn(&Digest) -> &Samples;
    let latencies: [(&str, Pick); 4] = [
        ("ttft", |digest| &digest.ttft),
        ("inter_token", |digest| &digest.gaps),
        ("time_per_token", |digest| &digest.per_token),
        ("end_to_end", |digest| &digest.latency),
    ];
    for (what, pick) in latencies {
        let samples = Samples::merged(rounds.iter().map(pick));
        for percent in [50.0, 90.0, 99.0] {
            report.figure(name(&format!("{what}_p{percent}_ms")), samples.percentile(percent), "ms");
        }
    }
    type Count = fn(&Digest) -> usize;
    let counts: [(&str, Count); 4] = [
        ("requests", |digest| digest.offered),
        ("completed", |digest| digest.completed),
        ("refused", |digest| digest.refused),
        ("not_exactly_one_outcome", Digest::not_exactly_one),
    ];
    for (what, count) in counts {
        report.figure(name(what), Some(rounds.iter().map(count).sum::<usize>() as f64), "requests");
    }
    if index > 0 {
        report.figure(name("output_tokens_ratio"), ratio(rounds, first, tokens_per_second), "x");
    }
}

fn curves(what: &str, unit: &str, names: &[&str], all: &[Vec<Digest>], pick: fn(&Digest) -> &Samples) -> Plot {
    let line = |(name, rounds): (&&str, &Vec<Digest>)| Line {
        name: name.to_string(),
        points: Samples::merged(rounds.iter().map(pick)).curve(200),
    };
    Plot {
        title: format!("{what}: the share of all that took at most so long"),
        x: Axis { label: unit.to_string(), log: true },
        y: Axis { label: "%".to_string(), log: false },
        lines: names.iter().zip(all).map(line).collect(),
    }
}
