//! The engine over real weights: the same request gives the same bits, whatever happens around it.

mod support;

use std::path::PathBuf;

use parkade_core::{
    Bos, Engine, EngineConfig, Event, LoadOptions, Request, SamplingParams, SpecialTokens, TokenId, load,
};
use support::{Collected, default_model};

const TYPES: [&str; 3] = ["F32", "Q4_1", "Q4_K_S"];

fn start(ty: &str, config: EngineConfig) -> Engine {
    start_within(ty, 16 << 20, config)
}

fn start_within(ty: &str, kv_cache_bytes: u64, config: EngineConfig) -> Engine {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "../../tests/oracle/tiny", &format!("llama-{ty}.gguf")].iter().collect();
    let options = LoadOptions {
        threads: Some(2),
        kv_cache_bytes: Some(kv_cache_bytes),
        engine: config,
        ..LoadOptions::default()
    };
    load(&path, &options).expect("a tiny model").engine
}

fn chunks_of(max_batched_tokens: usize) -> EngineConfig {
    EngineConfig { max_batched_tokens, ..EngineConfig::default() }
}

/// A request with everything on that a token can depend on.
fn request(seed: usize) -> Request {
    let prompt: Vec<TokenId> =
        (0..20 + seed * 3 % 40).map(|at| (3 + (seed * 53 + at * at * 11 + at * 7) % 500) as TokenId).collect();
    Request {
        max_tokens: Some(12 + seed % 9),
        sampling: SamplingParams {
            seed: Some(seed as u64),
            temperature: 1.1,
            top_p: 0.97,
            min_p: 0.001,
            presence_penalty: 0.3,
            frequency_penalty: 0.2,
            repetition_penalty: 1.1,
            ..SamplingParams::default()
        },
        stop: vec!["zq".into(), "never to be seen".into()],
        ignore_eos: true,
        logprobs: Some(3),
        n: 1 + seed % 3,
        ..Request::new(format!("r{seed}"), prompt)
    }
}

/// All that a client gets to see but the times.
fn seen(collected: &Collected) -> Vec<Event> {
    assert!(collected.is_done(), "{:?}", collected.last);
    let mut events = collected.events.clone();
    events.pop();
    // The answers' events are interleaved by the steps; each answer's own are in order.
    events.sort_by_key(|event| match event {
        Event::Token { index, .. } | Event::Finished { index, .. } => *index,
        _ => 0,
    });
    events
}

fn run(engine: &Engine, request: Request) -> Vec<Event> {
    seen(&Collected::all(&mut engine.submit(request).expect("it fits")))
}

#[test]
fn alone_and_among_others_are_the_same_bits() {
    for ty in TYPES {
        let alone = start(ty, EngineConfig::default());
        let crowd = start(ty, chunks_of(32));
        let streams: Vec<_> = (0..16).map(|seed| crowd.submit(request(seed)).unwrap()).collect();
        for (seed, mut stream) in streams.into_iter().enumerate() {
            assert_eq!(seen(&Collected::all(&mut stream)), run(&alone, request(seed)), "{ty}, request {seed}");
        }
    }
}

#[test]
fn a_prompt_in_chunks_and_in_one_piece_are_the_same_bits() {
    for ty in TYPES {
        let whole = start(ty, chunks_of(512));
        for chunk in [1, 3, 7, 16] {
            let chunked = start(ty, chunks_of(chunk));
            for seed in 0..3 {
                assert_eq!(run(&chunked, request(seed)), run(&whole, request(seed)), "{ty}, chunks of {chunk}");
            }
        }
    }
}

#[test]
fn a_prefix_hit_and_a_cold_start_are_the_same_bits() {
    for ty in TYPES {
        let cached = start(ty, EngineConfig::default());
        let cold = start(ty, EngineConfig { prefix_cache: false, ..EngineConfig::default() });
        for seed in 0..4 {
            let first = run(&cached, request(seed));
            let again = Collected::all(&mut cached.submit(request(seed)).unwrap());
            let Some(Event::Done(usage)) = &again.last else { panic!("{:?}", again.last) };
            assert!(usage.cached_tokens >= 16, "{ty}: {} cached tokens", usage.cached_tokens);
            assert_eq!(seen(&again), first, "{ty}");
            assert_eq!(run(&cold, request(seed)), first, "{ty}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for ty in TYPES {
        let two = start(ty, EngineConfig::default());
        let path: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "../../tests/oracle/tiny", &format!("llama-{ty}.gguf")].iter().collect();
        let options = LoadOptions { threads: Some(1), kv_cache_bytes: Some(16 << 20), ..LoadOptions::default() };
        let one = load(&path, &options).unwrap().engine;
        assert_eq!(run(&one, request(5)), run(&two, request(5)), "{ty}");
    }
}

#[test]
fn an_echo_has_the_log_probabilities_that_the_answer_would_have_had() {
    let engine = start("F32", chunks_of(16));
    let greedy = Request { sampling: SamplingParams::greedy(), n: 1, stop: vec![], ..request(1) };
    let answer = Collected::all(&mut engine.submit(greedy.clone()).unwrap());
    let said: Vec<_> = answer
        .events
        .iter()
        .filter_map(|event| if let Event::Token { logprob, .. } = event { logprob.clone() } else { None })
        .collect();
    let mut prompt = greedy.prompt.clone();
    prompt.extend(&answer.answers[&0].tokens);
    let echo = Request { prompt_logprobs: greedy.logprobs, max_tokens: Some(0), prompt, ..greedy.clone() };
    let events = Collected::all(&mut engine.submit(echo).unwrap()).events;
    let Event::PromptLogprobs(list) = &events[0] else { panic!("{events:?}") };
    let tail: Vec<_> = list[greedy.prompt.len()..].iter().flatten().cloned().collect();
    assert_eq!(tail, said);
}

#[test]
fn a_file_or_an_option_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("nothing.gguf");
    let error = load(&missing, &LoadOptions::default()).err().unwrap().to_string();
    assert!(error.contains("nothing.gguf"), "{error}");
    std::fs::write(&missing, b"GGUF but no more").unwrap();
    assert!(load(&missing, &LoadOptions::default()).is_err());
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../tests/oracle/tiny/llama-F32.gguf"].iter().collect();
    let tight = LoadOptions { kv_cache_bytes: Some(100), ..LoadOptions::default() };
    let error = load(&path, &tight).err().unwrap().to_string();
    assert!(error.contains("--kv-cache-mb") && error.contains("at least"), "{error}");
    let none = LoadOptions { threads: Some(0), ..LoadOptions::default() };
    assert_eq!(load(&path, &none).err().unwrap().to_string(), "--threads is 0; it must be from 1 to 1024");
    let told = |template: &str| LoadOptions {
        kv_cache_bytes: Some(16 << 20),
        chat_template: Some(template.to_owned()),
        ..LoadOptions::default()
    };
    let error = load(&path, &told("lama3")).err().unwrap().to_string();
    assert!(error.starts_with("--chat-template 'lama3' is neither a built-in template nor a file"), "{error}");
    assert!(load(&path, &told("llama3")).unwrap().template.is_some());
    let huge = LoadOptions { kv_cache_bytes: Some(1 << 60), ..LoadOptions::default() };
    let error = load(&path, &huge).err().unwrap().to_string();
    assert!(error.contains("--kv-cache-mb") || error.contains("could not"), "{error}");
}

#[test]
fn the_default_model_says_what_llama_cpp_says_alone_and_among_others() {
    let oracle: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/oracle/smollm2-q4_1.json")).unwrap();
    let options = LoadOptions { kv_cache_bytes: Some(64 << 20), ..LoadOptions::default() };
    let loaded = load(&default_model(), &options).unwrap();
    for (place, case) in oracle["greedy"].as_array().unwrap().iter().enumerate() {
        let expected: Vec<TokenId> =
            case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as TokenId).collect();
        let text = case["text"].as_str().unwrap();
        let prompt = loaded.tokenizer.encode(text, SpecialTokens::Parse, Bos::AsModel).unwrap();
        let ask = |name: String| Request {
            sampling: SamplingParams::greedy(),
            max_tokens: Some(expected.len()),
            ignore_eos: true,
            ..Request::new(name, prompt.clone())
        };
        let alone = Collected::all(&mut loaded.engine.submit(ask(format!("alone {place}"))).unwrap());
        // Where the two likeliest tokens are nearly equal, two implementations may differ, and then go on differently.
        let gaps = case["top1_minus_top2"].as_array().unwrap();
        let sure = gaps.iter().position(|gap| gap.as_f64().unwrap() <= 0.1).unwrap_or(expected.len());
        assert!(sure > 0);
        assert_eq!(alone.answers[&0].tokens[..sure], expected[..sure], "{}", case["text"]);
        let crowd: Vec<_> =
            (0..4).map(|at| loaded.engine.submit(ask(format!("crowd {place} {at}"))).unwrap()).collect();
        for mut stream in crowd {
            assert_eq!(Collected::all(&mut stream).answers, alone.answers);
        }
    }
}

#[cfg(feature = "parking-lot-scheduler")]
#[test]
fn a_few_blocks_under_fifty_requests_give_each_the_bits_that_it_has_alone() {
    for ty in TYPES {
        let alone = start(ty, EngineConfig::default());
        // 20 blocks of 32 KiB; one request can need half of them.
        let lot = EngineConfig { scheduler: parkade_core::SchedulerKind::ParkingLot, ..EngineConfig::default() };
        let crowd = start_within(ty, 20 * (32 << 10), lot);
        let streams: Vec<_> = (0..50).map(|seed| crowd.submit(request(seed)).unwrap()).collect();
        for (seed, mut stream) in streams.into_iter().enumerate() {
            assert_eq!(seen(&Collected::all(&mut stream)), run(&alone, request(seed)), "{ty}, request {seed}");
        }
        let totals = crowd.snapshot().totals;
        assert_eq!(totals.completed, 50);
        assert!(totals.preemptions > 0, "{ty}: nobody was ever parked: {totals:?}");
    }
}

/// The oracle's tiny model, with another number for a key of four bytes.
#[allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
fn tiny_model_with(key: &str, number: u32) -> tempfile::NamedTempFile {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/tiny/llama-Q4_0.gguf");
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).unwrap() + key.len() + 4;
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn a_file_that_promises_an_endless_context_gets_no_endless_list_of_blocks() {
    let file = tiny_model_with("llama.context_length", 1 << 26);
    let loaded = load(file.path(), &LoadOptions::default()).unwrap();
    assert_eq!(loaded.config.context_length, 1 << 26);
    assert!(loaded.engine.snapshot().kv_blocks.total <= 1 << 20);
}

#[test]
fn a_context_below_the_models_own_is_what_requests_and_memory_are_measured_by() {
    let file = tiny_model_with("llama.context_length", 512);
    let within = |context| LoadOptions { context: Some(context), ..LoadOptions::default() };
    let loaded = load(file.path(), &within(64)).unwrap();
    assert_eq!((loaded.config.context_length, loaded.config.trained_context), (64, 512));
    let most = 64 / 16 * EngineConfig::default().max_seqs;
    assert_eq!(loaded.engine.snapshot().kv_blocks.total, most, "as much as its sequences can fill");
    let sampling = SamplingParams { seed: Some(3), ..SamplingParams::default() };
    let request = |tokens: usize| Request {
        max_tokens: Some(9),
        sampling: sampling.clone(),
        ..Request::new("r", vec![5; tokens])
    };
    assert!(loaded.engine.submit(request(70)).is_err());
    let shorter = run(&loaded.engine, request(40));
    let whole = load(file.path(), &within(512)).unwrap();
    assert_eq!(shorter, run(&whole.engine, request(40)), "the tokens are the same");
    for wrong in [0, 513] {
        let error = load(file.path(), &within(wrong)).err().unwrap().to_string();
        assert!(error.starts_with(&format!("--ctx-size is {wrong}; it must be from 1 to 512")), "{error}");
    }
}

#[test]
fn what_is_wrong_with_the_metadata_is_told_with_the_model() {
    let options = LoadOptions { kv_cache_bytes: Some(1 << 20), ..LoadOptions::default() };
    let good = load(tiny_model_with("llama.context_length", 512).path(), &options).unwrap();
    let file = tiny_model_with("tokenizer.ggml.eos_token_id", u32::MAX);
    let loaded = load(file.path(), &options).unwrap();
    assert_eq!(loaded.warnings.len(), good.warnings.len() + 1);
    assert!(
        loaded.warnings.iter().any(|warning| warning.contains("eos_token_id is 4294967295")),
        "{:?}",
        loaded.warnings
    );
}
