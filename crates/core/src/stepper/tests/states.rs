//! What the stepper promises of models that keep a state: it goes where its sequence goes, and a text goes on where one was kept.

use std::sync::atomic::Ordering;

use super::*;

/// A stepper over a model with so many state slots.
fn bench(slots: usize, config: EngineConfig) -> Bench {
    Bench::with(FakeBackend::new(300, 4, CONTEXT).with_states(slots), config)
}

fn roomy() -> Bench {
    bench(40, EngineConfig { max_seqs: 8, ..EngineConfig::default() })
}

fn of(name: &str, prompt: &[TokenId]) -> Request {
    Request { prompt: prompt.to_vec(), ..request(name, prompt.len(), 11) }
}

#[test]
fn the_same_prompt_and_the_next_turn_go_on_from_a_snapshot() {
    let mut bench = roomy();
    let first = of("first", &letters(1, 40));
    let (found, answer) = cached(&mut bench, &first);
    assert_eq!(found, 0);
    let rows = bench.controls.rows.load(Ordering::SeqCst);
    assert_eq!(rows, 40 + 10, "no row is computed twice");
    assert_eq!(cached(&mut bench, &Request { id: "again".into(), ..first.clone() }).0, 36);
    assert_eq!(bench.controls.rows.load(Ordering::SeqCst) - rows, 4 + 10);
    let next: Vec<TokenId> = [&first.prompt[..], &answer, &letters(9, 5)].concat();
    assert_eq!(cached(&mut bench, &of("next", &next)).0, 48, "the last block that the answer has filled");
    // The state in the middle of the answer went along and is not there any more, nor is it in the middle of a prompt.
    assert_eq!(cached(&mut bench, &of("middle", &[&next[..46], &letters(5, 9)].concat())).0, 36);
    assert_eq!(cached(&mut bench, &of("start", &[&next[..20], &letters(5, 9)].concat())).0, 0);
}

#[test]
fn texts_that_begin_alike_share_their_beginning_from_the_third_on() {
    let mut bench = roomy();
    let system = letters(3, 22);
    let texts: Vec<Request> =
        (0..4).map(|at| of(&at.to_string(), &[&system[..], &letters(10 + at, 30)].concat())).collect();
    let found: Vec<usize> = texts.iter().map(|text| cached(&mut bench, text).0).collect();
    assert_eq!(found, [0, 0, 20, 20]);
}

#[test]
fn what_the_gate_is_told_is_what_the_stepper_finds() {
    let mut bench = roomy();
    let text = of("a", &letters(1, 50));
    let directory = bench.stepper.prefix_directory().unwrap();
    let (_, answer) = cached(&mut bench, &text);
    let whole = [&text.prompt[..], &answer].concat();
    for limit in 0..=whole.len() {
        let told = directory.look_up(&text.cache_scope, &whole, limit);
        assert_eq!(told, bench.stepper.pool.look_up(&text.cache_scope, &whole, limit), "{limit}");
        assert_eq!(
            told.places * 4,
            if limit >= 60 {
                60
            } else if limit >= 48 {
                48
            } else {
                0
            },
            "{limit}"
        );
    }
}

#[test]
fn slots_are_for_sequences_first_and_for_snapshots_if_they_are_to_spare() {
    for (slots, found) in [(2, 0), (3, 36)] {
        let mut bench = bench(slots, EngineConfig { max_seqs: 2, ..EngineConfig::default() });
        let first = of("first", &letters(1, 40));
        cached(&mut bench, &first);
        let streams: Vec<_> = (0..2).map(|at| bench.admit(&of(&at.to_string(), &letters(7 + at, 30))).1).collect();
        bench.step();
        assert_eq!(bench.stepper.census().states.used, 2, "both compute, whatever is cached");
        bench.run();
        for (at, mut stream) in streams.into_iter().enumerate() {
            check(&of(&at.to_string(), &letters(7 + at as u64, 30)), &Collected::all(&mut stream));
        }
        assert_eq!(cached(&mut bench, &of("third", &letters(2, 40))).0, 0);
        assert_eq!(cached(&mut bench, &of("again", &letters(2, 40))).0, found, "{slots}");
    }
}

#[test]
fn more_sequences_than_slots_are_never_promised() {
    let bench = bench(3, EngineConfig { max_seqs: 64, ..EngineConfig::default() });
    assert_eq!(bench.stepper.limits().max_seqs, 3);
}

#[test]
fn a_parked_sequence_resumes_with_the_same_tokens_from_a_snapshot() {
    for (n, prefix_cache, slots) in
        [(1, true, 4), (1, true, 20), (1, false, 4), (3, true, 4), (3, true, 20), (3, false, 4)]
    {
        let base = Request { n, ..request("r", 31, 30) };
        for moment in 0..12 {
            let config = EngineConfig { prefix_cache, max_batched_tokens: 8, max_seqs: 4, ..EngineConfig::default() };
            let mut bench = bench(slots, config);
            let (key, mut stream) = bench.admit(&base);
            for step in 0..300 {
                if step % 12 == moment {
                    bench.stepper.park(key);
                    assert_eq!(bench.stepper.census().states.used, 0, "parking frees the state at once");
                    bench.stepper.resume(key);
                }
                bench.step();
            }
            check(&base, &Collected::all(&mut stream));
            if n == 1 && slots == 20 {
                let rows = bench.controls.rows.load(Ordering::SeqCst);
                assert!(rows < 31 + 30 + 8 * 12, "parked at {moment} and every 12 steps it took {rows} rows");
            }
        }
    }
}

#[test]
fn proposals_leave_the_state_before_them_whole() {
    for slots in [4, 20] {
        let mut bench = bench(slots, EngineConfig { max_seqs: 4, ..EngineConfig::default() });
        let base = request("r", 21, 40);
        let (answer, _) = expected(&base).remove(0);
        let text = [&base.prompt[..], &answer.tokens].concat();
        let known = Arc::new(Mutex::new("tests.known", vec![text]));
        bench.stepper.proposer = Some(Box::new(Guesses { known, state: 7, vocab: 40 }));
        let before = bench.controls.passes.load(Ordering::SeqCst);
        cached(&mut bench, &base);
        let passes = bench.controls.passes.load(Ordering::SeqCst) - before;
        assert_eq!(passes < 41, slots == 20, "{passes} passes with {slots} slots");
    }
}
