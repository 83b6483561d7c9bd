//! Batches of prompts that arrive together: prefill of several at once, then decoding of all.

use super::{Options, fits, full_request};
use crate::random::Random;
use crate::report::{Report, Table};
use crate::{BenchError, Samples, runtime};
use parkade_core::{Class, Engine, EngineConfig, Event, LoadOptions, Request, SchedulerKind, load};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// One scheduler with its engine, and what it did with each batch size.
struct Side {
    scheduler: SchedulerKind,
    engine: Engine,
    vocab: usize,
    random: Random,
    measured: Vec<Measured>,
}

/// What one scheduler did with one batch size, round by round.
#[derive(Default)]
struct Measured {
    /// Prompt tokens a second until the last first token.
    prefill: Vec<f64>,
    /// Seconds to each first token.
    first: Vec<f64>,
    /// Generated tokens a second after the last first token.
    decode: Vec<f64>,
}

/// Measures all batch sizes with all schedulers, which take turns.
pub(super) fn run(
    report: &mut Report,
    options: &Options,
    schedulers: &[SchedulerKind],
    path: &Path,
    seed: u64,
) -> Result<(), BenchError> {
    let most = options.prompt_batchsize.iter().copied().max().unwrap_or(1);
    let mut sides = Vec::new();
    for &scheduler in schedulers {
        let engine = EngineConfig { scheduler, max_seqs: most, max_queue_depth: 2 * most, ..EngineConfig::default() };
        let (threads, context) = (options.subject.threads, options.ctx_size);
        let load_options = LoadOptions { threads, context, engine, ..LoadOptions::default() };
        let loaded = load(path, &load_options).map_err(|error| BenchError::Engine(error.to_string()))?;
        fits(options, &loaded)?;
        let (engine, vocab) = (loaded.engine, loaded.config.vocab);
        // The same prompts for each side.
        sides.push(Side { scheduler, engine, vocab, random: Random::new(seed, 0), measured: Vec::new() });
    }
    for &size in &options.prompt_batchsize {
        crate::output::say(format_args!("batches of {size} prompts"));
        sides.iter_mut().for_each(|side| side.measured.push(Measured::default()));
        for round in 0..=options.rounds {
            for side in &mut sides {
                let one = side.round(options, size, round)?;
                // The first is to warm up.
                if let Some(measured) = side.measured.last_mut().filter(|_| round > 0) {
                    measured.add(one);
                }
            }
        }
    }
    tell(report, options, &sides);
    for side in sides {
        side.engine.drain(Duration::ZERO);
    }
    Ok(())
}

impl Side {
    fn round(&mut self, options: &Options, size: usize, round: usize) -> Result<Measured, BenchError> {
        let requests: Vec<_> = (0..size)
            .map(|number| {
                let id = format!("batch-{size}-{round}-{number}");
                // All alike: who goes before whom is not what is measured.
                Request {
                    class: Class::Normal,
                    tenant: "bench".to_string(),
                    ..full_request(&mut self.random, self.vocab, options, id)
                }
            })
            .collect();
        let engine = self.engine.clone();
        let refused = |error: String| BenchError::Engine(format!("a request of a batch of {size} ended with: {error}"));
        runtime::block_on(async {
            let start = Instant::now();
            let streams: Vec<_> = requests.into_iter().map(|request| engine.submit(request)).collect();
            let clients = LocalSet::new();
            let mut readers = Vec::new();
            for stream in streams {
                let mut stream = stream.map_err(|refusal| refused(refusal.to_string()))?;
                readers.push(clients.spawn_local(async move {
                    let mut first = None;
                    while let Some(event) = stream.next().await {
                        match event {
                            Event::Token { .. } => {
                                first.get_or_insert_with(|| start.elapsed());
                            }
                            Event::Failed(error) => return Err(error.to_string()),
                            _ => {}
                        }
                    }
                    first.map(|first| (first, start.elapsed())).ok_or_else(|| "an answer without a token".to_string())
                }));
            }
            clients.await;
            let mut ends = Vec::new();
            for reader in readers {
                ends.push(reader.await.map_err(|error| refused(error.to_string()))?.map_err(refused)?);
            }
            Ok(Measured::of(options, &ends))
        })?
    }
}

impl Measured {
    /// From each request's first token and end.
    fn of(options: &Options, ends: &[(Duration, Duration)]) -> Measured {
        let last = |when: fn(&(Duration, Duration)) -> Duration| ends.iter().map(when).max().unwrap_or_default();
        let (first, end) = (last(|end| end.0).as_secs_f64(), last(|end| end.1).as_secs_f64());
        let decoded = ends.len() * (options.output_tokens - 1);
        Measured {
            prefill: vec![(ends.len() * options.prompt_tokens) as f64 / first],
            first: ends.iter().map(|end| end.0.as_secs_f64()).collect(),
            decode: vec![decoded as f64 / (end - first)],
        }
    }

    fn add(&mut self, other: Measured) {
        self.prefill.extend(other.prefill);
        self.first.extend(other.first);
        self.decode.extend(other.decode);
    }
}

fn tell(report: &mut Report, options: &Options, sides: &[Side]) {
    let columns = [
        "scheduler",
        "prompts at once",
        "prefill tok/s",
        "x first row",
        "first token ms, median",
        "last ms",
        "decode tok/s",
        "x first row",
    ];
    let mut table = Table::new("Batches of prompts that arrive together", &columns);
    for (index, &size) in options.prompt_batchsize.iter().enumerate() {
        let mut base = None;
        for side in sides {
            let samples = |values: &Vec<f64>| values.iter().copied().collect::<Samples>();
            let measured = &side.measured[index];
            let [prefill, first, decode] = [&measured.prefill, &measured.first, &measured.decode].map(samples);
            let (prefill, decode) = (prefill.median(), decode.median());
            let (base_prefill, base_decode) = *base.get_or_insert((prefill, decode));
            let ratio = |own: Option<f64>, base: Option<f64>| own.zip(base).map(|(own, base)| own / base);
            table.row(vec![
                side.scheduler.name().into(),
                size.into(),
                prefill.into(),
                ratio(prefill, base_prefill).into(),
                first.median().map(|time| time * 1e3).into(),
                first.max().map(|time| time * 1e3).into(),
                decode.into(),
                ratio(decode, base_decode).into(),
            ]);
            let name = |figure: &str| format!("{}_batch_{size}_{figure}", side.scheduler.name().replace('-', "_"));
            report.figure(name("prefill"), prefill, "tokens/s");
            report.figure(name("decode"), decode, "tokens/s");
            report.figure(name("first_token_seconds"), first.median(), "s");
        }
    }
    report.tables.push(table);
    report.notes.push(format!(
        "medians of {} rounds in which the schedulers take turns; prefill is counted until the last request has its first token, \
         decoding from then to the end",
        options.rounds
    ));
}
