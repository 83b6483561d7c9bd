//! A model whose layers carry states from token to token, from its file to its answers.

mod support;

use std::fs;
use std::path::Path;

use parkade_core::{Engine, EngineConfig, Event, LoadError, LoadOptions, Request, SamplingParams, load};
use support::Collected;

fn start(path: &Path, kv_cache_bytes: u64) -> Result<Engine, LoadError> {
    let options = LoadOptions {
        threads: Some(2),
        kv_cache_bytes: Some(kv_cache_bytes),
        engine: EngineConfig { max_seqs: 16, ..EngineConfig::default() },
        ..LoadOptions::default()
    };
    load(path, &options).map(|loaded| loaded.engine)
}

fn answer(engine: &Engine, name: &str, n: usize) -> (Vec<Vec<u32>>, usize) {
    let request = Request {
        max_tokens: Some(20),
        sampling: SamplingParams { seed: Some(3), ..SamplingParams::default() },
        ignore_eos: true,
        n,
        ..Request::new(name, (0..100).map(|at| 3 + at * at % 300).collect())
    };
    let collected = Collected::all(&mut engine.submit(request).expect("there is room"));
    let Some(Event::Done(usage)) = collected.last else { panic!("{:?}", collected.last) };
    (collected.answers.into_values().map(|answer| answer.tokens).collect(), usage.cached_tokens)
}

#[test]
fn states_lie_within_the_budget_and_prompts_go_on_from_snapshots() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lfm2.gguf");
    let model = parkade_synth::Model::new("tiny-lfm2", 1, 1, None).expect("a shape");
    fs::write(&path, model.to_bytes().expect("a small model")).expect("room on the disk");
    let engine = start(&path, 16 << 20).expect("a tiny model");
    let (first, cached) = answer(&engine, "first", 3);
    assert_eq!((first.len(), cached), (3, 0));
    assert_eq!(answer(&engine, "again", 3), (first.clone(), 96), "the last block of the prompt is computed again");
    let now = engine.snapshot();
    assert_eq!(now.sequences.limit, 16);
    assert!(now.state_slots.total > 16 && now.state_slots.cached > 0, "{now:?}");
    let each = now.state_slots.bytes_each as u64;
    assert!(each > 0 && now.state_slots.total as u64 * each < 16 << 20, "{now:?}");
    drop(engine);
    let small = start(&path, 256 << 10).expect("a tiny model");
    let slots = small.snapshot().state_slots;
    assert!(slots.total as u64 * each <= 256 << 10, "{slots:?}");
    assert_eq!(answer(&small, "small", 1).0[0], first[0]);
    let few = start(&path, 16 * each).expect("a tiny model");
    assert!(few.snapshot().sequences.limit < 16, "states of so many are more than half of it");
    let many = Request { n: 16, ..Request::new("many", vec![5; 9]) };
    let refusal = few.submit(many).expect_err("too many states").to_string();
    assert!(refusal.contains("--kv-cache-mb"), "{refusal}");
    // One block more would be needed.
    assert!(matches!(start(&path, each), Err(LoadError::Option { .. })));
}
