//! `parkade bench engine`: where a step's time goes while many requests run and wait.

mod batches;

use crate::bounds::{MOST, within};
use crate::locate::Locate;
use crate::random::Random;
use crate::report::{Check, Report, Table};
use crate::subject::Subject;
use crate::{BenchError, prometheus, runtime};
use parkade_core::{
    Class, Engine, EngineConfig, EngineSnapshot, Event, LoadOptions, Loaded, ModelConfig, Request, SchedulerKind,
    TokenId, load,
};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::LocalSet;

/// The most that scheduling may take of a step.
const SCHEDULE_SHARE: f64 = 0.01;
/// The most that an engine runs at once.
const MOST_SEQUENCES: usize = 65_536;

/// Measures the engine without a server: the parts of its steps while requests wait in line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What is measured
    #[command(flatten)]
    pub subject: Subject,
    /// Schedulers; several take turns
    #[arg(long, value_delimiter = ',', default_value = SchedulerKind::of_this_build().name())]
    pub scheduler: Vec<String>,
    /// Measure batches of so many prompts that arrive together instead: prefill of all at once, then decoding of all
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pub prompt_batchsize: Vec<usize>,
    /// Rounds for each batch size, after one to warm up
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Requests that run at once
    #[arg(long, default_value_t = 16)]
    pub running: usize,
    /// Requests that wait meanwhile; each number is measured for itself
    #[arg(long, value_delimiter = ',', default_value = "0,1000")]
    pub waiting: Vec<usize>,
    /// Seconds for each
    #[arg(long, default_value_t = 15.0)]
    pub seconds: f64,
    /// Seconds before that, in which the requests arrive
    #[arg(long, default_value_t = 3.0)]
    pub warmup_seconds: f64,
    /// Longest sequence in tokens [default: what the model was made for]
    #[arg(long, value_name = "N")]
    pub ctx_size: Option<usize>,
    /// Tokens of a prompt
    #[arg(long, default_value_t = 64)]
    pub prompt_tokens: usize,
    /// Tokens of an answer
    #[arg(long, default_value_t = 64)]
    pub output_tokens: usize,
    /// Tenants that the requests come from
    #[arg(long, default_value_t = 10)]
    pub tenants: usize,
}

/// The engine's own counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    schedule: f64,
    forward: f64,
    sample: f64,
    steps: f64,
    generated: f64,
    prompt: f64,
}

impl Counters {
    fn read(engine: &Engine) -> Result<Counters, BenchError> {
        let mut text = String::new();
        engine.metrics().encode(engine.snapshot(), &mut text).map_err(|error| BenchError::Engine(error.to_string()))?;
        let part =
            |part: &str| prometheus::sum(&text, "parkade_engine_step_seconds_total", &format!("part=\"{part}\""));
        let count = |name: &str| prometheus::sum(&text, name, "").unwrap_or(0.0);
        Ok(Counters {
            // A part that has not been counted yet has taken no time.
            schedule: part("schedule").unwrap_or(0.0),
            forward: part("forward").unwrap_or(0.0),
            sample: part("sample").unwrap_or(0.0),
            steps: count("parkade_engine_steps_total"),
            generated: count("parkade_generation_tokens_total"),
            prompt: count("parkade_prompt_tokens_total"),
        })
    }

    fn since(self, before: Counters) -> Counters {
        Counters {
            schedule: self.schedule - before.schedule,
            forward: self.forward - before.forward,
            sample: self.sample - before.sample,
            steps: self.steps - before.steps,
            generated: self.generated - before.generated,
            prompt: self.prompt - before.prompt,
        }
    }
}

/// One number of waiting requests with one scheduler.
struct Measured {
    scheduler: SchedulerKind,
    waiting: usize,
    seconds: f64,
    counters: Counters,
    at_begin: EngineSnapshot,
    at_end: EngineSnapshot,
    refused: usize,
    failed: usize,
}

/// Measures.
///
/// # Errors
/// If the model cannot be found or loaded, or options make no sense.
pub fn run(options: Options, by: &Locate<'_>) -> Result<Report, BenchError> {
    check(&options)?;
    let parsed =
        |name: &String| name.parse().map_err(|error: parkade_core::EngineError| BenchError::Options(error.to_string()));
    let schedulers = options.scheduler.iter().map(parsed).collect::<Result<Vec<SchedulerKind>, _>>()?;
    let (path, seed) = options.subject.resolve(by)?;
    let mut report = Report::new("engine", format!("Engine: {}", path.display()), Some(seed));
    report.setting("scheduler", options.scheduler.join(", "));
    report.setting(
        "requests",
        format!(
            "{} tokens of prompt and {} of answer, from {}",
            options.prompt_tokens,
            options.output_tokens,
            if options.prompt_batchsize.is_empty() {
                format!("{} tenants in three classes", options.tenants)
            } else {
                "one tenant in one class".to_string()
            }
        ),
    );
    if !options.prompt_batchsize.is_empty() {
        batches::run(&mut report, &options, &schedulers, &path, seed)?;
        return Ok(report);
    }
    let mut all = Vec::new();
    for (number, &waiting) in options.waiting.iter().enumerate() {
        for &scheduler in &schedulers {
            crate::output::say(format_args!("{}: {} running, {waiting} waiting", scheduler.name(), options.running));
            all.push(measure(&options, scheduler, &path, waiting, seed + number as u64)?);
        }
    }
    tell(&mut report, &all, schedulers.len() > 1);
    Ok(report)
}

/// A request that can never be answered measures nothing.
fn fits(options: &Options, loaded: &Loaded) -> Result<(), BenchError> {
    let (prompt, answer, context) = (options.prompt_tokens, options.output_tokens, loaded.config.context_length);
    match prompt + answer > context {
        true => Err(BenchError::Options(format!(
            "--prompt-tokens and --output-tokens are {prompt} and {answer}; the model's context has {context}"
        ))),
        false => Ok(()),
    }
}

fn check(options: &Options) -> Result<(), BenchError> {
    let answer = if options.prompt_batchsize.is_empty() { 1 } else { 2 };
    within("--running", 1..=MOST_SEQUENCES, &[options.running])?;
    within("--tenants", 1..=MOST, &[options.tenants])?;
    within("--ctx-size", ModelConfig::CONTEXT, options.ctx_size.as_slice())?;
    within("--prompt-tokens", 1..=MOST, &[options.prompt_tokens])?;
    within("--output-tokens", answer..=MOST, &[options.output_tokens])?;
    within("--prompt-batchsize", 1..=MOST_SEQUENCES, &options.prompt_batchsize)?;
    within("--rounds", 1..=MOST, &[options.rounds])?;
    within("--waiting", 0..=MOST, &options.waiting)
}

fn measure(
    options: &Options,
    scheduler: SchedulerKind,
    path: &Path,
    waiting: usize,
    seed: u64,
) -> Result<Measured, BenchError> {
    let load_options = LoadOptions {
        threads: options.subject.threads,
        context: options.ctx_size,
        engine: EngineConfig {
            scheduler,
            max_seqs: options.running,
            max_queue_depth: 2 * (options.running + waiting),
            ..EngineConfig::default()
        },
        ..LoadOptions::default()
    };
    let loaded = load(path, &load_options).map_err(|error| BenchError::Engine(error.to_string()))?;
    fits(options, &loaded)?;
    let engine = loaded.engine;
    let feed = Rc::new(Feed {
        engine: engine.clone(),
        random: RefCell::new(Random::new(seed, 0)),
        vocab: loaded.config.vocab,
        options: options.clone(),
        next: Cell::new(0),
        refused: Cell::new(0),
        failed: Cell::new(0),
    });
    let warm_up = crate::serve::seconds("--warmup-seconds", options.warmup_seconds)?;
    let measuring = crate::serve::seconds("--seconds", options.seconds)?;
    let measured = runtime::block_on(async {
        let clients = LocalSet::new();
        for _ in 0..options.running + waiting {
            let feed = Rc::clone(&feed);
            clients.spawn_local(async move { feed.keep_asking().await });
        }
        clients
            .run_until(async {
                tokio::time::sleep(warm_up).await;
                let (begin, at_begin) = (Counters::read(&engine)?, engine.snapshot());
                let start = tokio::time::Instant::now();
                tokio::time::sleep(measuring).await;
                let seconds = start.elapsed().as_secs_f64();
                let counters = Counters::read(&engine)?.since(begin);
                let at_end = engine.snapshot();
                let (refused, failed) = (feed.refused.get(), feed.failed.get());
                Ok(Measured { scheduler, waiting, seconds, counters, at_begin, at_end, refused, failed })
            })
            .await
        // Dropping the clients here cancels what still runs.
    })?;
    engine.drain(Duration::ZERO);
    measured
}

/// Keeps the engine busy.
struct Feed {
    engine: Engine,
    random: RefCell<Random>,
    vocab: usize,
    options: Options,
    next: Cell<usize>,
    refused: Cell<usize>,
    failed: Cell<usize>,
}

impl Feed {
    /// One client: a new request whenever its last one has ended.
    async fn keep_asking(&self) {
        loop {
            match self.engine.submit(self.request()) {
                Err(_) => {
                    self.refused.set(self.refused.get() + 1);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok(mut stream) => {
                    while let Some(event) = stream.next().await {
                        if let Event::Failed(_) = event {
                            self.failed.set(self.failed.get() + 1);
                        }
                    }
                }
            }
        }
    }

    fn request(&self) -> Request {
        let number = self.next.replace(self.next.get() + 1);
        full_request(&mut self.random.borrow_mut(), self.vocab, &self.options, format!("bench-{number}"))
    }
}

/// A request of somebody, whose answer is as long as it may be.
fn full_request(random: &mut Random, vocab: usize, options: &Options, id: String) -> Request {
    let prompt = (0..options.prompt_tokens).map(|_| random.below(vocab) as TokenId).collect();
    let class = match random.below(10) {
        0 => Class::High,
        1..=7 => Class::Normal,
        _ => Class::Low,
    };
    let tenant = format!("tenant-{}", random.below(options.tenants));
    Request { max_tokens: Some(options.output_tokens), ignore_eos: true, tenant, class, ..Request::new(id, prompt) }
}

fn tell(report: &mut Report, all: &[Measured], several: bool) {
    let columns = [
        "scheduler",
        "waiting",
        "running",
        "steps/s",
        "schedule us",
        "forward us",
        "sample us",
        "schedule share",
        "prompt tok/s",
        "output tok/s",
        "refused",
        "failed",
    ];
    let mut table = Table::new("A step, on average", &columns);
    for measured in all {
        let Counters { schedule, forward, sample, steps, generated, prompt } = measured.counters;
        let total = schedule + forward + sample;
        let share = (total > 0.0).then_some(schedule / total);
        let each = |seconds: f64| (steps > 0.0).then_some(seconds * 1e6 / steps);
        let range = |begin: usize, end: usize| if begin == end { begin.to_string() } else { format!("{begin}..{end}") };
        table.row(vec![
            measured.scheduler.name().into(),
            range(measured.at_begin.requests.waiting, measured.at_end.requests.waiting).into(),
            range(measured.at_begin.requests.running, measured.at_end.requests.running).into(),
            (steps / measured.seconds).into(),
            each(schedule).into(),
            each(forward).into(),
            each(sample).into(),
            share.map(|share| format!("{:.3} %", 100.0 * share)).into(),
            (prompt / measured.seconds).into(),
            (generated / measured.seconds).into(),
            measured.refused.into(),
            measured.failed.into(),
        ]);
        let whose = if several { measured.scheduler.name().replace('-', "_") + "_" } else { String::new() };
        let name = |figure: &str| format!("{whose}waiting_{}_{figure}", measured.waiting);
        report.figure(name("schedule_share"), share, "x");
        report.figure(name("output_tokens_per_second"), Some(generated / measured.seconds), "tokens/s");
        report.figure(name("step_seconds"), (steps > 0.0).then_some(total / steps), "s");
        let what = format!("scheduling's share of a step, {}, {} waiting", measured.scheduler.name(), measured.waiting);
        report.checks.push(Check::at_most(what, share, SCHEDULE_SHARE));
    }
    report.tables.push(table);
    report.notes.push(
        "times are the engine's own counters (parkade_engine_step_seconds_total); waiting and running are what it held at the \
         begin and at the end"
            .to_string(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn options() -> Options {
        Options {
            subject: Subject { model: None, threads: Some(1), seed: Some(1) },
            scheduler: vec!["default".to_string()],
            prompt_batchsize: Vec::new(),
            rounds: 2,
            running: 2,
            waiting: vec![0, 20],
            seconds: 0.5,
            warmup_seconds: 0.2,
            ctx_size: None,
            prompt_tokens: 8,
            output_tokens: 4,
            tenants: 3,
        }
    }

    fn tiny(_: Option<&str>) -> Result<PathBuf, String> {
        Ok(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/tiny/llama-Q4_0.gguf").into())
    }

    #[test]
    fn the_parts_of_a_step_are_measured_while_requests_wait() {
        let report = run(options(), &tiny).expect("a report");
        for figure in ["waiting_20_schedule_share", "waiting_20_output_tokens_per_second", "waiting_0_step_seconds"] {
            assert!(report.value(figure).is_some_and(|value| value > 0.0), "{figure}: {:?}", report.figures);
        }
        let rows = report.to_json()["tables"][0]["rows"].clone();
        assert_eq!((&rows[1][10], &rows[1][11]), (&0.into(), &0.into()), "refused and failed: {rows}");
    }

    #[test]
    fn batches_are_measured_with_all_schedulers_in_turns() {
        let scheduler = vec!["default".to_string(), SchedulerKind::of_this_build().name().to_string()];
        let report = run(Options { scheduler, prompt_batchsize: vec![2, 5], ..options() }, &tiny).expect("a report");
        let name = SchedulerKind::of_this_build().name().replace('-', "_");
        for figure in ["default_batch_2_prefill".to_string(), format!("{name}_batch_5_decode")] {
            assert!(report.value(&figure).is_some_and(|value| value > 0.0), "{figure}: {:?}", report.figures);
        }
        assert_eq!(report.tables[0].rows.len(), 4);
    }

    #[test]
    fn requests_that_can_never_be_answered_are_said() {
        for prompt_batchsize in [Vec::new(), vec![2]] {
            let long = Options { prompt_tokens: 100_000, prompt_batchsize, ..options() };
            assert!(run(long, &tiny).expect_err("too long").to_string().contains("--prompt-tokens"));
        }
        let many = Options { prompt_batchsize: vec![100_000], ..options() };
        assert!(run(many, &tiny).expect_err("too many").to_string().contains("--prompt-batchsize is 100000"));
    }

    #[test]
    fn a_context_is_what_requests_are_held_against() {
        for prompt_batchsize in [Vec::new(), vec![2]] {
            let within = |ctx_size| Options { ctx_size, prompt_batchsize: prompt_batchsize.clone(), ..options() };
            let failed = |ctx_size| run(within(Some(ctx_size)), &tiny).expect_err("too short, or none").to_string();
            assert!(failed(11).contains("the model's context has 11"), "{}", failed(11));
            assert!(failed(0).contains("--ctx-size is 0; it must be from 1 to"), "{}", failed(0));
            assert!(failed(1 << 20).contains("--ctx-size is 1048576; it must be from 1 to"), "{}", failed(1 << 20));
            run(within(Some(12)), &tiny).expect("a report");
        }
    }

    #[test]
    fn an_unknown_scheduler_is_said() {
        let unknown = Options { scheduler: vec!["lifo".to_string()], ..options() };
        assert!(run(unknown, &tiny).expect_err("unknown").to_string().contains("lifo"));
    }
}
