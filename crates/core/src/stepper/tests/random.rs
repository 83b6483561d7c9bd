//! Everything at once, at random, with hardly any memory.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::request::CacheScope;

/// Gives blocks while there are any, and parks the youngest when there are none.
#[derive(Default)]
struct Tight {
    /// Oldest first.
    running: Vec<TaskId>,
    parked: Vec<TaskId>,
    /// Lets somebody sit out now and then, for no reason.
    moody: Cell<u64>,
    /// Another one for each step.
    urgency: u8,
}

impl Growth for Tight {
    fn ask(&mut self, ask: &Ask) -> Grant {
        if ask.short <= ask.free.blocks {
            return Grant::Yes;
        }
        let youngest = self.running.pop().expect("the one that asks is running");
        self.parked.push(youngest);
        Grant::Park(vec![youngest])
    }

    fn sits_out(&self, _: TaskId) -> bool {
        self.mood() == 7
    }

    fn urgency(&self) -> u8 {
        self.urgency
    }

    fn interrupts(&self) -> bool {
        self.mood().is_multiple_of(2)
    }
}

impl Tight {
    /// From 0 to 7.
    fn mood(&self) -> u64 {
        self.moody.set(self.moody.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        self.moody.get() >> 61
    }
}

#[derive(Clone, Debug)]
enum Act {
    Admit { prompt: usize, answer: usize, n: usize, stop: bool, echo: bool, family: u64 },
    Step,
    Read { who: usize, most: usize },
    Cancel { who: usize },
    Leave { who: usize },
    Park { who: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (1usize..40, 0usize..30, 1usize..4, any::<bool>(), any::<bool>(), 0u64..3)
            .prop_map(|(prompt, answer, n, stop, echo, family)| Act::Admit { prompt, answer, n, stop, echo, family }),
        10 => Just(Act::Step),
        4 => (0usize..20, 1usize..20).prop_map(|(who, most)| Act::Read { who, most }),
        1 => (0usize..20).prop_map(|who| Act::Cancel { who }),
        1 => (0usize..20).prop_map(|who| Act::Leave { who }),
        1 => (0usize..20).prop_map(|who| Act::Park { who }),
    ];
    prop::collection::vec(act, 1..150)
}

/// Each step audits every block, each request gets one outcome, and every answer is right.
fn everything(acts: Vec<Act>, chunk: usize, prefix_cache: bool, moody: u64) {
    // The largest request alone needs 3 answers of 70 tokens.
    let mut bench = Bench::new(54, EngineConfig { prefix_cache, max_batched_tokens: chunk, ..EngineConfig::default() });
    bench.capacity = 24;
    let mut tight = Tight { moody: Cell::new(moody), ..Tight::default() };
    let mut guests: Vec<(TaskId, Request, Option<RequestStream>, Collected)> = Vec::new();
    let mut cancelled = Vec::new();
    let known = Arc::new(Mutex::new("tests.known", Vec::new()));
    if moody % 2 == 1 {
        bench.stepper.proposer = Some(Box::new(Guesses { known: Arc::clone(&known), state: moody, vocab: 40 }));
    }
    let step = |bench: &mut Bench, tight: &mut Tight| {
        // Whoever was parked the longest comes back when it has room for all its tokens.
        while let Some(&key) = tight.parked.first()
            && bench.stepper.requests.get(&key).is_none_or(|active| {
                let blocks: usize =
                    active.seqs.iter().map(|seq| bench.stepper.pool.blocks_for(seq.tokens.len() + 1)).sum();
                blocks <= bench.stepper.pool.counts().available()
            })
        {
            tight.parked.remove(0);
            if bench.stepper.resume(key) {
                tight.running.push(key);
            }
        }
        tight.urgency = (tight.mood() / 2) as u8;
        bench.stepper.step(bench.start, tight);
        bench.stepper.audit();
        for ended in bench.stepper.take_ended() {
            tight.running.retain(|&key| key != ended.key);
            tight.parked.retain(|&key| key != ended.key);
        }
    };
    for act in acts {
        match act {
            Act::Admit { prompt, answer, n, stop, echo, family } => {
                let request = Request {
                    prompt: letters(family, prompt),
                    n,
                    stop: if stop { vec!["aba".into(), "cc".into()] } else { Vec::new() },
                    echo_logprobs: echo,
                    cache_scope: CacheScope::default().within("key", if stop { "a" } else { "b" }),
                    ignore_eos: answer % 2 == 0,
                    ..request(&format!("r{}", guests.len()), prompt, answer)
                };
                if moody % 2 == 1 {
                    let texts = expected(&request)
                        .into_iter()
                        .map(|(answer, _)| request.prompt.iter().copied().chain(answer.tokens).collect());
                    known.lock().extend(texts);
                }
                let (key, stream) = bench.admit(&request);
                tight.running.push(key);
                guests.push((key, request, Some(stream), Collected::default()));
            }
            Act::Step => step(&mut bench, &mut tight),
            Act::Read { who, most } => {
                if let Some((_, _, Some(stream), collected)) = guests.get_mut(who) {
                    collected.drain(stream, most);
                }
            }
            Act::Cancel { who } => {
                if let Some((key, ..)) = guests.get(who)
                    && bench.stepper.fail(*key, RequestError::Cancelled, bench.start)
                {
                    cancelled.push(*key);
                }
            }
            Act::Leave { who } => {
                if let Some((_, _, stream, _)) = guests.get_mut(who) {
                    *stream = None;
                }
            }
            Act::Park { who } => {
                if let Some((key, ..)) = guests.get(who)
                    && bench.stepper.park(*key)
                {
                    tight.running.retain(|other| other != key);
                    tight.parked.push(*key);
                }
            }
        }
    }
    for round in 0.. {
        assert!(round < 20_000, "somebody is forgotten");
        step(&mut bench, &mut tight);
        for (_, _, stream, collected) in &mut guests {
            if let Some(stream) = stream {
                collected.drain(stream, 1000);
            }
        }
        if bench.stepper.requests.is_empty() {
            break;
        }
    }
    for (key, request, stream, collected) in &guests {
        if cancelled.contains(key) {
            assert!(stream.is_none() || collected.last == Some(Event::Failed(RequestError::Cancelled)));
        } else if stream.is_some() {
            check(request, collected);
        }
    }
    assert_eq!(bench.stepper.census().blocks.used, 0);
    bench.stepper.pool.audit([]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_each_answer_is_right_and_no_block_is_lost(acts in acts(), chunk in 1usize..40, prefix_cache: bool, moody: u64) {
        everything(acts, chunk, prefix_cache, moody);
    }
}
