//! `parkade bench model`: the model alone, without engine or server.

use crate::locate::{Locate, locate};
use crate::random::{Random, fresh_seed};
use crate::report::{Axis, Line, Plot, Report, Table};
use crate::{BenchError, Samples};
use parkade_kernels::{KvCache, KvType, Span, Team};
use parkade_model::gguf::Gguf;
use parkade_model::{Batch, Model, Outputs, TokenId};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const BLOCK_LEN: usize = 16;

/// Measures a model: prefill, and decoding of one and of many streams.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Model to measure [default: the default model]
    #[arg(long)]
    pub model: Option<String>,
    /// Threads that compute [default: as many as this process may use]
    #[arg(long)]
    pub threads: Option<usize>,
    /// Tokens of the prefilled prompts
    #[arg(long, value_delimiter = ',', default_value = "512")]
    pub prompt_tokens: Vec<usize>,
    /// How many streams are decoded at once
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16,32")]
    pub streams: Vec<usize>,
    /// Tokens that each stream has before it is decoded
    #[arg(long, default_value_t = 128)]
    pub past_tokens: usize,
    /// Tokens that each stream decodes
    #[arg(long, default_value_t = 64)]
    pub decode_tokens: usize,
    /// How often each is measured, after one run to warm up
    #[arg(long, default_value_t = 5)]
    pub repeats: usize,
    /// Seed of the tokens [default: a new one for each run]
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Measures.
///
/// # Errors
/// If the model cannot be found, loaded or run, or options make no sense.
pub fn run(options: Options, by: &Locate<'_>) -> Result<Report, BenchError> {
    check(&options)?;
    let path = locate(options.model.as_deref(), by)?;
    let seed = options.seed.unwrap_or_else(fresh_seed);
    let mut bench = Bench::load(&path, &options, seed)?;
    let mut report = Report::new("model", format!("Model: {}", path.display()), Some(seed));
    let config = bench.model.config();
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
    report.setting(
        "weights",
        format!("{:.1} MiB, loaded in {:.2} s", mib(bench.model.weight_bytes()), bench.load_seconds),
    );
    report.setting("threads", bench.threads);
    report.setting("repeats", options.repeats);
    report.figure("load_seconds", Some(bench.load_seconds), "s");

    let mut prefill = Table::new("Prefill of one prompt", &["tokens", "tok/s", "min", "max", "ms"]);
    for &tokens in &options.prompt_tokens {
        let times = bench.repeat(options.repeats, |bench| bench.prefill(tokens))?;
        let speed = per_second(&times, tokens);
        let ms = times.median().map(|time| time * 1e3);
        prefill.row(vec![tokens.into(), speed.median().into(), speed.min().into(), speed.max().into(), ms.into()]);
        report.figure(format!("prefill_{tokens}"), speed.median(), "tokens/s");
    }
    let columns = ["streams", "tok/s", "min", "max", "x one stream", "ms a step"];
    let mut decode =
        Table::new(format!("Decoding {} tokens after {}", options.decode_tokens, options.past_tokens), &columns);
    let mut curve = Vec::new();
    let mut one = None;
    for &streams in &options.streams {
        let times = bench.repeat(options.repeats, |bench| bench.decode(streams, &options))?;
        let speed = per_second(&times, streams * options.decode_tokens);
        let median = speed.median();
        if streams == 1 {
            one = median;
        }
        decode.row(vec![
            streams.into(),
            median.into(),
            speed.min().into(),
            speed.max().into(),
            median.zip(one).map(|(many, one)| many / one).into(),
            times.median().map(|time| time * 1e3 / options.decode_tokens as f64).into(),
        ]);
        report.figure(format!("decode_{streams}"), median, "tokens/s");
        curve.extend(median.map(|median| (streams as f64, median)));
    }
    report.tables.extend([prefill, decode]);
    report.plots.push(Plot {
        title: "Decoding many streams".to_string(),
        x: Axis { label: "streams".to_string(), log: false },
        y: Axis { label: "tokens/s, all streams together".to_string(), log: false },
        lines: vec![Line { name: "median".to_string(), points: curve }],
    });
    report.notes.push(
        "forward passes only: tokens are random, nothing is sampled; decoding computes the logits of every row, prefill those \
         of its last"
            .to_string(),
    );
    Ok(report)
}

fn check(options: &Options) -> Result<(), BenchError> {
    let positive = |name: &str, values: &[usize]| match values.iter().all(|value| (1..=1 << 20).contains(value)) {
        true if !values.is_empty() => Ok(()),
        _ => Err(BenchError::Options(format!("{name} must be whole numbers from 1 to 1048576"))),
    };
    positive("--prompt-tokens", &options.prompt_tokens)?;
    positive("--streams", &options.streams)?;
    positive("--past-tokens", &[options.past_tokens])?;
    positive("--decode-tokens", &[options.decode_tokens])?;
    positive("--repeats", &[options.repeats])?;
    positive("--threads", &[options.threads.unwrap_or(1)])
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

fn per_second(times: &Samples, tokens: usize) -> Samples {
    times.iter().map(|time| tokens as f64 / time).collect()
}

/// A loaded model with KV blocks for the largest measurement.
struct Bench {
    model: Model,
    kv: KvCache,
    random: Random,
    logits: Vec<f32>,
    threads: usize,
    load_seconds: f64,
    path: std::path::PathBuf,
}

impl Bench {
    fn load(path: &Path, options: &Options, seed: u64) -> Result<Bench, BenchError> {
        let failed = |reason: String| BenchError::Model { path: path.to_path_buf(), reason };
        let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let start = Instant::now();
        let gguf = Gguf::open(path).map_err(|error| failed(error.to_string()))?;
        let model = Model::load(&gguf, Arc::new(Team::new(threads))).map_err(|error| failed(error.to_string()))?;
        let load_seconds = start.elapsed().as_secs_f64();
        let longest = options.past_tokens + options.decode_tokens;
        let most = options.prompt_tokens.iter().copied().max().unwrap_or(1).max(longest);
        if most > model.config().context_length {
            return Err(failed(format!(
                "{most} tokens are asked for; its context has {}",
                model.config().context_length
            )));
        }
        let streams = options.streams.iter().copied().max().unwrap_or(1);
        let blocks = (streams * longest.div_ceil(BLOCK_LEN)).max(most.div_ceil(BLOCK_LEN));
        let kv = model.new_kv_cache(blocks, BLOCK_LEN, KvType::F16).map_err(|error| failed(error.to_string()))?;
        let path = path.to_path_buf();
        Ok(Bench { model, kv, random: Random::new(seed, 0), logits: Vec::new(), threads, load_seconds, path })
    }

    /// Seconds of each repeat, after one that does not count.
    fn repeat(
        &mut self,
        repeats: usize,
        mut measure: impl FnMut(&mut Bench) -> Result<f64, BenchError>,
    ) -> Result<Samples, BenchError> {
        measure(self)?;
        (0..repeats).map(|_| measure(self)).collect()
    }

    /// Seconds of one pass over a new prompt.
    fn prefill(&mut self, tokens: usize) -> Result<f64, BenchError> {
        let prompt = self.tokens(tokens);
        let blocks: Vec<u32> = (0..tokens.div_ceil(BLOCK_LEN) as u32).collect();
        let span = Span { first_row: 0, rows: tokens, past: 0, blocks: &blocks };
        let start = Instant::now();
        self.forward(&prompt, &[span], &[tokens - 1])?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Seconds of decoding, after the prompts were prefilled.
    fn decode(&mut self, streams: usize, options: &Options) -> Result<f64, BenchError> {
        let past = options.past_tokens;
        let each = (past + options.decode_tokens).div_ceil(BLOCK_LEN) as u32;
        let tables: Vec<Vec<u32>> =
            (0..streams as u32).map(|stream| (stream * each..(stream + 1) * each).collect()).collect();
        for blocks in &tables {
            let prompt = self.tokens(past);
            self.forward(&prompt, &[Span { first_row: 0, rows: past, past: 0, blocks }], &[past - 1])?;
        }
        let rows: Vec<usize> = (0..streams).collect();
        let steps: Vec<Vec<TokenId>> = (0..options.decode_tokens).map(|_| self.tokens(streams)).collect();
        let start = Instant::now();
        for (step, tokens) in steps.iter().enumerate() {
            let span = |(row, blocks)| Span { first_row: row, rows: 1, past: past + step, blocks };
            let spans: Vec<Span<'_>> = tables.iter().map(Vec::as_slice).enumerate().map(span).collect();
            self.forward(tokens, &spans, &rows)?;
        }
        Ok(start.elapsed().as_secs_f64())
    }

    fn tokens(&mut self, count: usize) -> Vec<TokenId> {
        let vocab = self.model.config().vocab;
        (0..count).map(|_| self.random.below(vocab) as TokenId).collect()
    }

    fn forward(&mut self, tokens: &[TokenId], spans: &[Span<'_>], logit_rows: &[usize]) -> Result<(), BenchError> {
        let batch = Batch { tokens, spans, outputs: Outputs::Logits(logit_rows) };
        self.model
            .forward(&batch, &mut self.kv, &mut self.logits)
            .map_err(|error| BenchError::Model { path: self.path.clone(), reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, check, run};
    use crate::BenchError;
    use std::path::PathBuf;

    fn options() -> Options {
        Options {
            model: None,
            threads: Some(1),
            prompt_tokens: vec![24],
            streams: vec![1, 3],
            past_tokens: 5,
            decode_tokens: 4,
            repeats: 2,
            seed: Some(1),
        }
    }

    fn tiny(_: Option<&str>) -> Result<PathBuf, String> {
        Ok(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/tiny/llama-Q4_0.gguf").into())
    }

    #[test]
    fn every_size_has_its_figure() {
        let report = run(options(), &tiny).expect("a report");
        for figure in ["prefill_24", "decode_1", "decode_3", "load_seconds"] {
            assert!(report.value(figure).is_some_and(|value| value > 0.0), "{figure}");
        }
        assert_eq!(report.tables[1].rows.len(), 2);
    }

    #[test]
    fn what_cannot_be_measured_is_said() {
        let missing = |_: Option<&str>| Err("no such model".to_string());
        assert!(run(options(), &missing).expect_err("missing").to_string().contains("no such model"));
        let long = Options { prompt_tokens: vec![1 << 20], ..options() };
        assert!(run(long, &tiny).expect_err("too long").to_string().contains("its context has"));
        let none = Options { streams: vec![0], ..options() };
        assert!(matches!(check(&none), Err(BenchError::Options(_))));
    }
}
