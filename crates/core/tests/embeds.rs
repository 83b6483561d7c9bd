//! Models that embed: the same values for a text, alone or in company, in one piece or in several.
#![allow(clippy::unwrap_used)] // Everything in here is a test.

#[path = "support/embedders.rs"]
mod embedders;

use std::path::Path;

use embedders::{pooling, tiny_with, two_way};
use parkade_core::{
    Embeds, Engine, EngineConfig, Event, LoadOptions, Refusal, Request, RequestStream, SchedulerKind, TaskKind,
    TokenId, load,
};
use parkade_model::gguf::Value;

fn start(metadata: &[(&str, Value)], engine: EngineConfig) -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let path = tiny_with(folder.path(), metadata);
    open(&path, engine)
}

fn open(path: &Path, engine: EngineConfig) -> Engine {
    let options = LoadOptions { threads: Some(2), kv_cache_bytes: Some(16 << 20), engine, ..LoadOptions::default() };
    load(path, &options).unwrap().engine
}

fn text(number: usize) -> Vec<TokenId> {
    (0..1 + number * 37 % 90).map(|at| (3 + (number * 53 + at * at * 11 + at) % 500) as TokenId).collect()
}

fn submit(engine: &Engine, number: usize) -> RequestStream {
    let task = engine.task();
    engine.submit(Request { task, ..Request::new(format!("{number}"), text(number)) }).unwrap()
}

/// The bits of what the model makes of a text.
fn values(mut stream: RequestStream) -> Vec<u32> {
    let mut values = None;
    while let Some(event) = stream.blocking_next() {
        match event {
            Event::Embedding(of_text) => values = Some(of_text.iter().map(|x| x.to_bits()).collect()),
            Event::Done(usage) => assert!(usage.prompt_tokens > 0 && usage.completion_tokens == 0),
            other => panic!("{other:?}"),
        }
    }
    values.unwrap()
}

#[test]
fn a_text_has_the_same_values_alone_and_in_company_whole_and_in_pieces() {
    let kinds = [
        vec![pooling(1)],
        vec![pooling(3)],
        vec![pooling(4)],
        vec![pooling(1), two_way()],
        vec![pooling(2), two_way()],
        vec![pooling(4), two_way()],
    ];
    for kind in kinds {
        let alone = start(&kind, EngineConfig::default());
        let expected: Vec<_> = (0..24).map(|number| values(submit(&alone, number))).collect();
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]), "{kind:?}");
        for (scheduler, max_batched_tokens) in [(SchedulerKind::of_this_build(), 512), (SchedulerKind::Default, 16)] {
            let engine = start(&kind, EngineConfig { scheduler, max_batched_tokens, ..EngineConfig::default() });
            let streams: Vec<_> = (0..24).map(|number| submit(&engine, number)).collect();
            let found: Vec<_> = streams.into_iter().map(values).collect();
            assert!(found == expected, "{kind:?} in steps of {max_batched_tokens}");
        }
    }
}

#[test]
fn a_text_that_was_parked_has_the_same_values() {
    // So few blocks that not all texts fit at once.
    for kind in [vec![pooling(1)], vec![pooling(1), two_way()]] {
        let roomy = start(&kind, EngineConfig::default());
        let expected: Vec<_> = (0..24).map(|number| values(submit(&roomy, number))).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = tiny_with(folder.path(), &kind);
        let engine = EngineConfig { max_batched_tokens: 16, ..EngineConfig::default() };
        let options = LoadOptions { threads: Some(1), kv_cache_bytes: Some(200_000), engine, ..LoadOptions::default() };
        let engine = load(&path, &options).unwrap().engine;
        let streams: Vec<_> = (0..24).map(|number| submit(&engine, number)).collect();
        assert!(streams.into_iter().map(values).collect::<Vec<_>>() == expected, "{kind:?}");
    }
}

#[test]
fn a_model_refuses_what_it_has_not_learnt() {
    let embeds = start(&[pooling(1)], EngineConfig::default());
    assert_eq!(embeds.embedder().unwrap().embeds, Embeds::Texts);
    let refused = |engine: &Engine, task| engine.submit(Request { task, ..Request::new("r", vec![5, 6]) }).unwrap_err();
    for task in [TaskKind::Generate, TaskKind::Rank] {
        let Refusal::Invalid { param, message } = refused(&embeds, task) else { panic!("{task:?}") };
        assert_eq!(param, "model");
        assert!(message.starts_with("the model gives embeddings;"), "{message}");
    }
    let generates = start(&[], EngineConfig::default());
    assert!(matches!(refused(&generates, TaskKind::Embed), Refusal::Invalid { param, .. } if param == "model"));
}

#[test]
fn a_text_may_fill_the_context_and_no_more() {
    let engine = start(&[pooling(1), two_way()], EngineConfig { max_batched_tokens: 64, ..EngineConfig::default() });
    let ask = |tokens: usize| {
        engine.submit(Request { task: TaskKind::Embed, ..Request::new(format!("{tokens}"), vec![7; tokens]) })
    };
    assert_eq!(values(ask(512).unwrap()).len(), engine.embedder().unwrap().outputs);
    assert!(matches!(ask(513), Err(Refusal::ContextLength { prompt_tokens: 513, limit: 512 })));
}
