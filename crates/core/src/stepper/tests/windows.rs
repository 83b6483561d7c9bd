//! What the stepper promises of models with layers that read only the last tokens: their blocks come back, and texts go on all the same.

use super::*;

/// Windows of 6 and 17 tokens beside a group that keeps all, in passes of at most 8 rows.
fn bench(blocks: usize, config: EngineConfig) -> Bench {
    Bench::with(FakeBackend::new(blocks, 4, CONTEXT).with_windows(&[6, 17], 4, 8), config)
}

fn roomy() -> Bench {
    bench(400, EngineConfig::default())
}

fn of(name: &str, prompt: &[TokenId], answer: usize) -> Request {
    Request { prompt: prompt.to_vec(), ..request(name, prompt.len(), answer) }
}

/// Grants what was set aside, and notes what is lent.
#[derive(Default)]
struct Lender {
    takes: bool,
    lent: usize,
}

impl MemoryPolicy for Lender {
    fn ask(&mut self, ask: &Ask) -> Grant {
        assert!(ask.short <= ask.free.blocks, "{ask:?}");
        Grant::Yes
    }

    fn lend(&mut self, _: TaskId, blocks: usize) -> bool {
        self.lent += if self.takes { blocks } else { 0 };
        self.takes
    }
}

#[test]
fn a_text_holds_no_more_than_its_price_and_lends_what_its_windows_leave_behind() {
    for takes in [false, true] {
        let mut bench = roomy();
        let base = request("long", 100, 90);
        let most = bench.stepper.limits().need(&base).unwrap().blocks;
        assert!(most < 3 * 48, "a block of each group for all tokens would be {}", 3 * 48);
        let (key, mut stream) = bench.admit(&base);
        let mut lender = Lender { takes, lent: 0 };
        // As many as the price says, all at once.
        bench.stepper.requests.get_mut(&key).unwrap().granted = most;
        let mut held = Vec::new();
        while bench.stepper.requests.contains_key(&key) {
            bench.stepper.step(bench.start, &mut lender);
            bench.stepper.audit();
            if let Some(active) = bench.stepper.requests.get(&key) {
                held.push(active.seqs[0].table.held());
                assert_eq!((active.granted + active.lent, active.taken), (most, active.seqs[0].table.held()));
            }
        }
        bench.settle();
        check(&base, &Collected::all(&mut stream));
        assert!(held.iter().max().unwrap() <= &most, "{held:?} of {most}");
        assert_eq!(lender.lent > 0, takes);
        let last = held.last().unwrap();
        assert!(*last < 48 + 2 * 9, "at the end it holds {last} blocks");
    }
}

#[test]
fn what_was_lent_is_there_again_when_a_parked_request_begins_anew() {
    let mut bench = roomy();
    let base = request("long", 100, 60);
    let most = bench.stepper.limits().need(&base).unwrap().blocks;
    let (key, mut stream) = bench.admit(&base);
    bench.stepper.requests.get_mut(&key).unwrap().granted = most;
    let mut lender = Lender { takes: true, lent: 0 };
    for _ in 0..40 {
        bench.stepper.step(bench.start, &mut lender);
    }
    assert!(bench.stepper.requests[&key].granted < most);
    bench.stepper.park(key);
    assert_eq!(bench.stepper.census().blocks.used, 0);
    assert_eq!((bench.stepper.requests[&key].granted, bench.stepper.requests[&key].lent), (most, 0));
    bench.stepper.resume(key);
    while bench.stepper.requests.contains_key(&key) {
        bench.stepper.step(bench.start, &mut lender);
    }
    bench.settle();
    check(&base, &Collected::all(&mut stream));
}

#[test]
fn texts_go_on_where_the_windows_before_are_still_there() {
    let mut bench = roomy();
    let first = of("first", &letters(1, 90), 21);
    let (found, answer) = cached(&mut bench, &first);
    assert_eq!(found, 0);
    assert_eq!(cached(&mut bench, &Request { id: "again".into(), ..first.clone() }).0, 88);
    let next: Vec<TokenId> = [&first.prompt[..], &answer, &letters(9, 5)].concat();
    assert_eq!(cached(&mut bench, &of("next", &next, 3)).0, 108, "a conversation goes on");
    for fork in [20, 43, 70] {
        let other = [&next[..fork], &letters(fork as u64, 20)].concat();
        assert_eq!(cached(&mut bench, &of(&fork.to_string(), &other, 3)).0, fork / 4 * 4, "nothing had to be given up");
    }
}

#[test]
fn where_a_window_was_given_up_a_text_goes_on_before_it() {
    // Enough for one long text, and not for what its windows have left behind beside another.
    let mut bench = bench(76, EngineConfig::default());
    let first = of("first", &letters(1, 90), 11);
    let (_, answer) = cached(&mut bench, &first);
    cached(&mut bench, &of("other", &letters(5, 60), 3));
    let directory = bench.stepper.prefix_directory().unwrap();
    let whole = [&first.prompt[..], &answer].concat();
    let mut hits = Vec::new();
    for limit in 0..=whole.len() {
        let told = directory.look_up(&first.cache_scope, &whole, limit);
        assert_eq!(told, bench.stepper.pool.look_up(&first.cache_scope, &whole, limit), "{limit}");
        hits.push(told.places);
    }
    hits.dedup();
    assert!(hits.len() < 26, "{hits:?}: not every place can be gone on from");
    for limit in [30, 60, 97] {
        let text = [&whole[..limit], &letters(limit as u64, 9)].concat();
        let told = bench.stepper.pool.look_up(&first.cache_scope, &text, text.len() - 1).places * 4;
        assert_eq!(cached(&mut bench, &of(&limit.to_string(), &text, 4)).0, told);
    }
}

#[test]
fn answers_that_share_a_prompt_take_no_more_than_their_price() {
    for (prompt, n) in [(50, 3), (83, 2), (7, 4)] {
        let base = Request { n, ..request("many", prompt, 40) };
        let probe = roomy();
        let most = probe.stepper.limits().need(&base).unwrap().blocks;
        for moment in [0, 3, 11, 25] {
            for prefix_cache in [false, true] {
                let mut bench = bench(most, EngineConfig { prefix_cache, ..EngineConfig::default() });
                let (key, mut stream) = bench.admit(&base);
                for step in 0..400 {
                    if step % 30 == moment && step < 200 && bench.stepper.park(key) {
                        bench.stepper.resume(key);
                    }
                    bench.step();
                    bench.stepper.audit();
                }
                check(&base, &Collected::all(&mut stream));
            }
        }
    }
}
