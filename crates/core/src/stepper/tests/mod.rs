//! A stepper over a fake model, and answers worked out by hand to compare with.

mod formats;
mod promises;
mod random;
mod real;
mod states;
mod windows;

use std::sync::Arc;
use std::time::Instant;

use parkade_model::TokenId;
use parkade_sync::Mutex;

use super::*;
use crate::FinishReason;
use crate::event::Event;
use crate::fakes::{self, Answer, Collected, Controls, FakeBackend, Letters};
use crate::parking_lot::{ResourceCost, TaskMetadata};
use crate::request::Request;
use crate::requests::{LiveRequests, ReplayLimits};
use crate::sampler::Sampler;
use crate::sampling::SamplingParams;
use crate::stream::RequestStream;

const CONTEXT: usize = 200;

/// A stepper with a fake model, and what is needed to feed it.
struct Bench {
    stepper: Stepper,
    controls: Arc<Controls>,
    metrics: Arc<EngineMetrics>,
    keys: u32,
    start: Instant,
    capacity: usize,
    ended: Vec<(TaskId, Result<(), RequestError>)>,
}

/// What scheduling would know of a request that has been granted nothing yet.
pub(crate) fn metadata(request: &Request, now: Instant) -> TaskMetadata {
    TaskMetadata {
        id: request.id.clone(),
        tenant: request.tenant.clone(),
        class: request.class,
        rank: request.rank,
        deadline: None,
        first_token_deadline: None,
        cost: ResourceCost::default(),
        submitted_at: now,
    }
}

/// Everything was set aside at admission: growth cannot fail.
struct Reserved;

impl MemoryPolicy for Reserved {
    fn ask(&mut self, ask: &Ask) -> Grant {
        debug_assert!(ask.short <= ask.free.blocks, "{ask:?} was reserved");
        Grant::Yes
    }
}

impl Bench {
    fn new(blocks: usize, config: EngineConfig) -> Self {
        Bench::with(FakeBackend::new(blocks, 4, CONTEXT), config)
    }

    fn with(backend: FakeBackend, config: EngineConfig) -> Self {
        let controls = Arc::clone(&backend.controls);
        Bench { controls, ..Bench::over(Box::new(backend), Arc::new(Letters), config) }
    }

    fn over(backend: Box<dyn Backend>, vocabulary: Arc<dyn Vocabulary>, config: EngineConfig) -> Self {
        let metrics = Arc::new(EngineMetrics::new());
        let stepper = Stepper::new(backend, vocabulary, &config, Arc::clone(&metrics), Clock::default());
        let controls = Arc::default();
        Bench { stepper, controls, metrics, keys: 0, start: Instant::now(), capacity: 1000, ended: Vec::new() }
    }

    fn chunked(max_batched_tokens: usize) -> Self {
        Bench::new(200, EngineConfig { max_batched_tokens, ..EngineConfig::default() })
    }

    fn admit(&mut self, request: &Request) -> (TaskId, RequestStream) {
        self.keys += 1;
        let key = TaskId::first_in(self.keys);
        let answer = self.stepper.limits().need(request).unwrap().answer;
        let requests =
            Arc::new(LiveRequests::new(ReplayLimits::default(), Arc::clone(&self.metrics), Clock::default()));
        let live = requests.enter(request, metadata(request, self.start)).unwrap();
        let (outlet, stream) = crate::stream::open(live, requests, self.capacity);
        self.stepper.admit(key, Arrival { request: request.clone(), answer, outlet }, self.start);
        (key, stream)
    }

    fn step(&mut self) -> StepReport {
        let report = self.stepper.step(self.start, &mut Reserved);
        self.settle();
        report
    }

    /// Lets the readers have the last events.
    fn settle(&mut self) {
        self.ended.extend(self.stepper.take_ended().iter().map(|ended| (ended.key, ended.result.clone())));
    }

    fn run(&mut self) {
        while !self.step().progress.is_empty() {}
    }

    /// Runs one request to its end, with nobody else.
    fn answers(&mut self, request: &Request) -> Collected {
        let (_, mut stream) = self.admit(request);
        self.run();
        Collected::all(&mut stream)
    }
}

/// Guesses the rest of texts that it knows, now and then wrongly, and nonsense after others.
pub(super) struct Guesses {
    pub(super) known: Arc<Mutex<Vec<Vec<TokenId>>>>,
    pub(super) state: u64,
    pub(super) vocab: u64,
}

impl Guesses {
    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % limit
    }
}

impl Proposer for Guesses {
    fn propose(&mut self, tokens: &[TokenId], most: usize) -> Vec<TokenId> {
        let count = self.below(most as u64 + 2) as usize;
        let known = self.known.lock().iter().find_map(|text| text.strip_prefix(tokens)).unwrap_or_default().to_vec();
        let mut guess = |at: usize| match known.get(at) {
            Some(&token) if self.below(6) > 0 => token,
            _ => self.below(self.vocab) as TokenId,
        };
        (0..count).map(&mut guess).collect()
    }
}

/// What a request must answer, and how many tokens that takes, worked out without blocks, batches and steps.
fn expected(request: &Request) -> Vec<(Answer, usize)> {
    let sampling = Arc::new(request.sampling.clone());
    let longest = request.max_tokens.unwrap_or(CONTEXT - request.prompt.len());
    let choice = |choice| {
        let ends = [fakes::END].into_iter().chain(request.stop_tokens.iter().copied()).collect();
        let mut sampler = Sampler::new(Arc::clone(&sampling), &request.prompt, request.sampling.seed.unwrap(), choice)
            .at_least(request.min_tokens, ends);
        let mut tokens = request.prompt.clone();
        let mut answer = Answer { reason: Some(FinishReason::Length), ..Answer::default() };
        let (mut generated, mut too_soon) = (0, 0);
        while generated < longest {
            let id = sampler.choose(&fakes::logits_after(&tokens), None, &mut Scratch::default()).unwrap();
            sampler.accept(id);
            tokens.push(id);
            generated += 1;
            let may_stop = generated >= request.min_tokens;
            let is_stop = request.stop_tokens.contains(&id) && may_stop;
            let is_end = is_stop || (id == fakes::END && !request.ignore_eos);
            if is_end {
                answer.reason = Some(FinishReason::Stop);
            }
            if !is_end || (is_stop && request.keep_stop) {
                answer.tokens.push(id);
                answer.text.push(fakes::letter(id));
            }
            // Letters that the decoder holds back are not looked at before the next one, or the end.
            let held = answer.tokens.iter().rev().take_while(|&&id| id % 5 == 4).count();
            let held = if is_end || generated == longest { 0 } else { held };
            let seen = &answer.text[..answer.text.len() - held];
            if !may_stop {
                too_soon = seen.len();
            } else if let Some((text, stop)) = cut(seen, &request.stop, too_soon) {
                let text = if request.keep_stop { text + &stop } else { text };
                (answer.text, answer.reason, answer.stop_string) = (text, Some(FinishReason::Stop), Some(stop));
                break;
            }
            if is_end {
                break;
            }
        }
        (answer, generated)
    };
    (0..request.n).map(choice).collect()
}

/// The text before the stop string that is complete first, the longest of those that end at the same place.
///
/// None counts that is complete before there are more than `too_soon` bytes.
fn cut(text: &str, stops: &[String], too_soon: usize) -> Option<(String, String)> {
    (too_soon + 1..=text.len()).find_map(|end| {
        let stop = stops.iter().filter(|stop| text[..end].ends_with(stop.as_str())).max_by_key(|stop| stop.len())?;
        Some((text[..end - stop.len()].to_owned(), stop.clone()))
    })
}

fn check(request: &Request, collected: &Collected) {
    let (answers, generated): (Vec<Answer>, Vec<usize>) = expected(request).into_iter().unzip();
    assert_eq!(collected.answers.values().cloned().collect::<Vec<_>>(), answers, "request {}", request.id);
    let Some(Event::Done(usage)) = collected.last else {
        panic!("request {} did not end well: {:?}", request.id, collected.last)
    };
    assert_eq!(usage.completion_tokens, generated.iter().sum::<usize>());
    assert_eq!(usage.prompt_tokens, request.prompt.len());
}

/// Runs a request and returns how many of its tokens were cached, and its answer.
fn cached(bench: &mut Bench, request: &Request) -> (usize, Vec<TokenId>) {
    let collected = bench.answers(request);
    check(request, &collected);
    bench.stepper.audit();
    let Some(Event::Done(usage)) = collected.last else { panic!("{:?}", collected.last) };
    (usage.cached_tokens, collected.answers[&0].tokens.clone())
}

fn letters(seed: u64, count: usize) -> Vec<TokenId> {
    (0..count as u64).map(|at| fakes::FIRST_LETTER + ((seed * 31 + at * at * 7 + at) % 37) as TokenId).collect()
}

fn request(name: &str, prompt: usize, answer: usize) -> Request {
    Request {
        max_tokens: Some(answer),
        sampling: SamplingParams { seed: Some(prompt as u64), ..SamplingParams::default() },
        ignore_eos: true,
        ..Request::new(name, letters(prompt as u64, prompt))
    }
}
