//! Greedy text from a GGUF file, and how fast it comes.
//!
//! `cargo run --release -p parkade-model --example generate -- MODEL.gguf [--threads N] [--prompt TEXT]`
//!
//! Prints an answer, then tokens per second of prefill (512 tokens), of decoding one stream (128 tokens after 16) and of 16 streams at once
//! (64 tokens each after prompts of 128, prefill included), each the median of three runs.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use parkade_kernels::{KvCache, KvType, SlotPair, Span, StateCache, Team};
use parkade_model::gguf::Gguf;
use parkade_model::tokenizer::{Bos, SpecialTokens, TextStream, Tokenizer};
use parkade_model::{Batch, Model, Outputs, TokenId};

const BLOCK_LEN: usize = 16;
/// Most rows in one batch.
const CHUNK: usize = 512;
const RUNS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut path = None;
    let mut threads = std::thread::available_parallelism()?.get();
    let mut prompt = "The capital of France is".to_owned();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => threads = arguments.next().ok_or("--threads needs a number")?.parse()?,
            "--prompt" => prompt = arguments.next().ok_or("--prompt needs a text")?,
            _ => path = Some(PathBuf::from(argument)),
        }
    }
    let path = path.ok_or("usage: generate MODEL.gguf [--threads N] [--prompt TEXT]")?;

    let started = Instant::now();
    let gguf = Gguf::open(&path)?;
    let tokenizer = Tokenizer::from_gguf(&gguf)?;
    let model = Model::load(&gguf, Arc::new(Team::new(threads)))?;
    println!(
        "{}: {} MB of weights ready in {:.2} s, {threads} threads",
        gguf.name(),
        model.weight_bytes() >> 20,
        started.elapsed().as_secs_f64()
    );
    let blocks = 16 * blocks_for(192).max(blocks_for(512)) * model.kv_layout().groups();
    let kv = model.new_kv_cache(blocks, BLOCK_LEN, KvType::F16)?;
    let states = model.new_states(kv.blocks())?;
    let mut runner = Runner { model, kv, states, logits: Vec::new() };
    answer(&mut runner, &tokenizer, &prompt)?;

    let vocab = runner.model.config().vocab;
    let text =
        |n: usize, seed: usize| (0..n).map(|i| ((i * 7919 + seed * 104_729) % vocab) as TokenId).collect::<Vec<_>>();
    report("prefill 512", 512, || Ok(runner.generate(&[text(512, 1)], 0)?.0))?;
    report("decode, 1 stream", 128, || Ok(runner.generate(&[text(16, 1)], 128)?.1))?;
    let sixteen: Vec<_> = (0..16).map(|seed| text(128, seed)).collect();
    report("16 streams of 128 + 64", 16 * 64, || {
        let (prefill, decode) = runner.generate(&sixteen, 64)?;
        Ok(prefill + decode)
    })?;
    report("16 streams, decode only", 16 * 64, || Ok(runner.generate(&sixteen, 64)?.1))?;
    Ok(())
}

fn answer(runner: &mut Runner, tokenizer: &Tokenizer, prompt: &str) -> Result<(), Box<dyn Error>> {
    let ids = tokenizer.encode(prompt, SpecialTokens::Parse, Bos::AsModel)?;
    let mut stream = TextStream::new();
    print!("{prompt}");
    let blocks = runner.table(0, ids.len() + 48);
    let mut next = runner.step(&[(&ids, 0, &blocks)])?[0];
    for past in ids.len()..ids.len() + 48 {
        if tokenizer.is_end(next) {
            break;
        }
        print!("{}", stream.push(tokenizer, next));
        std::io::stdout().flush()?;
        next = runner.step(&[(&[next], past, &blocks)])?[0];
    }
    println!("{}\n", stream.finish());
    Ok(())
}

/// Runs `work`, which returns its seconds, a few times and prints the median speed for `tokens` tokens.
fn report(
    what: &str,
    tokens: usize,
    mut work: impl FnMut() -> Result<f64, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut speeds = Vec::new();
    for _ in 0..RUNS {
        speeds.push(tokens as f64 / work()?);
    }
    speeds.sort_by(f64::total_cmp);
    println!("{what:<24} {:>8.1} tokens/s", speeds[RUNS / 2]);
    Ok(())
}

struct Runner {
    model: Model,
    kv: KvCache,
    states: StateCache,
    logits: Vec<f32>,
}

impl Runner {
    /// Runs one batch of (new tokens, tokens in the cache, block table) and returns the likeliest token after each.
    fn step(&mut self, parts: &[(&[TokenId], usize, &[u32])]) -> Result<Vec<TokenId>, Box<dyn Error>> {
        let mut tokens = Vec::new();
        let mut spans = Vec::new();
        let mut logit_rows = Vec::new();
        let mut states = Vec::new();
        for &(new, past, blocks) in parts {
            spans.push(Span { first_row: tokens.len(), rows: new.len(), past, blocks });
            tokens.extend(new);
            logit_rows.push(tokens.len() - 1);
            // A sequence's first block is nobody else's.
            states.push(SlotPair { from: (past > 0).then_some(blocks[0]), to: blocks[0] });
        }
        if self.model.state_bytes() == 0 {
            states.clear();
        }
        let batch = Batch { tokens: &tokens, spans: &spans, states: &states, outputs: Outputs::Logits(&logit_rows) };
        self.model.forward(&batch, &mut self.kv, &mut self.states, &mut self.logits)?;
        let likeliest = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0) as TokenId;
        Ok(self.logits.chunks_exact(self.model.config().vocab).map(likeliest).collect())
    }

    /// Prefills all prompts, as many rows at a time as go into a chunk, then decodes `new` tokens of each at once.
    /// Returns the seconds that each of the two took.
    fn generate(&mut self, prompts: &[Vec<TokenId>], new: usize) -> Result<(f64, f64), Box<dyn Error>> {
        let started = Instant::now();
        let length = prompts[0].len();
        let tables: Vec<_> = (0..prompts.len()).map(|i| self.table(i, length + new)).collect();
        let mut next = Vec::new();
        let at_once = CHUNK / length;
        for (prompts, tables) in prompts.chunks(at_once).zip(tables.chunks(at_once)) {
            let parts: Vec<_> = prompts.iter().zip(tables).map(|(p, t)| (p.as_slice(), 0, t.as_slice())).collect();
            next.extend(self.step(&parts)?);
        }
        let prefilled = started.elapsed().as_secs_f64();
        for past in length..length + new {
            let parts: Vec<_> =
                next.chunks(1).zip(&tables).map(|(token, table)| (token, past, table.as_slice())).collect();
            next = self.step(&parts)?;
        }
        Ok((prefilled, started.elapsed().as_secs_f64() - prefilled))
    }

    /// The blocks of the sequence with this number, all of the same length.
    fn table(&self, number: usize, tokens: usize) -> Vec<u32> {
        let each = blocks_for(tokens) * self.model.kv_layout().groups();
        (number * each..(number + 1) * each).map(|block| block as u32).collect()
    }
}

fn blocks_for(tokens: usize) -> usize {
    tokens.div_ceil(BLOCK_LEN)
}
