//! Two models with one worker: whose turn it is, in virtual time, and what each has to itself.

#![allow(clippy::unwrap_used)] // It is for tests.

#[path = "support/mod.rs"]
mod fakes;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fakes::engines::{eventually, idle, request, schedulers, the_books_balance};
use fakes::{Collected, Controls, FakeBackend, Letters, VOCAB};
use parkade_core::parking_lot::{LlmExecutor, Served};
use parkade_core::{
    Backend, BackendError, Batch, Class, Clock, Embedder, Embeds, Engine, EngineConfig, Event, JointWorker, Pass,
    Pooling, Refusal, Request, RequestError, RequestStream, SchedulerKind, TaskKind, Turn,
};

const MS: Duration = Duration::from_millis(1);
const LAYERS: u32 = 5;

/// A fake model whose passes take virtual time, layer by layer, and may be left between them.
struct Timed {
    model: FakeBackend,
    clock: Clock,
    /// What a layer takes, and what each row adds to it.
    layer: Duration,
    row: Duration,
    embeds: bool,
    /// Ends its thread with it.
    is_deadly: bool,
    /// Layers that are left to do.
    left: Vec<u32>,
}

impl Timed {
    fn go_on(
        &mut self,
        layers: u32,
        batch: &Batch<'_>,
        out: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Pass, BackendError> {
        for layer in (0..layers).rev() {
            self.clock.advance(self.layer + self.row * batch.tokens.len() as u32);
            if layer > 0 && stop() {
                self.left.push(layer);
                return Ok(Pass::Left);
            }
        }
        self.model.forward(batch, out).map(|()| Pass::Done)
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        assert!(!self.is_deadly, "as the test wants it");
    }
}

impl Backend for Timed {
    fn vocab(&self) -> usize {
        VOCAB
    }

    fn embedder(&self) -> Option<Embedder> {
        let embedder = Embedder {
            embeds: Embeds::Texts,
            pooling: Pooling::Mean,
            hidden: VOCAB,
            outputs: VOCAB,
            is_whole: true,
            probabilities: false,
        };
        self.embeds.then_some(embedder)
    }

    fn context_length(&self) -> usize {
        self.model.context_length()
    }

    fn blocks(&self) -> usize {
        self.model.blocks()
    }

    fn block_len(&self) -> usize {
        self.model.block_len()
    }

    fn forward(&mut self, batch: &Batch<'_>, out: &mut Vec<f32>) -> Result<(), BackendError> {
        self.forward_until(batch, out, &|| false).map(|_| ())
    }

    fn forward_until(
        &mut self,
        batch: &Batch<'_>,
        out: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Pass, BackendError> {
        self.go_on(LAYERS, batch, out, stop)
    }

    fn resume(&mut self, batch: &Batch<'_>, out: &mut Vec<f32>, stop: &dyn Fn() -> bool) -> Result<Pass, BackendError> {
        let layers = self.left.pop().expect("a pass was left");
        self.go_on(layers, batch, out, stop)
    }

    fn abandon(&mut self) {
        self.left.pop().expect("a pass was left");
    }

    fn copy_block(&mut self, from: u32, to: u32) {
        self.model.copy_block(from, to);
    }
}

/// A chat model whose first tokens take about 150 ms and the others 52, and an embedder whose passes of 400 tokens take 25.
fn models(scheduler: SchedulerKind, clock: &Clock) -> ([Timed; 2], EngineConfig) {
    let model = |layer, row, embeds| Timed {
        model: FakeBackend::new(2000, 4, 400),
        clock: clock.clone(),
        layer,
        row,
        embeds,
        is_deadly: false,
        left: Vec::new(),
    };
    let config = EngineConfig { scheduler, max_seqs: 16, ..EngineConfig::default() };
    ([model(10 * MS, MS / 2, false), model(MS, MS / 100, true)], config)
}

fn served(models: [Timed; 2], config: &EngineConfig) -> Vec<Served> {
    let served = |model| Served { backend: Box::new(model), vocabulary: Arc::new(Letters), config: config.clone() };
    models.into_iter().map(served).collect()
}

fn by_hand(scheduler: SchedulerKind) -> (Engine, Engine, JointWorker<LlmExecutor>, Clock) {
    let clock = Clock::by_hand();
    let (models, config) = models(scheduler, &clock);
    let (engines, worker) = Engine::joint_by_hand(served(models, &config), clock.clone()).unwrap();
    let [chat, embedder] = engines.try_into().ok().unwrap();
    (chat, embedder, worker, clock)
}

/// With a thread. Passes take no time: nobody but them looks at their clock.
fn start(scheduler: SchedulerKind, change: impl FnOnce(&mut [Timed; 2])) -> (Engine, Engine, [Arc<Controls>; 2]) {
    let (mut models, config) = models(scheduler, &Clock::by_hand());
    change(&mut models);
    let controls = [0, 1].map(|number: usize| Arc::clone(&models[number].model.controls));
    let [chat, embedder] = Engine::start_joint(served(models, &config)).unwrap().try_into().ok().unwrap();
    (chat, embedder, controls)
}

fn text(name: impl std::fmt::Display, class: Class) -> Request {
    Request { task: TaskKind::Embed, class, ..request(format!("text {name}"), 100, 0) }
}

fn question(name: impl std::fmt::Display, answer: usize) -> Request {
    Request { stop: Vec::new(), ..request(format!("question {name}"), 20, answer) }
}

/// Keeps so many texts in the embedder, and counts those that are done.
struct Flood {
    streams: Vec<RequestStream>,
    sent: usize,
    done: usize,
    class: Class,
}

impl Flood {
    fn of(class: Class) -> Flood {
        Flood { streams: Vec::new(), sent: 0, done: 0, class }
    }

    fn feed(&mut self, embedder: &Engine, at_once: usize) {
        self.streams.retain_mut(|stream| match stream.try_next() {
            Some(Event::Done(_)) => {
                self.done += 1;
                false
            }
            _ => true,
        });
        while self.streams.len() < at_once {
            self.streams.push(embedder.submit(text(self.sent, self.class)).unwrap());
            self.sent += 1;
        }
    }
}

/// When a stream's tokens came, until it is over.
fn times(
    mut stream: RequestStream,
    worker: &mut JointWorker<LlmExecutor>,
    clock: &Clock,
    mut meanwhile: impl FnMut(),
) -> Vec<Instant> {
    let mut times = Vec::new();
    loop {
        match stream.try_next() {
            Some(Event::Token { .. }) => times.push(clock.now()),
            Some(Event::Done(_)) => return times,
            Some(Event::Failed(error)) => panic!("{error}"),
            Some(_) => {}
            None => {
                meanwhile();
                assert_ne!(worker.turn(), Turn::Stopped);
            }
        }
    }
}

fn gaps(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// How long first tokens take, and all of an answer of so many tokens, with texts of a class beside them; and how many texts were done.
#[cfg(feature = "parking-lot-scheduler")]
fn beside(scheduler: SchedulerKind, class: Option<Class>, answer: usize) -> (Vec<Duration>, Duration, usize) {
    let (chat, embedder, mut worker, clock) = by_hand(scheduler);
    let mut flood = Flood::of(class.unwrap_or_default());
    let feed = |flood: &mut Flood| class.is_some().then(|| flood.feed(&embedder, 16));
    let (mut first_tokens, mut all) = (Vec::new(), Duration::ZERO);
    for number in 0..20 {
        // In the middle of whatever the texts are at.
        for _ in 0..7 + number {
            feed(&mut flood);
            worker.turn();
        }
        let asked = clock.now();
        let times = times(chat.submit(question(number, answer)).unwrap(), &mut worker, &clock, || _ = feed(&mut flood));
        first_tokens.push(times[0] - asked);
        all += clock.since(asked);
    }
    (first_tokens, all, flood.done)
}

#[cfg(feature = "parking-lot-scheduler")]
#[test]
fn first_tokens_take_hardly_longer_beside_texts_of_a_lower_class() {
    let alone = beside(SchedulerKind::ParkingLot, None, 3).0;
    let (first_tokens, _, done) = beside(SchedulerKind::ParkingLot, Some(Class::Low), 3);
    let (worst, worst_alone) = (*first_tokens.iter().max().unwrap(), *alone.iter().max().unwrap());
    assert!(worst <= worst_alone * 11 / 10, "{worst:?} after {worst_alone:?}");
    assert!(done > 20, "{done} texts");
}

#[cfg(feature = "parking-lot-scheduler")]
#[test]
fn answers_and_texts_share_the_time_by_the_weights_of_their_classes() {
    let (_, alone, _) = beside(SchedulerKind::ParkingLot, None, 60);
    for (class, most) in [(Class::Low, 1.3), (Class::Normal, 2.1)] {
        let (_, all, done) = beside(SchedulerKind::ParkingLot, Some(class), 60);
        let ratio = all.as_secs_f64() / alone.as_secs_f64();
        assert!((most - 0.35..most).contains(&ratio), "{class:?}: {ratio}");
        assert!(done > 100, "{done} texts of class {class:?}");
    }
}

#[test]
fn answers_go_on_evenly_beside_texts_whoever_schedules() {
    for scheduler in schedulers() {
        let (chat, embedder, mut worker, clock) = by_hand(scheduler);
        let mut flood = Flood::of(Class::Normal);
        let stream = chat.submit(question("it", 100)).unwrap();
        let times = times(stream, &mut worker, &clock, || flood.feed(&embedder, 16));
        // A token takes 52 ms; texts have as much between two of them, and no more than a layer on top.
        let longest = gaps(&times).into_iter().max().unwrap();
        assert!(longest <= 125 * MS, "{longest:?}");
        // Alone they are 160 a second.
        let texts = flood.done as f64 / clock.since(times[0]).as_secs_f64();
        assert!((75.0..90.0).contains(&texts), "{texts} a second");
    }
}

#[cfg(feature = "parking-lot-scheduler")]
#[test]
fn texts_go_on_beside_first_tokens_without_end() {
    let (chat, embedder, mut worker, clock) = by_hand(SchedulerKind::ParkingLot);
    let mut flood = Flood::of(Class::Low);
    let (mut asked, mut streams, start) = (0, Vec::new(), clock.now());
    while clock.since(start) < Duration::from_secs(60) {
        flood.feed(&embedder, 16);
        while streams.len() < 4 {
            streams.push(chat.submit(question(asked, 1)).unwrap());
            asked += 1;
        }
        worker.turn();
        streams.retain_mut(|stream| {
            !std::iter::from_fn(|| stream.try_next()).any(|event| matches!(event, Event::Done(_)))
        });
    }
    // A fifth of the time by weight, of which a text takes 6.25 ms in full passes.
    assert!(flood.done > 1000, "{} texts", flood.done);
    assert!(asked > 300, "{asked} answers");
}

#[test]
fn what_happens_to_one_model_is_no_business_of_the_other() {
    for scheduler in schedulers() {
        let (chat, embedder, [of_chat, of_texts]) = start(scheduler, |_| ());
        let ask = |name: &str| chat.submit(question(name, 150)).unwrap();
        let expected = Collected::all(&mut ask("alone")).answers;
        // Failures and panics of passes, on either side.
        for (failing, going) in [(&of_texts, &embedder), (&of_chat, &chat)] {
            for kind in [&failing.fail_next, &failing.panic_next] {
                kind.store(true, Ordering::SeqCst);
                let bad = if std::ptr::eq(going, &chat) { question("bad", 5) } else { text("bad", Class::Normal) };
                let mut bad = going.submit(bad).unwrap();
                let last = std::iter::from_fn(|| bad.blocking_next()).last();
                assert!(matches!(last, Some(Event::Failed(RequestError::Forward { .. }))), "{last:?}");
            }
        }
        let mut going = ask("going");
        // One that ends well, one that is cancelled, and one that its reader has left.
        of_texts.hold.store(true, Ordering::SeqCst);
        let mut good = embedder.submit(text("good", Class::Normal)).unwrap();
        eventually("its pass", || of_texts.is_holding.load(Ordering::SeqCst));
        let mut cancelled = embedder.submit(text("cancelled", Class::Normal)).unwrap();
        drop(embedder.submit(text("left", Class::Normal)).unwrap());
        assert!(embedder.cancel(&"text cancelled".into()) && !chat.cancel(&"text cancelled".into()));
        of_texts.let_go();
        assert_eq!(cancelled.blocking_next(), Some(Event::Failed(RequestError::Cancelled)));
        assert!(matches!(good.blocking_next(), Some(Event::Embedding(values)) if values.len() == VOCAB));
        assert_eq!(Collected::all(&mut going).answers, expected);
        let wrong = chat.submit(text("wrong", Class::Normal)).err().unwrap();
        assert!(matches!(wrong, Refusal::Invalid { ref param, .. } if param == "model"), "{wrong:?}");
        // One ends, the other goes on.
        embedder.drain(Duration::from_secs(60));
        assert!(matches!(
            embedder.submit(text("late", Class::Normal)),
            Err(Refusal::Draining { .. } | Refusal::Stopped)
        ));
        assert_eq!(Collected::all(&mut ask("after")).answers, expected);
        for engine in [&chat, &embedder] {
            eventually("the end", || idle(engine));
            the_books_balance(engine);
        }
        assert_eq!((chat.snapshot().totals.completed, embedder.snapshot().totals.completed), (3, 1));
    }
}

#[test]
fn when_the_worker_dies_both_models_say_so() {
    for scheduler in schedulers() {
        let (chat, embedder, [_, of_texts]) = start(scheduler, |models| models[0].is_deadly = true);
        of_texts.hold.store(true, Ordering::SeqCst);
        let _runs = embedder.submit(text("runs", Class::Normal)).unwrap();
        eventually("its pass", || of_texts.is_holding.load(Ordering::SeqCst));
        let mut waits = embedder.submit(text("waits", Class::Normal)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(50 * MS);
                of_texts.let_go();
            });
            // Its backend goes with it, and the worker's thread with that.
            chat.drain(Duration::ZERO);
        });
        assert_eq!(std::iter::from_fn(|| waits.blocking_next()).last(), Some(Event::Failed(RequestError::Stopped)));
        eventually("the worker's death", || !embedder.is_alive());
        assert!(matches!(embedder.submit(text("late", Class::Normal)), Err(Refusal::Stopped)));
    }
}
