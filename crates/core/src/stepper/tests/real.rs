//! Parking over real weights: not a bit may change.

use std::path::PathBuf;

use parkade_kernels::{KvType, Team};
use parkade_model::Model;
use parkade_model::gguf::Gguf;
use parkade_model::tokenizer::Tokenizer;

use super::*;
use crate::backend::ModelBackend;
use crate::sampling::{Dry, Xtc};

/// Llama with weights of three types, some families whose layers carry states from token to token, and some with windows in some layers.
pub(super) const MODELS: [&str; 9] = [
    "llama-F32",
    "llama-Q4_1",
    "llama-Q4_K_S",
    "tiny-lfm2",
    "tiny-falcon-h1",
    "tiny-qwen3next",
    "tiny-rwkv7",
    "tiny-gemma3",
    "tiny-gpt-oss",
];

fn has_windows(model: &str) -> bool {
    ["tiny-gemma3", "tiny-gpt-oss"].contains(&model)
}

/// A length of prompts: long enough for windows to leave blocks behind, where there are some.
fn length(model: &str, tokens: usize) -> usize {
    tokens + if has_windows(model) { 130 } else { 0 }
}

fn open(model: &str) -> Gguf {
    if model.starts_with("tiny-") {
        let made = parkade_synth::Model::new(model, 1, 1, None).unwrap();
        return Gguf::from_bytes(made.to_bytes().unwrap()).unwrap();
    }
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "../../tests/oracle/tiny", &format!("{model}.gguf")].iter().collect();
    Gguf::open(&path).unwrap()
}

fn bench(model: &str, prefix_cache: bool) -> Bench {
    let tokenizer = Tokenizer::from_gguf(&open(model)).unwrap();
    bench_with(model, Arc::new(tokenizer), prefix_cache)
}

/// The model's weights with other words.
pub(super) fn bench_with(model: &str, vocabulary: Arc<dyn Vocabulary>, prefix_cache: bool) -> Bench {
    let gguf = open(model);
    let loaded = Model::load(&gguf, Arc::new(Team::new(2))).unwrap();
    let groups = loaded.kv_layout().groups();
    assert_eq!(groups > 1, has_windows(model));
    let kv = loaded.new_kv_cache(64 * groups, 16, KvType::F16).unwrap();
    let states = loaded.new_states(12).unwrap();
    assert_eq!(loaded.state_bytes() > 0, model.starts_with("tiny-") && !has_windows(model));
    let backend = ModelBackend::new(loaded, kv, states, 64 * groups, 16);
    let config = EngineConfig { prefix_cache, max_batched_tokens: 24, max_seqs: 8, ..EngineConfig::default() };
    Bench::over(Box::new(backend), vocabulary, config)
}

/// What is drawn from the model's own probabilities; for prompts of odd lengths also by all that looks back at the text or draws again.
pub(super) fn lively(name: &str, prompt: usize, stop: Vec<String>) -> Request {
    let further = SamplingParams {
        dry: Some(Dry { multiplier: 0.8, allowed_length: 1, breakers: [5, 10, 200].into(), ..Dry::default() }),
        xtc: Xtc { probability: 0.4, threshold: 0.05 },
        top_n_sigma: 6.0,
        penalty_window: Some(40),
        bad_words: vec![vec![300], vec![17, 30]],
        ..SamplingParams::default()
    };
    Request {
        max_tokens: Some(24),
        sampling: SamplingParams {
            seed: Some(prompt as u64),
            temperature: 1.2,
            top_k: 200,
            top_p: 0.98,
            presence_penalty: 0.3,
            frequency_penalty: 0.2,
            repetition_penalty: 1.1,
            ..if prompt % 2 == 1 { further } else { SamplingParams::default() }
        },
        stop,
        ignore_eos: true,
        logprobs: Some(2),
        n: 2,
        ..Request::new(name, (0..prompt).map(|at| (3 + (prompt * 17 + at * at * 5 + at) % 500) as TokenId).collect())
    }
}

/// The events of each answer; how those of several answers are interleaved is not promised.
pub(super) fn by_answer(collected: &Collected) -> Vec<Event> {
    assert!(collected.is_done(), "{:?}", collected.last);
    let mut events = collected.events.clone();
    events.pop();
    events.sort_by_key(|event| match event {
        Event::Token { index, .. } | Event::Finished { index, .. } => *index,
        _ => 0,
    });
    events
}

#[test]
fn a_parked_sequence_resumes_with_the_same_bits() {
    for ty in MODELS {
        let open = bench(ty, false).answers(&lively("r", length(ty, 37), Vec::new()));
        let text: Vec<char> = open.answers[&1].text.chars().collect();
        // A stop string that comes up in the middle of one answer.
        let stop = vec![text[text.len() / 2..].iter().take(3).collect()];
        let request = lively("r", length(ty, 37), stop);
        let undisturbed = bench(ty, false).answers(&request);
        assert!(undisturbed.answers[&1].stop_string.is_some(), "{ty}: {undisturbed:?}");
        for (moment, prefix_cache) in [(0, true), (1, false), (2, true), (3, false), (4, true)] {
            let mut bench = bench(ty, prefix_cache);
            let (key, mut stream) = bench.admit(&request);
            let (_, mut other) = bench.admit(&lively("other", length(ty, 20), Vec::new()));
            for step in 0..600 {
                if step % 5 == moment && step < 400 && bench.stepper.park(key) {
                    bench.step();
                    bench.stepper.resume(key);
                }
                bench.step();
            }
            let disturbed = Collected::all(&mut stream);
            assert_eq!(by_answer(&disturbed), by_answer(&undisturbed), "{ty}, parked from step {moment} on");
            assert!(Collected::all(&mut other).is_done());
        }
    }
}

/// Proposals are accepted, rejected and rolled back at random, beside others, with parkings; not a bit may change.
#[test]
fn proposals_change_no_token_and_no_bit() {
    for ty in MODELS {
        let greedy = |prompt| {
            let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
            Request { sampling, n: 1, ..lively(&format!("greedy {prompt}"), prompt, Vec::new()) }
        };
        let (drawn, greedy) = (
            |tokens| lively(&format!("r{tokens}"), length(ty, tokens), Vec::new()),
            |tokens| greedy(length(ty, tokens)),
        );
        let requests = [drawn(37), greedy(20), drawn(55), greedy(41)];
        let undisturbed: Vec<Collected> = requests.iter().map(|request| bench(ty, false).answers(request)).collect();
        let texts = requests.iter().zip(&undisturbed).flat_map(|(request, collected)| {
            let text = |answer: &Answer| request.prompt.iter().chain(&answer.tokens).copied().collect();
            collected.answers.values().map(text)
        });
        let known: Arc<Mutex<Vec<Vec<TokenId>>>> = Arc::new(Mutex::new("tests.known", texts.collect()));
        let run = |mut bench: Bench, proposer: Option<Box<dyn Proposer>>| {
            bench.stepper.proposer = proposer;
            let (mut guests, mut steps) = (Vec::new(), 0);
            loop {
                if steps % 4 == 0 && guests.len() < requests.len() {
                    guests.push(bench.admit(&requests[guests.len()]));
                }
                if steps % 11 == 10 && steps < 300 && bench.stepper.park(guests[0].0) {
                    bench.step();
                    bench.stepper.resume(guests[0].0);
                }
                if bench.step().progress.is_empty() && guests.len() == requests.len() {
                    break;
                }
                steps += 1;
            }
            let answers = guests.iter_mut().map(|(_, stream)| by_answer(&Collected::all(stream)));
            (answers.collect::<Vec<_>>(), steps)
        };
        let (plain, steps) = run(bench(ty, false), None);
        assert_eq!(plain, undisturbed.iter().map(by_answer).collect::<Vec<_>>(), "{ty}");
        for seed in 0..6 {
            let guesses = Guesses { known: Arc::clone(&known), state: seed, vocab: 500 };
            let (answers, fewer) = run(bench(ty, seed % 2 == 0), Some(Box::new(guesses)));
            assert_eq!(answers, plain, "{ty}, seed {seed}");
            assert!(fewer < steps, "{ty}, seed {seed}: nothing was accepted in {fewer} instead of {steps} steps");
        }
    }
}

/// Urgent in every other step, and an interruption now and then.
struct Hasty {
    step: u8,
    asked: std::cell::Cell<u64>,
}

impl MemoryPolicy for Hasty {
    fn ask(&mut self, _: &Ask) -> Grant {
        Grant::Yes
    }

    fn urgency(&self) -> u8 {
        self.step % 2
    }

    fn interrupts(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.asked.get().is_multiple_of(3)
    }
}

#[test]
fn a_pass_that_is_left_goes_on_with_the_same_bits() {
    for ty in MODELS {
        let requests: Vec<Request> =
            [37, 20, 55].map(|prompt| lively(&format!("r{prompt}"), length(ty, prompt), Vec::new())).into();
        let undisturbed: Vec<_> =
            requests.iter().map(|request| by_answer(&bench(ty, false).answers(request))).collect();
        let mut bench = bench(ty, true);
        let mut hasty = Hasty { step: 0, asked: Default::default() };
        let (mut streams, mut was_left) = (Vec::new(), 0);
        for step in 0..600 {
            if step % 3 == 0 && streams.len() < requests.len() {
                streams.push(bench.admit(&requests[streams.len()]).1);
            }
            hasty.step = (step % 256) as u8;
            was_left += usize::from(bench.stepper.step(bench.start, &mut hasty).was_left);
            bench.settle();
        }
        assert!(was_left > 5, "{ty}: passes were left {was_left} times");
        for (stream, undisturbed) in streams.iter_mut().zip(&undisturbed) {
            assert_eq!(by_answer(&Collected::all(stream)), *undisturbed, "{ty}");
        }
    }
}
