//! Everything at once, at random, with hardly any memory.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::request::CacheScope;
use crate::sampling::{Dry, Xtc};

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

impl MemoryPolicy for Tight {
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
    Admit { prompt: usize, answer: usize, n: usize, stop: bool, echo: bool, family: u64, manner: usize },
    Step,
    Read { who: usize, most: usize },
    Cancel { who: usize },
    Leave { who: usize },
    Park { who: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (1usize..40, 0usize..30, 1usize..4, any::<bool>(), any::<bool>(), 0u64..3, 0usize..6)
            .prop_map(|(prompt, answer, n, stop, echo, family, manner)| Act::Admit { prompt, answer, n, stop, echo, family, manner }),
        10 => Just(Act::Step),
        4 => (0usize..20, 1usize..20).prop_map(|(who, most)| Act::Read { who, most }),
        1 => (0usize..20).prop_map(|who| Act::Cancel { who }),
        1 => (0usize..20).prop_map(|who| Act::Leave { who }),
        1 => (0usize..20).prop_map(|who| Act::Park { who }),
    ];
    prop::collection::vec(act, 1..150)
}

/// Ways to choose tokens that look back at the text, draw more than once, or forbid some tokens.
fn manners() -> [SamplingParams; 6] {
    let plain = SamplingParams::default();
    let dry = Dry { multiplier: 3.0, allowed_length: 1, breakers: [3, 9].into(), ..Dry::default() };
    [
        plain.clone(),
        plain.clone(),
        SamplingParams { dry: Some(dry.clone()), ..plain.clone() },
        SamplingParams { xtc: Xtc { probability: 0.5, threshold: 0.02 }, top_n_sigma: 1.5, ..plain.clone() },
        SamplingParams {
            bad_words: vec![vec![4], vec![5, 6], vec![8, 9, 10]],
            allowed_tokens: Some((0..20).filter(|id| ![1, 2].contains(id)).collect()),
            ..plain.clone()
        },
        SamplingParams {
            temperature: 0.0,
            dry: Some(Dry { window: Some(9), ..dry }),
            presence_penalty: 1.5,
            repetition_penalty: 1.2,
            penalty_window: Some(5),
            ..plain
        },
    ]
}

/// One who asks, with what it has been sent.
struct Guest {
    key: TaskId,
    request: Request,
    stream: Option<RequestStream>,
    collected: Collected,
}

struct Party {
    bench: Bench,
    tight: Tight,
    guests: Vec<Guest>,
    cancelled: Vec<TaskId>,
    /// The texts that the one who proposes knows; without them nobody proposes.
    known: Option<Arc<Mutex<Vec<Vec<TokenId>>>>>,
}

/// What the model keeps of a text.
#[derive(Clone, Copy)]
enum Kind {
    Plain,
    /// A state, with so many slots more than sequences.
    States {
        spare: usize,
    },
    /// Some layers keep only the last tokens.
    Windows,
}

impl Party {
    fn new(chunk: usize, prefix_cache: bool, kind: Kind, moody: u64) -> Party {
        // The largest request alone needs 3 answers of 70 tokens.
        let config = EngineConfig { prefix_cache, max_batched_tokens: chunk, max_seqs: 8, ..EngineConfig::default() };
        let backend = match kind {
            Kind::Plain => FakeBackend::new(54, 4, CONTEXT),
            Kind::States { spare } => FakeBackend::new(54, 4, CONTEXT).with_states(8 + spare),
            // Each answer takes up to 7 and 10 more.
            Kind::Windows => FakeBackend::new(54 + 51, 4, CONTEXT).with_windows(&[6, 17], 4, 8),
        };
        let mut bench = Bench { capacity: 24, ..Bench::with(backend, config) };
        let known = (moody % 2 == 1).then(|| Arc::new(Mutex::new("tests.known", Vec::new())));
        bench.stepper.proposer =
            known.clone().map(|known| -> Box<dyn Proposer> { Box::new(Guesses { known, state: moody, vocab: 40 }) });
        let tight = Tight { moody: Cell::new(moody), ..Tight::default() };
        Party { bench, tight, guests: Vec::new(), cancelled: Vec::new(), known }
    }

    fn step(&mut self) {
        let Party { bench, tight, .. } = self;
        // Whoever was parked the longest comes back when it has room for all its tokens.
        while let Some(&key) = tight.parked.first()
            && bench.stepper.requests.get(&key).is_none_or(|active| {
                let blocks: usize =
                    active.seqs.iter().map(|seq| bench.stepper.pool.groups().most_blocks(seq.tokens.len() + 1)).sum();
                blocks <= bench.stepper.pool.counts().available() && active.seqs.len() <= bench.stepper.free().seqs
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
    }

    fn admit(&mut self, request: Request) {
        if let Some(known) = &self.known {
            let answers = expected(&request).into_iter();
            let texts = answers.map(|(answer, _)| request.prompt.iter().copied().chain(answer.tokens).collect());
            known.lock().extend(texts);
        }
        let is_full = request.n > self.bench.stepper.free().seqs;
        let (key, stream) = self.bench.admit(&request);
        if is_full {
            self.bench.stepper.park(key);
            self.tight.parked.push(key);
        } else {
            self.tight.running.push(key);
        }
        self.guests.push(Guest { key, request, stream: Some(stream), collected: Collected::default() });
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Admit { prompt, answer, n, stop, echo, family, manner } => self.admit(Request {
                prompt: letters(family, prompt),
                n,
                stop: if stop { vec!["aba".into(), "cc".into()] } else { Vec::new() },
                prompt_logprobs: echo.then_some(0),
                progress: (prompt + answer) % 3 == 0,
                logprobs: (manner % 4 == 1).then_some(2),
                sampled_logprobs: manner % 8 == 1,
                cache_scope: CacheScope::default().within("key", if stop { "a" } else { "b" }),
                ignore_eos: answer % 2 == 0,
                sampling: SamplingParams { seed: Some(prompt as u64), ..manners()[manner].clone() },
                stop_tokens: if manner % 2 == 1 { vec![7, 12, 20, 31] } else { Vec::new() },
                keep_stop: manner % 3 == 1,
                min_tokens: if manner % 3 == 2 { answer / 3 } else { 0 },
                ..request(&format!("r{}", self.guests.len()), prompt, answer)
            }),
            Act::Step => self.step(),
            Act::Read { who, most } => {
                if let Some(Guest { stream: Some(stream), collected, .. }) = self.guests.get_mut(who) {
                    collected.drain(stream, most);
                }
            }
            Act::Cancel { who } => {
                if let Some(&Guest { key, .. }) = self.guests.get(who)
                    && self.bench.stepper.fail(key, RequestError::Cancelled, self.bench.start)
                {
                    self.cancelled.push(key);
                }
            }
            Act::Leave { who } => {
                if let Some(guest) = self.guests.get_mut(who) {
                    guest.stream = None;
                }
            }
            Act::Park { who } => {
                if let Some(&Guest { key, .. }) = self.guests.get(who)
                    && self.bench.stepper.park(key)
                {
                    self.tight.running.retain(|&other| other != key);
                    self.tight.parked.push(key);
                }
            }
        }
    }

    /// Everybody is served to the end.
    fn end(mut self) {
        for round in 0.. {
            assert!(round < 20_000, "somebody is forgotten");
            self.step();
            for Guest { stream, collected, .. } in &mut self.guests {
                if let Some(stream) = stream {
                    collected.drain(stream, 1000);
                }
            }
            if self.bench.stepper.requests.is_empty() {
                break;
            }
        }
        for Guest { key, request, stream, collected } in &self.guests {
            if self.cancelled.contains(key) {
                assert!(stream.is_none() || collected.last == Some(Event::Failed(RequestError::Cancelled)));
            } else if stream.is_some() {
                check(request, collected);
            }
        }
        let census = self.bench.stepper.census();
        assert_eq!((census.blocks.used, census.states.used), (0, 0));
        self.bench.stepper.pool.audit([]);
    }
}

/// Each step audits every block, each request gets one outcome, and every answer is right.
fn everything(acts: Vec<Act>, chunk: usize, prefix_cache: bool, kind: Kind, moody: u64) {
    let mut party = Party::new(chunk, prefix_cache, kind, moody);
    acts.into_iter().for_each(|act| party.act(act));
    party.end();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_each_answer_is_right_and_no_block_is_lost(acts in acts(), chunk in 1usize..40, prefix_cache: bool, moody: u64) {
        everything(acts, chunk, prefix_cache, Kind::Plain, moody);
    }

    #[test]
    fn so_it_is_with_states_and_no_slot_is_lost(acts in acts(), chunk in 1usize..40, prefix_cache: bool, spare in 0usize..12, moody: u64) {
        everything(acts, chunk, prefix_cache, Kind::States { spare }, moody);
    }

    #[test]
    fn so_it_is_with_windows_that_give_their_blocks_back(acts in acts(), chunk in 1usize..40, prefix_cache: bool, moody: u64) {
        everything(acts, chunk, prefix_cache, Kind::Windows, moody);
    }
}

/// Found by the test above: the room in a stream was counted anew for each answer that proposed.
#[test]
fn answers_that_propose_together_keep_a_place_for_the_end() {
    let admit =
        |prompt, answer, n, family| Act::Admit { prompt, answer, n, stop: false, echo: false, family, manner: 0 };
    let mut acts = vec![Act::Step; 5];
    acts.push(admit(34, 3, 1, 0));
    acts.extend(vec![Act::Step; 3]);
    acts.push(admit(4, 3, 1, 0));
    acts.extend(vec![Act::Step; 2]);
    acts.push(admit(14, 11, 2, 2));
    acts.extend(vec![Act::Step; 8]);
    acts.push(admit(2, 2, 1, 0));
    acts.extend(vec![Act::Step; 2]);
    everything(acts, 17, false, Kind::Plain, 7_004_523_759_289_126_417);
}

/// Found by the test above: what was proposed behind a prompt whose last row was a chunk of its own stood in the block that its other answers
/// were about to share.
#[test]
fn nothing_is_proposed_before_the_answers_share_their_prompt() {
    let acts = [
        Some((4, 0, 1, false, 0)),
        Some((4, 0, 1, false, 0)),
        None,
        Some((6, 0, 1, false, 0)),
        Some((4, 0, 1, false, 0)),
        Some((3, 6, 2, false, 0)),
        None,
        None,
        Some((20, 0, 1, true, 0)),
        Some((11, 2, 2, false, 1)),
        None,
        None,
        Some((7, 4, 1, false, 0)),
        None,
        None,
        None,
        None,
        Some((1, 6, 1, false, 0)),
        Some((3, 13, 2, false, 2)),
        Some((1, 9, 1, false, 0)),
        Some((8, 0, 1, false, 1)),
        Some((3, 0, 1, false, 0)),
        Some((1, 5, 1, false, 0)),
    ];
    let act = |act: Option<(usize, usize, usize, bool, u64)>| {
        act.map_or(Act::Step, |(prompt, answer, n, stop, family)| Act::Admit {
            prompt,
            answer,
            n,
            stop,
            echo: false,
            family,
            manner: 0,
        })
    };
    everything(acts.into_iter().map(act).collect(), 1, true, Kind::Plain, 7_371_406_291_509_495_407);
}
