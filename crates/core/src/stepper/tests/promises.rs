//! What the stepper promises, one by one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::TokenLogprob;
use crate::event::EndToken;

#[test]
fn an_answer_is_what_the_model_says_however_the_prompt_is_cut() {
    let request = request("a", 23, 15);
    for chunk in [1, 2, 3, 5, 8, 23, 512] {
        let collected = Bench::chunked(chunk).answers(&request);
        check(&request, &collected);
    }
}

#[test]
fn the_budget_bounds_the_prompt_tokens_of_a_step_and_decodes_come_first() {
    let mut bench = Bench::chunked(8);
    let (_, _short) = bench.admit(&request("short", 3, 50));
    bench.step();
    let (_, _long) = bench.admit(&request("long", 30, 5));
    let report = bench.step();
    let parts: Vec<(usize, usize)> = report.progress.iter().map(|part| (part.prompt_rows, part.generated)).collect();
    assert_eq!(parts, [(0, 1), (8, 0)]);
    assert!(bench.controls.most_rows.load(Ordering::SeqCst) <= 9);
}

#[test]
fn a_second_prompt_takes_what_the_first_left_of_the_budget() {
    let mut bench = Bench::chunked(8);
    let (_, _one) = bench.admit(&request("one", 5, 3));
    let (_, _two) = bench.admit(&request("two", 9, 3));
    let rows: Vec<usize> = bench.step().progress.iter().map(|part| part.prompt_rows).collect();
    assert_eq!(rows, [5, 3]);
}

#[test]
fn a_prefix_hit_changes_nothing_but_the_work() {
    let mut bench = Bench::chunked(512);
    let first = request("first", 40, 10);
    check(&first, &bench.answers(&first));
    let rows_before = bench.controls.rows.load(Ordering::SeqCst);
    let again = Request { id: "again".into(), ..first.clone() };
    let collected = bench.answers(&again);
    check(&again, &collected);
    let Some(Event::Done(usage)) = collected.last else { panic!() };
    assert_eq!(usage.cached_tokens, 36, "the last token is always computed, and its block with it");
    assert_eq!(bench.controls.rows.load(Ordering::SeqCst) - rows_before, 4 + 9);
    // A longer prompt that begins with the first one and its answer finds both.
    let mut longer = first.prompt.clone();
    longer.extend(&collected.answers[&0].tokens);
    longer.extend(letters(9, 5));
    let longer = Request { prompt: longer, id: "longer".into(), ..first };
    let collected = bench.answers(&longer);
    check(&longer, &collected);
    let Some(Event::Done(usage)) = collected.last else { panic!() };
    assert_eq!(usage.cached_tokens, 48);
}

#[test]
fn answers_to_one_prompt_share_its_blocks_and_differ() {
    let mut bench = Bench::chunked(512);
    let request = Request { n: 4, ..request("four", 10, 6) };
    let (_, mut stream) = bench.admit(&request);
    bench.step();
    assert_eq!(bench.stepper.census().blocks.used, 3, "one prompt, nothing else yet");
    assert_eq!(bench.stepper.census().running_seqs, 4);
    bench.step();
    assert_eq!(bench.stepper.census().blocks.used, 2 + 4, "two full blocks are shared, the third was copied");
    bench.run();
    let collected = Collected::all(&mut stream);
    check(&request, &collected);
    assert_ne!(collected.answers[&0].tokens, collected.answers[&1].tokens);
    assert_eq!(bench.controls.rows.load(Ordering::SeqCst), 10 + 4 * 5);
    assert_eq!(bench.stepper.census().blocks.used, 0);
}

#[test]
fn a_parked_sequence_resumes_with_the_same_tokens() {
    let sampling = SamplingParams {
        seed: Some(5),
        temperature: 1.3,
        top_p: 0.9,
        presence_penalty: 0.4,
        frequency_penalty: 0.3,
        repetition_penalty: 1.2,
        ..SamplingParams::default()
    };
    for (n, prefix_cache) in [(1, true), (1, false), (3, true), (3, false)] {
        let base = Request {
            n,
            sampling: sampling.clone(),
            stop: vec!["abcabc".into(), "ffff".into()],
            ..request("r", 11, 30)
        };
        for moment in 0..12 {
            let mut bench =
                Bench::new(100, EngineConfig { prefix_cache, max_batched_tokens: 4, ..EngineConfig::default() });
            let (key, mut stream) = bench.admit(&base);
            for step in 0..200 {
                if step % 12 == moment {
                    bench.stepper.park(key);
                    assert_eq!(bench.stepper.census().blocks.used, 0, "parking frees the blocks at once");
                    assert!(bench.step().progress.is_empty(), "a parked request takes no part");
                    bench.stepper.resume(key);
                }
                bench.step();
            }
            check(&base, &Collected::all(&mut stream));
        }
    }
}

#[test]
fn an_echo_that_is_parked_in_the_middle_has_the_same_probabilities() {
    let base = Request { prompt_logprobs: Some(0), ..request("r", 30, 2) };
    let whole = Bench::chunked(512).answers(&base);
    for prefix_cache in [true, false] {
        let config = EngineConfig { prefix_cache, max_batched_tokens: 7, ..EngineConfig::default() };
        let mut bench = Bench::new(100, config);
        let (key, mut stream) = bench.admit(&base);
        for _ in 0..3 {
            bench.step();
            bench.stepper.park(key);
            bench.stepper.resume(key);
        }
        bench.run();
        assert_eq!(Collected::all(&mut stream).events[..3], whole.events[..3], "prefix cache: {prefix_cache}");
    }
}

#[test]
fn a_stop_string_ends_an_answer_and_is_not_delivered() {
    let mut base = request("r", 7, 60);
    let whole = expected(&base)[0].0.clone();
    base.stop = vec![whole.text[20..24].to_owned(), "zz".to_owned()];
    let collected = Bench::chunked(512).answers(&base);
    check(&base, &collected);
    let answer = &collected.answers[&0];
    assert!(whole.text.starts_with(&answer.text) && answer.text.len() <= 20, "{answer:?}");
    assert_eq!((answer.reason, &answer.stop_string), (Some(FinishReason::Stop), &Some(base.stop[0].clone())));
}

#[test]
fn the_end_token_ends_an_answer_unless_it_is_ignored() {
    let bias = |ignore_eos| Request {
        sampling: SamplingParams { logit_bias: vec![(fakes::END, 100.0)], seed: Some(1), ..SamplingParams::default() },
        ignore_eos,
        ..request("r", 7, 5)
    };
    let collected = Bench::chunked(512).answers(&bias(false));
    assert_eq!(collected.answers[&0], Answer { reason: Some(FinishReason::Stop), ..Answer::default() });
    check(&bias(false), &collected);
    let collected = Bench::chunked(512).answers(&bias(true));
    assert_eq!(collected.answers[&0].tokens, [fakes::END; 5]);
    check(&bias(true), &collected);
}

#[test]
fn stop_tokens_end_an_answer_with_or_without_their_text() {
    let long = Bench::chunked(512).answers(&request("r", 9, 20)).answers[&0].clone();
    let stop = *long.tokens.iter().skip(6).find(|id| **id % 5 != 4 && !long.tokens[..6].contains(id)).unwrap();
    let place = long.tokens.iter().position(|&id| id == stop).unwrap();
    for keep_stop in [false, true] {
        let base = Request { stop_tokens: vec![stop], keep_stop, ..request("r", 9, 20) };
        let collected = Bench::chunked(512).answers(&base);
        check(&base, &collected);
        assert_eq!(collected.answers[&0].tokens, long.tokens[..place + usize::from(keep_stop)]);
        let ends = collected.events.iter().filter_map(|event| match event {
            Event::Finished { end_token, .. } => Some(*end_token),
            _ => None,
        });
        assert_eq!(ends.collect::<Vec<_>>(), [Some(EndToken { id: stop, is_said: keep_stop })]);
    }
}

#[test]
fn nothing_ends_an_answer_before_its_least_length() {
    let open = Bench::chunked(512).answers(&request("r", 9, 20)).answers[&0].clone();
    let base = |min_tokens| Request {
        sampling: SamplingParams { logit_bias: vec![(fakes::END, 100.0)], seed: Some(9), ..SamplingParams::default() },
        stop: vec![open.text[2..4].to_owned()],
        ignore_eos: false,
        min_tokens,
        ..request("r", 9, 20)
    };
    for (min_tokens, tokens) in [(0, 0), (1, 1), (13, 13), (20, 20)] {
        let collected = Bench::chunked(512).answers(&base(min_tokens));
        check(&base(min_tokens), &collected);
        assert_eq!(collected.answers[&0].tokens.len(), tokens);
    }
    let refusal = base(21).validate(fakes::VOCAB).unwrap_err();
    assert_eq!(refusal.to_string(), "min_tokens is 21; it must be at most max_tokens, 20");
}

#[test]
fn a_stop_string_is_delivered_if_that_is_asked_for() {
    let open = Bench::chunked(512).answers(&request("r", 9, 20)).answers[&0].clone();
    let stop = open.text[5..8].to_owned();
    let base = Request { stop: vec![stop.clone()], keep_stop: true, ..request("r", 9, 20) };
    let collected = Bench::chunked(512).answers(&base);
    check(&base, &collected);
    assert!(collected.answers[&0].text.ends_with(&stop) && open.text.starts_with(&collected.answers[&0].text));
}

#[test]
fn control_tokens_are_spelled_where_they_stand_if_that_is_asked_for() {
    let base = request("r", 9, 12);
    let bias = |mute| Request {
        sampling: SamplingParams { logit_bias: vec![(fakes::MUTE, mute)], ..base.sampling.clone() },
        spell_control: true,
        ..base.clone()
    };
    // About twice as likely as all others together.
    let answer = Bench::chunked(512).answers(&bias(67.0)).answers[&0].clone();
    let spelled: String = answer.tokens.iter().map(|&id| fakes::spelled(id)).collect();
    assert_eq!(answer.text, spelled);
    assert!(answer.tokens.contains(&fakes::MUTE) && answer.tokens.iter().any(|&id| id != fakes::MUTE), "{answer:?}");
    let never = Bench::chunked(512).answers(&bias(-100.0)).answers[&0].clone();
    assert_eq!(never, Bench::chunked(512).answers(&base).answers[&0], "other tokens are written as ever");
}

#[test]
fn the_end_of_the_context_is_a_length_finish() {
    let open = Request { max_tokens: None, ..request("r", CONTEXT - 7, 0) };
    let collected = Bench::chunked(512).answers(&open);
    check(&open, &collected);
    assert_eq!((collected.answers[&0].tokens.len(), collected.answers[&0].reason), (7, Some(FinishReason::Length)));
}

#[test]
fn logprobs_of_prompt_and_answer_are_those_of_the_model() {
    let slow = |tokens: &[TokenId], id: TokenId, top: usize| {
        crate::sampler::logprob(&fakes::logits_after(tokens), id, top, &mut Scratch::default()).unwrap()
    };
    let prompt_of = |collected: &Collected| -> Vec<Option<TokenLogprob>> {
        let found = collected
            .events
            .iter()
            .find_map(|event| if let Event::PromptLogprobs(list) = event { Some(list.clone()) } else { None });
        found.expect("the prompt's log-probabilities were asked for")
    };
    let base = Request { logprobs: Some(3), prompt_logprobs: Some(2), ..request("r", 21, 4) };
    let mut bench = Bench::chunked(8);
    for round in ["cold", "with a prefix cache that must not hide rows"] {
        let collected = bench.answers(&Request { id: round.into(), ..base.clone() });
        let prompt = prompt_of(&collected);
        assert_eq!(prompt.len(), 21, "{round}");
        assert_eq!(prompt[0], None);
        for (at, found) in prompt.iter().enumerate().skip(1) {
            assert_eq!(*found, Some(slow(&base.prompt[..at], base.prompt[at], 2)));
        }
        let mut tokens = base.prompt.clone();
        for event in &collected.events {
            if let Event::Token { id, logprob, .. } = event {
                assert_eq!(*logprob, Some(slow(&tokens, *id, 3)));
                tokens.push(*id);
            }
        }
    }
    // Parked in the middle of the prompt: the rows that were had are not computed for their logits again.
    let (key, mut stream) = bench.admit(&Request { id: "parked".into(), ..base.clone() });
    bench.step();
    bench.stepper.park(key);
    bench.stepper.resume(key);
    bench.run();
    assert_eq!(prompt_of(&Collected::all(&mut stream)).len(), 21);
    // Only the prompt: no token at all.
    let collected = bench.answers(&Request { id: "only".into(), max_tokens: Some(0), ..base });
    assert_eq!(prompt_of(&collected).len(), 21);
    assert_eq!(collected.answers[&0], Answer { reason: Some(FinishReason::Length), ..Answer::default() });
}

#[test]
fn a_slow_reader_pauses_its_own_request_alone() {
    let mut bench = Bench::chunked(512);
    bench.capacity = 12;
    let slow = request("slow", 5, 40);
    let (key, mut stream) = bench.admit(&slow);
    bench.capacity = 1000;
    let quick = request("quick", 6, 40);
    let (_, mut other) = bench.admit(&quick);
    bench.run();
    check(&quick, &Collected::all(&mut other));
    assert_eq!(bench.stepper.census().paused, 1);
    assert_eq!(bench.stepper.paused().map(|(key, _)| key).collect::<Vec<_>>(), [key]);
    let mut collected = Collected::default();
    while collected.last.is_none() {
        collected.drain(&mut stream, 3);
        bench.step();
    }
    check(&slow, &collected);
    assert_eq!(bench.stepper.census().paused, 0);
}

#[test]
fn a_reader_that_has_left_is_seen_before_the_next_step() {
    let mut bench = Bench::chunked(512);
    let (key, stream) = bench.admit(&request("gone", 5, 40));
    bench.step();
    drop(stream);
    let passes = bench.controls.passes.load(Ordering::SeqCst);
    bench.step();
    assert_eq!(bench.controls.passes.load(Ordering::SeqCst), passes);
    assert_eq!(bench.stepper.census().blocks.used, 0);
    assert_eq!(bench.ended, [(key, Err(RequestError::Cancelled))]);
}

#[test]
fn a_request_that_fails_takes_no_other_with_it() {
    let mut bench = Bench::chunked(512);
    let mut poisoned = request("poisoned", 9, 20);
    poisoned.prompt[4] = fakes::POISON;
    let mute = Request {
        sampling: SamplingParams { logit_bias: vec![(fakes::MUTE, 100.0)], seed: Some(1), ..SamplingParams::default() },
        ..request("mute", 8, 20)
    };
    let well = request("well", 10, 20);
    let mut streams: Vec<RequestStream> = [&poisoned, &mute, &well].map(|request| bench.admit(request).1).into();
    bench.run();
    let ends: Vec<Collected> = streams.iter_mut().map(Collected::all).collect();
    assert_eq!(ends[0].last, Some(Event::Failed(RequestError::NoLogits)));
    assert!(matches!(ends[1].last, Some(Event::Failed(RequestError::Text { id: fakes::MUTE, .. }))));
    check(&well, &ends[2]);
    assert_eq!(bench.stepper.census().blocks.used, 0);
}

#[test]
fn a_pass_that_fails_or_panics_ends_its_requests_and_no_more() {
    for panics in [false, true] {
        let mut bench = Bench::chunked(512);
        let (_, mut stream) = bench.admit(&request("one", 9, 20));
        let (parked, mut other) = bench.admit(&request("two", 8, 20));
        bench.step();
        bench.stepper.park(parked);
        if panics { &bench.controls.panic_next } else { &bench.controls.fail_next }.store(true, Ordering::SeqCst);
        bench.step();
        let Some(Event::Failed(RequestError::Forward { message })) = Collected::all(&mut stream).last else { panic!() };
        assert!(message.contains(if panics { "panicked: asked to panic" } else { "asked to fail" }), "{message}");
        bench.stepper.resume(parked);
        bench.run();
        check(&request("two", 8, 20), &Collected::all(&mut other));
    }
}

#[test]
fn a_deadline_that_passes_ends_the_request_and_is_counted() {
    let mut bench = Bench::chunked(512);
    let (key, mut stream) = bench.admit(&request("late", 9, 20));
    let error = RequestError::Deadline { allowed: Duration::from_secs(5) };
    bench.stepper.fail(key, error, bench.start + Duration::from_secs(5));
    bench.settle();
    assert_eq!(
        Collected::all(&mut stream).last,
        Some(Event::Failed(RequestError::Deadline { allowed: Duration::from_secs(5) }))
    );
    let mut page = String::new();
    bench.metrics.encode(crate::EngineSnapshot::default(), &mut page).unwrap();
    assert!(page.contains("parkade_request_expiries_total 1"), "{page}");
    assert!(page.contains("parkade_request_success_total{finished_reason=\"expired\"} 1"), "{page}");
}

/// Lets nobody sit out but one, and has a word for one.
struct Odd {
    resting: TaskId,
    never: TaskId,
}

impl MemoryPolicy for Odd {
    fn ask(&mut self, ask: &Ask) -> Grant {
        if ask.key == self.never { Grant::Never } else { Grant::Yes }
    }

    fn sits_out(&self, key: TaskId) -> bool {
        key == self.resting
    }
}

#[test]
fn whoever_sits_out_keeps_its_blocks_and_whoever_can_never_grow_fails_alone() {
    let mut bench = Bench::chunked(512);
    let requests = [request("rests", 9, 20), request("never", 8, 20), request("goes on", 10, 20)];
    let (resting, mut first) = bench.admit(&requests[0]);
    let (never, mut second) = bench.admit(&requests[1]);
    let (_, mut third) = bench.admit(&requests[2]);
    bench.step();
    assert_eq!(bench.stepper.requests[&resting].seqs[0].table.len(), 3);
    for _ in 0..10 {
        bench.stepper.step(bench.start, &mut Odd { resting, never });
    }
    bench.settle();
    assert_eq!(bench.stepper.requests[&resting].seqs[0].table.len(), 3);
    assert_eq!(Collected::all(&mut second).last, Some(Event::Failed(RequestError::NoRoom)));
    bench.run();
    check(&requests[0], &Collected::all(&mut first));
    check(&requests[2], &Collected::all(&mut third));
}

#[test]
fn a_short_prompt_overtakes_a_long_one_but_not_one_that_came_long_before() {
    let mut bench = Bench::chunked(8);
    // Steps of prompts say what a token takes: something, and less than an hour.
    let first = request("first", 20, 1);
    check(&first, &bench.answers(&first));
    let requests = [request("long", 90, 1), request("short", 7, 1), request("an hour later", 5, 1)];
    let (long, mut one) = bench.admit(&requests[0]);
    bench.step();
    let (short, mut two) = bench.admit(&requests[1]);
    bench.start += Duration::from_secs(3600);
    let (later, mut three) = bench.admit(&requests[2]);
    let parts = |report: StepReport| report.progress.iter().map(|part| part.key).collect::<Vec<_>>();
    assert_eq!(parts(bench.step()), [short, long], "the rest of the budget is for the next");
    while bench.stepper.requests.contains_key(&long) {
        let keys = parts(bench.step());
        assert!(keys[0] == long, "{keys:?}: {later:?} waits");
    }
    bench.run();
    for (request, stream) in requests.iter().zip([&mut one, &mut two, &mut three]) {
        check(request, &Collected::all(stream));
    }
}

/// First tokens are urgent.
struct Urgent;

impl MemoryPolicy for Urgent {
    fn ask(&mut self, _: &Ask) -> Grant {
        Grant::Yes
    }

    fn urgency(&self) -> u8 {
        1
    }
}

#[test]
fn while_first_tokens_are_urgent_streams_ride_along_with_one_long_prompt_at_a_time() {
    let mut bench = Bench::chunked(512);
    let requests = [request("streams", 3, 20), request("long", 70, 5), request("longer", 80, 5)];
    let mut streams = Vec::new();
    for request in &requests {
        streams.push(bench.admit(request).1);
        if streams.len() == 1 {
            bench.step();
        }
    }
    for expected in [vec![(0, 1), (70, 1)], vec![(0, 1), (0, 1), (80, 1)]] {
        let report = bench.stepper.step(bench.start, &mut Urgent);
        let parts: Vec<_> = report.progress.iter().map(|part| (part.prompt_rows, part.generated)).collect();
        assert_eq!(parts, expected);
    }
    bench.run();
    for (request, stream) in requests.iter().zip(&mut streams) {
        check(request, &Collected::all(stream));
    }
}

#[test]
fn however_many_streams_ride_along_an_urgent_prompt_takes_part() {
    let mut bench = Bench::chunked(512);
    let _streams: Vec<_> = (0..70).map(|n| bench.admit(&request(&format!("s{n}"), 2, 5)).1).collect();
    bench.step();
    let (newcomer, _stream) = bench.admit(&request("newcomer", 20, 5));
    let report = bench.stepper.step(bench.start, &mut Urgent);
    let last = report.progress.last().unwrap();
    assert_eq!((report.progress.len(), last.key, last.prompt_rows, last.generated), (71, newcomer, 20, 1));
}

#[test]
fn a_reader_who_asks_is_told_how_much_of_the_prompt_is_computed_and_nothing_twice() {
    let base = Request { progress: true, ..request("r", 30, 2) };
    let told = |stream: &mut RequestStream| -> Vec<(usize, usize)> {
        let events = Collected::all(stream).events;
        let progress = events.iter().filter_map(|event| match event {
            Event::PromptProgress(told) => Some((told.cached, told.computed)),
            _ => None,
        });
        progress.collect()
    };
    let mut bench = Bench::chunked(8);
    let (_, mut stream) = bench.admit(&base);
    bench.run();
    assert_eq!(told(&mut stream), [(0, 0), (0, 8), (0, 16), (0, 24), (0, 30)]);
    // Of another one the cache has the first 28, whole blocks of 4.
    let (_, mut stream) = bench.admit(&Request { id: crate::RequestId::from("again"), ..base.clone() });
    bench.run();
    assert_eq!(told(&mut stream), [(28, 28), (28, 30)]);
    // One that is parked in the middle computes again what it had told of.
    let mut bench =
        Bench::new(200, EngineConfig { prefix_cache: false, max_batched_tokens: 8, ..EngineConfig::default() });
    let (key, mut stream) = bench.admit(&base);
    bench.step();
    bench.step();
    bench.stepper.park(key);
    bench.stepper.resume(key);
    bench.run();
    assert_eq!(told(&mut stream), [(0, 0), (0, 8), (0, 16), (0, 24), (0, 30)]);
    let (_, mut stream) = bench.admit(&request("quiet", 30, 2));
    bench.run();
    assert_eq!(told(&mut stream), []);
}
