//! `parkade bench quick`: five figures of this machine in under a minute.

use crate::load::{Api, Digest, Lengths, Pace, Plan, Slo, run as send};
use crate::locate::Locate;
use crate::model::passes::{Case, Passes};
use crate::report::{Report, Table};
use crate::roofline::{Roofline, Shares};
use crate::serve::Traffic;
use crate::started::{self, Started};
use crate::subject::Subject;
use crate::{BenchError, Samples, peer, pool, runtime};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PREFILL: Case = Case::Prefill { prompts: 1, tokens: 512, depth: 0 };
const ONE: Case = Case::Decode { streams: 1, tokens: 32, depth: 128 };
const MANY: Case = Case::Decode { streams: 16, tokens: 32, depth: 128 };
/// Tokens of the prompts that are sent to a server.
const PROMPT: usize = 128;
const REQUESTS: usize = 16;
/// A case is repeated until it has had so much time, three times at most.
const PATIENCE: Duration = Duration::from_secs(4);

/// Five figures of this machine in under a minute: prefill, one stream, 16 streams, first token served, decisions.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What is measured
    #[command(flatten)]
    pub subject: Subject,
    /// Program whose `serve` gives the first tokens [default: this one]
    #[arg(long, value_name = "PATH")]
    pub server_bin: Option<PathBuf>,
}

/// Measures.
///
/// # Errors
/// If the model cannot be found, loaded or run, or no server can be started.
pub fn run(options: Options, by: &Locate<'_>) -> Result<Report, BenchError> {
    let program = started::program(options.server_bin.as_deref())?;
    let (path, seed) = options.subject.resolve(by)?;
    crate::output::say(format_args!("the model alone"));
    let mut passes = Passes::load(&path, options.subject.threads, &[PREFILL, ONE, MANY], seed)?;
    let (roofline, threads) = (Roofline::measure(&passes.team), passes.team.threads());
    let mut report = Report::new("quick", format!("Quick: {}", path.display()), Some(seed));
    report.setting("limits", roofline.line(threads));
    let columns = ["what", "figure", "unit", "of this machine's limit", "which limit"];
    let mut table = Table::new("Five figures of this machine", &columns);
    let mut tell = |name: &str, what: &str, figure: Option<f64>, unit: &'static str, limit: Option<(f64, &str)>| {
        let share = limit.map(|(share, _)| format!("{:.0} %", 100.0 * share));
        let which = limit.map(|(_, which)| which);
        table.row(vec![what.into(), figure.into(), unit.into(), share.into(), which.into()]);
        report.figure(name, figure, unit);
        report.figure(format!("{name}_of_limit"), limit.map(|(share, _)| share), "x");
    };
    let cases = [
        ("prefill", "prompt of 512 tokens", PREFILL),
        ("one_stream", "one stream", ONE),
        ("streams_16", "16 streams", MANY),
    ];
    for (name, what, case) in cases {
        let time = time(&mut passes, case)?;
        let (cost, context) = passes.cost(case);
        let shares = time.map(|time| roofline.shares(cost, context, time / case.passes() as f64));
        let speed = time.map(|time| case.tokens() as f64 / time);
        tell(name, what, speed, "tokens/s", shares.map(nearer));
    }
    let cost = passes.model.pass_cost(PROMPT, 1);
    drop(passes);
    let first = runtime::block_on(first_token(&options, &program, &path, seed))??;
    let limit = first.map(|seconds| nearer(roofline.shares(cost, 0, seconds)));
    tell("first_token", "first token served, prompt of 128", first.map(|time| time * 1e3), "ms", limit);
    crate::output::say(format_args!("the lot alone"));
    tell("decisions", "decisions of the parking lot on one core", pool::decisions(seed)?, "decisions/s", None);
    report.tables.push(table);
    report.notes.push(
        "the limit is what this machine did at most in this run, reading memory or multiplying bytes, for the work that the model is; \
         a decision has none that could be measured"
            .to_string(),
    );
    Ok(report)
}

fn nearer(shares: Shares) -> (f64, &'static str) {
    (shares.nearer(), if shares.read > shares.int8 { "read bandwidth" } else { "int8 rate" })
}

/// The median of the seconds that a case takes, after one run to warm up. A slow machine has no time for repeats.
fn time(passes: &mut Passes, case: Case) -> Result<Option<f64>, BenchError> {
    let start = Instant::now();
    let mut last = passes.time(case)?;
    let mut times = Vec::new();
    while times.len() < 3 && start.elapsed() < PATIENCE {
        last = passes.time(case)?;
        times.push(last);
    }
    Ok(times.into_iter().collect::<Samples>().median().or(Some(last)))
}

/// The median of the seconds to the first text of a request to a server of its own.
async fn first_token(options: &Options, program: &Path, path: &Path, seed: u64) -> Result<Option<f64>, BenchError> {
    let mut arguments = vec!["--model".to_string(), path.display().to_string()];
    arguments.extend(options.subject.threads.iter().flat_map(|threads| ["--threads".to_string(), threads.to_string()]));
    let server = Started::start(program, arguments).await?;
    let traffic = Traffic {
        api: Api::Completions,
        model: None,
        api_key: None,
        prompt_tokens: Lengths::Fixed(PROMPT),
        output_tokens: Lengths::Fixed(2),
        shared_prefix: 0,
        allow_eos: false,
        timeout_seconds: 60.0,
        seed: Some(seed),
    };
    let mut target = traffic.target(&server.url)?;
    target.model = peer::model_name(&target, None).await?;
    let workload = Arc::new(traffic.workload(&target, seed).await?);
    let plan = Plan { pace: Pace::Closed(1), requests: Some(REQUESTS), sending: Some(PATIENCE) };
    let run = send(&Arc::new(target), &workload, &plan).await;
    let digest = Digest::of(&run, Slo { ttft: None, per_token: None }, Duration::ZERO, |_| true);
    Ok(digest.ttft.median().map(|ms| ms / 1e3))
}
