//! Jobs, results and metadata are read as they were written, whatever is in them.
#![allow(clippy::unwrap_used)] // Everything in here is a test.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parkade_core::parking_lot::{
    Choice, Completion, Delivery, InferenceJob, InferenceResult, RelativeMetadata, ResourceCost, TaskMetadata,
};
use parkade_core::{
    CacheScope, Class, Dry, FinishReason, Format, Request, RequestError, RequestId, SamplingParams, TaskKind, Usage,
    Xtc,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn through_text<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn number() -> impl Strategy<Value = f32> + Clone {
    prop_oneof![-1e6f32..1e6, Just(0.1), Just(f32::MIN_POSITIVE), Just(-0.0)]
}

fn duration() -> impl Strategy<Value = Duration> {
    (0..1u64 << 40, 0..1_000_000_000u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

fn dry() -> impl Strategy<Value = Dry> {
    (number(), number(), any::<usize>(), of(any::<usize>()), vec(any::<u32>(), 0..4)).prop_map(
        |(multiplier, base, allowed_length, window, breakers)| Dry {
            multiplier,
            base,
            allowed_length,
            window,
            breakers: breakers.into(),
        },
    )
}

fn sampling() -> impl Strategy<Value = SamplingParams> {
    let filters = (number(), any::<u32>(), [number(), number(), number(), number()], (number(), number()));
    let penalties = ([number(), number(), number()], of(any::<usize>()), of(dry()));
    let lists = (vec((any::<u32>(), number()), 0..4), of(vec(any::<u32>(), 0..4)), vec(vec(any::<u32>(), 0..3), 0..3));
    (filters, penalties, lists, of(any::<u64>())).prop_map(|(filters, penalties, lists, seed)| {
        let (temperature, top_k, [top_p, min_p, typical_p, top_n_sigma], (probability, threshold)) = filters;
        let ([presence_penalty, frequency_penalty, repetition_penalty], penalty_window, dry) = penalties;
        let (logit_bias, allowed_tokens, bad_words) = lists;
        SamplingParams {
            temperature,
            top_k,
            top_p,
            min_p,
            typical_p,
            top_n_sigma,
            xtc: Xtc { probability, threshold },
            presence_penalty,
            frequency_penalty,
            repetition_penalty,
            penalty_window,
            dry,
            logit_bias,
            allowed_tokens: allowed_tokens.map(Arc::from),
            bad_words,
            seed,
        }
    })
}

fn class() -> impl Strategy<Value = Class> {
    proptest::sample::select(&Class::ALL[..])
}

fn scope() -> impl Strategy<Value = CacheScope> {
    vec((proptest::sample::select(&["key", "group", "salt"][..]), any::<String>()), 0..4)
        .prop_map(|levels| levels.iter().fold(CacheScope::default(), |scope, (kind, name)| scope.within(kind, name)))
}

fn request() -> impl Strategy<Value = Request> {
    let kinds = proptest::sample::select(&[TaskKind::Generate, TaskKind::Embed, TaskKind::Rank][..]);
    let whom = (any::<String>(), kinds, any::<String>(), scope(), class(), any::<i64>());
    let ends = (of(any::<usize>()), vec(any::<String>(), 0..3), vec(any::<u32>(), 0..3), any::<[bool; 3]>());
    let counts = (any::<usize>(), of(any::<usize>()), any::<usize>(), of(any::<usize>()), any::<[bool; 2]>());
    let times = (of(duration()), of(duration()));
    (vec(any::<u32>(), 0..9), sampling(), whom, ends, counts, times).prop_map(
        |(prompt, sampling, whom, ends, counts, (timeout, ttft_slo))| {
            let (id, task, tenant, cache_scope, class, rank) = whom;
            let (max_tokens, stop, stop_tokens, [keep_stop, ignore_eos, spell_control]) = ends;
            let (min_tokens, logprobs, n, prompt_logprobs, [progress, sampled_logprobs]) = counts;
            Request {
                id: RequestId(id),
                task,
                prompt,
                sampling,
                max_tokens,
                stop,
                stop_tokens,
                keep_stop,
                min_tokens,
                format: None,
                ignore_eos,
                spell_control,
                logprobs,
                sampled_logprobs,
                n,
                prompt_logprobs,
                progress,
                tenant,
                cache_scope,
                class,
                rank,
                timeout,
                ttft_slo,
            }
        },
    )
}

fn format() -> impl Strategy<Value = Format> {
    let schema = || json!({"type": "object", "properties": {"a": {"const": 1.5}}});
    prop_oneof![
        Just(Format::JsonObject),
        any::<bool>().prop_map(move |strict| Format::JsonSchema { schema: schema(), strict }),
        any::<String>().prop_map(Format::Regex),
        vec(any::<String>(), 0..3).prop_map(Format::Choice),
        any::<String>().prop_map(Format::Gbnf),
        any::<String>().prop_map(Format::Lark),
        (any::<String>(), vec(any::<String>(), 0..3), any::<bool>()).prop_map(move |(lark, chosen, strict)| {
            Format::LarkWithJson { lark, schemas: vec![schema()], chosen, strict }
        }),
    ]
}

fn usage() -> impl Strategy<Value = Usage> {
    (any::<[usize; 3]>(), duration(), of(duration()), duration(), any::<u32>()).prop_map(
        |([prompt_tokens, completion_tokens, cached_tokens], queue, first_token, total, parked)| Usage {
            prompt_tokens,
            completion_tokens,
            cached_tokens,
            queue,
            first_token,
            total,
            parked,
        },
    )
}

fn completion() -> impl Strategy<Value = Completion> {
    let finish = proptest::sample::select(&[None, Some(FinishReason::Stop), Some(FinishReason::Length)][..]);
    let choice = (any::<String>(), vec(any::<u32>(), 0..5), finish);
    let choice = choice.prop_map(|(text, tokens, finish)| Choice { text, tokens, finish });
    (vec(choice, 0..3), usage()).prop_map(|(choices, usage)| Completion { choices, usage })
}

fn error() -> impl Strategy<Value = RequestError> {
    prop_oneof![
        Just(RequestError::Cancelled),
        Just(RequestError::Superseded),
        duration().prop_map(|allowed| RequestError::Deadline { allowed }),
        Just(RequestError::NoRoom),
        Just(RequestError::NoLogits),
        any::<String>().prop_map(|message| RequestError::Forward { message }),
        any::<String>().prop_map(|message| RequestError::Panicked { message }),
        (any::<u32>(), any::<String>()).prop_map(|(id, message)| RequestError::Text { id, message }),
        any::<String>().prop_map(|message| RequestError::Format { message }),
        Just(RequestError::ShuttingDown),
        Just(RequestError::Stopped),
    ]
}

fn metadata() -> impl Strategy<Value = RelativeMetadata> {
    let cost = any::<[u64; 7]>().prop_map(
        |[blocks, expected_growth, worst_growth, seqs, prefill_tokens, expected_tokens, cached_tokens]| ResourceCost {
            blocks,
            expected_growth,
            worst_growth,
            seqs,
            prefill_tokens,
            expected_tokens,
            cached_tokens,
        },
    );
    // No older than the clock of a machine that was started a minute ago.
    let times = (of(duration()), of(duration()), (0..60_000_000_000u64).prop_map(Duration::from_nanos));
    (any::<(String, String)>(), class(), any::<i64>(), times, cost).prop_map(
        |((id, tenant), class, rank, (deadline, first_token_deadline, age), cost)| RelativeMetadata {
            id: RequestId(id),
            tenant,
            class,
            rank,
            deadline,
            first_token_deadline,
            cost,
            age,
        },
    )
}

/// All fields: neither [`Request`] nor what it is in can be compared.
fn shown(value: &impl Debug) -> String {
    format!("{value:?}")
}

proptest! {
    #[test]
    fn a_job_is_read_as_it_was_written(request in request(), format in of(format()), streams in any::<bool>()) {
        let delivery = if streams { Delivery::Stream } else { Delivery::Whole };
        let job = InferenceJob { request, delivery, format };
        prop_assert_eq!(shown(&through_text(&job)), shown(&job));
    }

    #[test]
    fn a_result_is_read_as_it_was_written(completion in completion(), error in error()) {
        for result in [InferenceResult::Complete(completion), InferenceResult::Error(error)] {
            prop_assert_eq!(shown(&through_text(&result)), shown(&result));
        }
    }

    #[test]
    fn metadata_have_the_same_times_from_any_moment_on(metadata in metadata()) {
        let now = Instant::now();
        prop_assert_eq!(&metadata.clone().at(now).relative_to(now), &metadata);
        prop_assert_eq!(&through_text(&metadata), &metadata);
        let read: TaskMetadata = through_text(&metadata.clone().at(now));
        prop_assert_eq!((read.id, read.tenant, read.class), (metadata.id, metadata.tenant, metadata.class));
        prop_assert_eq!((read.rank, read.cost), (metadata.rank, metadata.cost));
        prop_assert_eq!(read.deadline.is_some(), metadata.deadline.is_some());
        prop_assert_eq!(read.first_token_deadline.is_some(), metadata.first_token_deadline.is_some());
    }
}

#[test]
fn another_version_is_refused_by_its_number_and_an_unknown_member_by_its_name() {
    let job = InferenceJob::whole(Request::new("a", vec![1]));
    let written = serde_json::to_value(&job).unwrap();
    assert_eq!(written["version"], 1);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = written.clone();
        change(&mut changed);
        serde_json::from_value::<InferenceJob>(changed).unwrap_err().to_string()
    };
    let newer = with(&|job| {
        job["version"] = 7.into();
        job["not_yet"] = true.into();
    });
    assert!(newer.contains("version is 7; this program knows version 1"), "{newer}");
    let none = with(&|job| {
        job.as_object_mut().unwrap().remove("version");
    });
    assert!(none.contains("version is missing"), "{none}");
    let unknown = with(&|job| job["request"]["colour"] = "red".into());
    assert!(unknown.contains("colour"), "{unknown}");
    let unknown = with(&|job| job["not_yet"] = true.into());
    assert!(unknown.contains("not_yet"), "{unknown}");
}
