//! `parkade bench model`: the model alone, without engine or server.

pub(crate) mod passes;
mod peer;

use crate::bounds::{MOST, within};
use crate::locate::Locate;
use crate::report::{Axis, Cell, Line, Plot, Report, Table};
use crate::roofline::{Roofline, Shares};
use crate::serve::seconds;
use crate::subject::Subject;
use crate::{BenchError, Samples};
use parkade_kernels::CpuLevel;
use passes::{Case, Passes};
pub use peer::Peer;
use std::path::Path;

/// What a stream has before it is decoded, if nobody says otherwise.
const DECODE_DEPTH: usize = 128;

/// Measures a model: prefill of one and of several prompts, decoding of one and of many streams.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What is measured
    #[command(flatten)]
    pub subject: Subject,
    /// Tokens of the prefilled prompts
    #[arg(long, value_delimiter = ',', default_value = "512")]
    pub prompt_tokens: Vec<usize>,
    /// How many prompts are prefilled in one pass
    #[arg(long, value_delimiter = ',', default_value = "1")]
    pub prompts: Vec<usize>,
    /// How many streams are decoded at once
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16,32")]
    pub streams: Vec<usize>,
    /// Tokens that each sequence has before [default: 0 for prefill, 128 for decoding]
    #[arg(long, value_delimiter = ',', alias = "past-tokens")]
    pub depths: Vec<usize>,
    /// Tokens that each stream decodes
    #[arg(long, default_value_t = 64)]
    pub decode_tokens: usize,
    /// How often each is measured, after one run to warm up
    #[arg(long, default_value_t = 5)]
    pub repeats: usize,
    /// Instructions that the kernels use: scalar, avx2 or avx512 [default: the best that the processor has]
    #[arg(long, value_name = "LEVEL")]
    pub kernel_level: Option<String>,
    /// Another program to run in turns with this one, on the same file and threads
    #[arg(long, value_name = "llama-bench=PATH")]
    pub peer: Option<Peer>,
    /// Seconds that one run of the other program may take
    #[arg(long, default_value_t = 600.0)]
    pub peer_timeout_seconds: f64,
}

impl Options {
    fn cases(&self) -> Vec<Case> {
        let depths = |usual: usize| if self.depths.is_empty() { vec![usual] } else { self.depths.clone() };
        let mut cases = Vec::new();
        for depth in depths(0) {
            for &tokens in &self.prompt_tokens {
                cases.extend(self.prompts.iter().map(|&prompts| Case::Prefill { prompts, tokens, depth }));
            }
        }
        let tokens = self.decode_tokens;
        for depth in depths(DECODE_DEPTH) {
            cases.extend(self.streams.iter().map(|&streams| Case::Decode { streams, tokens, depth }));
        }
        cases
    }

    /// The name of a case's figure: one depth is left out of it.
    fn figure(&self, case: Case) -> String {
        let (name, depth) = match case {
            Case::Prefill { prompts: 1, tokens, depth } => (format!("prefill_{tokens}"), depth),
            Case::Prefill { prompts, tokens, depth } => (format!("prefill_{prompts}x{tokens}"), depth),
            Case::Decode { streams, depth, .. } => (format!("decode_{streams}"), depth),
        };
        if self.depths.len() > 1 { format!("{name}_at_{depth}") } else { name }
    }
}

/// One measured case.
struct Measured {
    case: Case,
    /// Seconds of each repeat.
    times: Samples,
    shares: Option<Shares>,
    /// Tokens a second of the peer's repeats, if it has such a case.
    peer: Option<Samples>,
}

impl Measured {
    /// Tokens a second of each repeat.
    fn speed(&self) -> Samples {
        self.times.iter().map(|time| self.case.tokens() as f64 / time).collect()
    }

    /// The columns that all tables end with.
    fn limits_and_peer(&self) -> Vec<Cell> {
        let percent = |share: Option<f64>| Cell::from(share.map(|share| format!("{:.0} %", 100.0 * share)));
        let peer = self.peer.as_ref().and_then(Samples::median);
        let ratio = self.speed().median().zip(peer).map(|(own, peer)| own / peer);
        let (read, int8) = (self.shares.map(|shares| shares.read), self.shares.map(|shares| shares.int8));
        vec![percent(read), percent(int8), peer.into(), ratio.into()]
    }
}

const LIMITS_AND_PEER: [&str; 4] = ["of read bandwidth", "of int8 rate", "peer tok/s", "x peer"];

/// Measures.
///
/// # Errors
/// If the model cannot be found, loaded or run, the processor lacks the level, the peer fails, or options make no sense.
pub fn run(options: Options, by: &Locate<'_>) -> Result<Report, BenchError> {
    check(&options)?;
    if let Some(level) = &options.kernel_level {
        CpuLevel::choose(level)
            .map_err(|error| BenchError::Options(format!("--kernel-level is '{level}': {error}")))?;
    }
    let (path, seed) = options.subject.resolve(by)?;
    let cases = options.cases();
    let mut passes = Passes::load(&path, options.subject.threads, &cases, seed)?;
    let roofline = Roofline::measure(&passes.team);
    let mut report = Report::new("model", format!("Model: {}", path.display()), Some(seed));
    tell_settings(&mut report, &options, &passes, &roofline);
    let measured = cases
        .iter()
        .map(|&case| measure(&mut passes, &options, &roofline, &path, case))
        .collect::<Result<Vec<_>, _>>()?;
    for one in &measured {
        let name = options.figure(one.case);
        report.figure(format!("{name}_of_limit"), one.shares.map(Shares::nearer), "x");
        if let Some(peer) = &one.peer {
            report.figure(format!("{name}_peer"), peer.median(), "tokens/s");
        }
        report.figure(name, one.speed().median(), "tokens/s");
    }
    tell_prefill(&mut report, &measured);
    tell_decode(&mut report, &options, &measured);
    report.notes.extend([
        "forward passes only: tokens are random, nothing is sampled; decoding computes the logits of every row, prefill those of \
         the last of each prompt"
            .to_string(),
        "a pass reads each weight and each key and value once, and multiplies each weight with each row: the shares are of what \
         this machine did at most in this run. Bandwidth bounds few rows, the int8 rate many; more than 100 % of the bandwidth \
         means that weights stay in the cache"
            .to_string(),
    ]);
    Ok(report)
}

/// Our repeats and the peer's in turns, after one of ours that does not count.
fn measure(
    passes: &mut Passes,
    options: &Options,
    roofline: &Roofline,
    path: &Path,
    case: Case,
) -> Result<Measured, BenchError> {
    let peer = options.peer.as_ref().filter(|_| Peer::has(case));
    if peer.is_some() {
        crate::output::say(format_args!("{case:?}, in turns with the peer"));
    }
    let (mut times, mut speeds) = (Vec::new(), Vec::new());
    let limit = seconds("--peer-timeout-seconds", options.peer_timeout_seconds)?;
    passes.time(case)?;
    for _ in 0..options.repeats {
        times.push(passes.time(case)?);
        if let Some(peer) = peer {
            speeds.push(peer.run(path, passes.team.threads(), case, limit)?);
        }
    }
    let times: Samples = times.into_iter().collect();
    let (cost, context) = passes.cost(case);
    let shares = times.median().map(|time| roofline.shares(cost, context, time / case.passes() as f64));
    Ok(Measured { case, times, shares, peer: peer.map(|_| speeds.into_iter().collect()) })
}

fn tell_settings(report: &mut Report, options: &Options, passes: &Passes, roofline: &Roofline) {
    let config = passes.model.config();
    report.setting(
        "shape",
        format!(
            "{}, {} layers, {} heads of {}, {} KV heads, embedding {}, vocabulary {}",
            config.architecture,
            config.layers,
            config.heads,
            config.head_dim,
            config.kv_heads,
            config.embedding,
            config.vocab
        ),
    );
    let mib = passes.model.weight_bytes() as f64 / (1 << 20) as f64;
    report.setting("weights", format!("{mib:.1} MiB, loaded in {:.2} s", passes.load_seconds));
    report.setting("threads", passes.team.threads());
    report.setting("limits", roofline.line(passes.team.threads()));
    report.setting("repeats", options.repeats);
    if let Some(peer) = &options.peer {
        report.setting("peer", peer);
    }
    report.figure("load_seconds", Some(passes.load_seconds), "s");
    report.figure("read_bytes_per_second", Some(roofline.read), "bytes/s");
    report.figure("int8_products_per_second", Some(roofline.int8), "products/s");
}

fn tell_prefill(report: &mut Report, measured: &[Measured]) {
    let columns = [&["prompts", "tokens each", "after", "tok/s", "min", "max", "ms"][..], &LIMITS_AND_PEER].concat();
    let mut table = Table::new("Prefill in one pass", &columns);
    for one in measured {
        let Case::Prefill { prompts, tokens, depth } = one.case else { continue };
        let speed = one.speed();
        let mut row: Vec<Cell> = vec![prompts.into(), tokens.into(), depth.into()];
        row.extend(
            [speed.median(), speed.min(), speed.max(), one.times.median().map(|time| time * 1e3)].map(Cell::from),
        );
        row.extend(one.limits_and_peer());
        table.row(row);
    }
    report.tables.push(table);
}

fn tell_decode(report: &mut Report, options: &Options, measured: &[Measured]) {
    let columns =
        [&["streams", "after", "tok/s", "min", "max", "x one stream", "ms a step"][..], &LIMITS_AND_PEER].concat();
    let mut table = Table::new(format!("Decoding {} tokens", options.decode_tokens), &columns);
    let mut lines: Vec<Line> = Vec::new();
    let mut ones = Vec::new();
    for one in measured {
        let Case::Decode { streams, tokens, depth } = one.case else { continue };
        let speed = one.speed();
        let median = speed.median();
        if streams == 1 {
            ones.push((depth, median));
        }
        let alone = ones.iter().find(|(at, _)| *at == depth).and_then(|(_, speed)| *speed);
        let mut row: Vec<Cell> = vec![streams.into(), depth.into()];
        row.extend([median, speed.min(), speed.max(), median.zip(alone).map(|(many, one)| many / one)].map(Cell::from));
        row.push(one.times.median().map(|time| time * 1e3 / tokens as f64).into());
        row.extend(one.limits_and_peer());
        table.row(row);
        let name = format!("after {depth} tokens");
        if lines.last().is_none_or(|line| line.name != name) {
            lines.push(Line { name, points: Vec::new() });
        }
        if let (Some(line), Some(median)) = (lines.last_mut(), median) {
            line.points.push((streams as f64, median));
        }
    }
    report.tables.push(table);
    report.plots.push(Plot {
        title: "Decoding many streams".to_string(),
        x: Axis { label: "streams".to_string(), log: false },
        y: Axis { label: "tokens/s, all streams together".to_string(), log: false },
        lines,
    });
}

fn check(options: &Options) -> Result<(), BenchError> {
    within("--prompt-tokens", 1..=MOST, &options.prompt_tokens)?;
    within("--prompts", 1..=MOST, &options.prompts)?;
    within("--streams", 1..=MOST, &options.streams)?;
    within("--depths", 0..=MOST, &options.depths)?;
    within("--decode-tokens", 1..=MOST, &[options.decode_tokens])?;
    seconds("--peer-timeout-seconds", options.peer_timeout_seconds)?;
    within("--repeats", 1..=MOST, &[options.repeats])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn options() -> Options {
        Options {
            subject: Subject { model: None, threads: Some(1), seed: Some(1) },
            prompt_tokens: vec![24],
            prompts: vec![1, 2],
            streams: vec![1, 3],
            depths: vec![5],
            decode_tokens: 4,
            repeats: 2,
            kernel_level: None,
            peer: None,
            peer_timeout_seconds: 600.0,
        }
    }

    fn tiny(_: Option<&str>) -> Result<PathBuf, String> {
        Ok(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/tiny/llama-Q4_0.gguf").into())
    }

    #[test]
    fn every_size_has_its_figure() {
        let report = run(options(), &tiny).expect("a report");
        let sizes = ["prefill_24", "prefill_2x24", "decode_1", "decode_3", "decode_3_of_limit", "load_seconds"];
        for figure in sizes.into_iter().chain(["read_bytes_per_second", "int8_products_per_second"]) {
            assert!(report.value(figure).is_some_and(|value| value > 0.0), "{figure}");
        }
        assert_eq!((report.tables[0].rows.len(), report.tables[1].rows.len()), (2, 2));
    }

    #[test]
    fn every_depth_has_its_figure() {
        let report = run(Options { depths: vec![0, 17], ..options() }, &tiny).expect("a report");
        for figure in ["prefill_24_at_0", "prefill_2x24_at_17", "decode_1_at_0", "decode_3_at_17"] {
            assert!(report.value(figure).is_some_and(|value| value > 0.0), "{figure}");
        }
        assert_eq!(report.plots[0].lines.len(), 2);
    }

    #[test]
    fn what_a_pass_costs_grows_with_rows_and_depth() {
        let cases = options().cases();
        let passes = Passes::load(&tiny(None).expect("a path"), Some(1), &cases, 1).expect("a model");
        let of = |streams, depth| passes.cost(Case::Decode { streams, tokens: 4, depth });
        let ((one, near), (three, far)) = (of(1, 0), of(3, 10));
        assert_eq!((three.products, three.weight_bytes), (3 * one.products, one.weight_bytes));
        assert_eq!(far, near / 2 * 12 * 3, "3 streams of 10 and half of 4, against half of 4");
        assert!(one.weight_bytes <= passes.model.weight_bytes() && one.products > 0);
    }

    #[test]
    fn what_cannot_be_measured_is_said() {
        let missing = |_: Option<&str>| Err("no such model".to_string());
        assert!(run(options(), &missing).expect_err("missing").to_string().contains("no such model"));
        let long = Options { prompt_tokens: vec![1 << 20], ..options() };
        assert!(run(long, &tiny).expect_err("too long").to_string().contains("its context has"));
        let none = Options { streams: vec![0], ..options() };
        assert!(run(none, &tiny).expect_err("none").to_string().contains("--streams is 0"));
        let level = Options { kernel_level: Some("mmx".to_string()), ..options() };
        assert!(run(level, &tiny).expect_err("unknown").to_string().contains("avx512"));
    }
}
