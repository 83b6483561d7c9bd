//! Everything around the machine: clients who come, read, leave and cancel, each at its moment.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parkade_core::{
    Class, Clock, Engine, EngineSnapshot, Event, Refusal, Request, SamplingParams, SchedulerKind, TokenId, Totals,
};
use parkade_sync::Mutex;

use crate::client::{Client, Expected};
use crate::forms::Forms;
use crate::machine::{FIRST_PLAIN, POISON, VOCAB, mix};

/// What goes wrong in a pass.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Error,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Arrives,
    Reads(u64),
    Cancels(u64),
    Leaves(u64),
    Detaches(u64),
    Attaches(u64),
}

const TENANTS: u64 = 5;

fn tenant_name(number: u64) -> String {
    format!("tenant {number}")
}

#[derive(Debug, Default)]
struct Counts {
    submitted: u64,
    refused: u64,
    done: u64,
    failed: BTreeMap<&'static str, u64>,
    silent: u64,
    attached: u64,
    detached: u64,
    passes: u64,
    forms: u64,
}

pub struct World {
    scheduler: SchedulerKind,
    random: u64,
    clock: Clock,
    start: Instant,
    engine: Option<Engine>,
    /// By moment, then by number: what happens at the same time does so in the order in which it was decided.
    agenda: BinaryHeap<Reverse<(Instant, u64, Act)>>,
    numbered: u64,
    to_come: usize,
    clients: BTreeMap<u64, Client>,
    counts: Counts,
    forms: Forms,
    has_faults: bool,
}

impl World {
    pub fn new(scheduler: SchedulerKind, seed: u64, requests: usize, clock: Clock) -> World {
        let start = clock.now();
        World {
            scheduler,
            random: mix(seed),
            clock,
            start,
            engine: None,
            agenda: BinaryHeap::new(),
            numbered: 0,
            to_come: requests,
            clients: BTreeMap::new(),
            counts: Counts::default(),
            forms: Forms::default(),
            has_faults: true,
        }
    }

    /// One in which no pass goes wrong.
    pub fn without_faults(self) -> World {
        World { has_faults: false, ..self }
    }

    pub fn opens(&mut self, engine: Engine) {
        self.forms = Forms::new(&engine);
        self.engine = Some(engine);
        self.plans(Duration::ZERO, Act::Arrives);
    }

    fn engine(&self) -> Engine {
        self.engine.clone().expect("it is open")
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(1);
        mix(self.random) % limit
    }

    fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }

    fn plans(&mut self, wait: Duration, act: Act) {
        self.numbered += 1;
        self.agenda.push(Reverse((self.clock.now() + wait, self.numbered, act)));
    }

    /// What goes wrong with the next pass, if anything does.
    pub fn fault(&mut self) -> Option<Fault> {
        self.counts.passes += 1;
        let fault = match self.below(3_000) {
            _ if !self.has_faults => None,
            0 => Some(Fault::Error),
            1 => Some(Fault::Panic),
            _ => None,
        };
        if fault.is_some() {
            self.clients.values_mut().for_each(|client| client.faults = true);
        }
        fault
    }

    /// The machine works for so long; what others do meanwhile happens meanwhile.
    pub fn works(world: &Arc<Mutex<World>>, time: Duration) {
        let mut world = world.lock();
        let end = world.clock.now() + time;
        while world.happens_before(end) {}
        let rest = end.saturating_duration_since(world.clock.now());
        world.clock.advance(rest);
    }

    /// The machine has nothing to do until then. False if nothing will ever happen.
    pub fn waits(&mut self, until: Option<Instant>) -> bool {
        let next = self.agenda.peek().map(|Reverse((moment, ..))| *moment);
        let Some(moment) = next.into_iter().chain(until).min() else { return false };
        if !self.happens_before(moment) {
            let rest = moment.saturating_duration_since(self.clock.now());
            self.clock.advance(rest);
        }
        true
    }

    /// The next thing that happens until then, if there is one.
    fn happens_before(&mut self, end: Instant) -> bool {
        let Some(&Reverse((moment, _, act))) = self.agenda.peek() else { return false };
        if moment > end {
            return false;
        }
        self.agenda.pop();
        self.clock.advance(moment.saturating_duration_since(self.clock.now()));
        match act {
            Act::Arrives => self.arrives(),
            Act::Reads(number) => self.reads(number),
            Act::Cancels(number) => self.cancels(number),
            Act::Leaves(number) => self.leaves(number),
            Act::Detaches(number) => self.detaches(number),
            Act::Attaches(number) => self.attaches(number),
        }
        true
    }

    /// Hours of calm and hours of twice what the machine can do.
    fn next_arrival(&mut self) -> Duration {
        let is_rush = (self.clock.since(self.start).as_secs() / 20) % 2 == 1;
        let mean = if is_rush { 1_200 } else { 3_500 };
        // A sum of three is near enough to what strangers do.
        Duration::from_micros((0..3).map(|_| self.below(mean * 2 / 3)).sum())
    }

    fn request(&mut self, number: u64) -> (Request, Expected) {
        let (mut request, expected) = if self.one_in(20) {
            self.counts.forms += 1;
            let kind = self.below(1 << 20);
            (self.forms.request(number.to_string(), kind), self.forms.expected(kind))
        } else {
            let request = self.plain_request(number);
            let expected = Expected::of(&request);
            (request, expected)
        };
        request.n = if self.one_in(15) { 2 + self.below(2) as usize } else { 1 };
        request.tenant = tenant_name(self.below(TENANTS));
        request.class = Class::ALL[self.below(4) as usize];
        if self.one_in(5) {
            request.timeout = Some(Duration::from_millis(20 + self.below(400)));
        }
        if self.one_in(8) {
            request.ttft_slo = Some(Duration::from_millis(10 + self.below(200)));
        }
        (request, expected)
    }

    /// One without a format.
    fn plain_request(&mut self, number: u64) -> Request {
        let plain = VOCAB as u64 - u64::from(FIRST_PLAIN);
        // Half of the prompts begin like others, for the prefix cache.
        let shared = if self.one_in(2) { 4 * (1 + self.below(3)) } else { 0 };
        let family = self.below(6);
        let mut prompt: Vec<TokenId> =
            (0..shared).map(|at| FIRST_PLAIN + (mix(family * 64 + at) % plain) as TokenId).collect();
        for _ in 0..=self.below(24) {
            prompt.push(FIRST_PLAIN + self.below(plain) as TokenId);
        }
        if self.one_in(400) {
            prompt.push(POISON);
        }
        let answer = if self.one_in(12) { 20 + self.below(36) } else { 1 + self.below(10) };
        Request {
            max_tokens: Some(answer as usize),
            sampling: SamplingParams { temperature: 0.0, ..SamplingParams::default() },
            ..Request::new(number.to_string(), prompt)
        }
    }

    fn arrives(&mut self) {
        self.to_come -= 1;
        if self.to_come > 0 {
            let wait = self.next_arrival();
            self.plans(wait, Act::Arrives);
        }
        let number = self.counts.submitted;
        self.counts.submitted += 1;
        let (request, expected) = self.request(number);
        let now = self.clock.now();
        match self.engine().submit(request.clone()) {
            Err(refusal) => {
                let is_known = match &refusal {
                    Refusal::QueueFull { retry_after, .. } => !retry_after.is_zero(),
                    Refusal::Deadline { .. } => request.timeout.or(request.ttft_slo).is_some(),
                    _ => false,
                };
                assert!(is_known, "{number} was refused: {refusal}");
                self.counts.refused += 1;
            }
            Ok(stream) => {
                let is_slow = self.one_in(30);
                let pace = Duration::from_micros(if is_slow { 600_000 } else { 4_000 + self.below(12_000) });
                self.clients.insert(number, Client::new(&request, expected, stream, pace, now));
                self.plans(pace, Act::Reads(number));
                let moment = Duration::from_micros(self.below(80_000));
                match self.below(40) {
                    0 | 1 => self.plans(moment, Act::Cancels(number)),
                    2 => self.plans(moment, Act::Leaves(number)),
                    3 => {
                        self.plans(moment / 4, Act::Attaches(number));
                        self.plans(moment, Act::Leaves(number));
                    }
                    4 => {
                        self.plans(moment, Act::Detaches(number));
                        self.plans(moment * 3, Act::Attaches(number));
                    }
                    _ => {}
                }
            }
        }
    }

    fn reads(&mut self, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let pace = client.pace;
        client.check_life(self.clock.now());
        if client.reads() { self.goes(number) } else { self.plans(pace, Act::Reads(number)) }
    }

    /// A client is done.
    fn goes(&mut self, number: u64) {
        let client = self.clients.remove(&number).expect("it is here");
        match client.ending() {
            Some(Event::Done(_)) => self.counts.done += 1,
            Some(Event::Failed(error)) => *self.counts.failed.entry(error.reason()).or_default() += 1,
            _ => self.counts.silent += 1,
        }
    }

    fn cancels(&mut self, number: u64) {
        let engine = self.engine();
        let Some(client) = self.clients.get_mut(&number) else { return };
        if engine.cancel(&client.id) {
            client.cancelled = true;
        }
    }

    fn leaves(&mut self, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        client.left = true;
        client.stream = None;
        if client.is_over() {
            self.goes(number);
        }
    }

    fn detaches(&mut self, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        client.detached = true;
        client.stream.take().expect("nobody else has it").detach();
        self.counts.detached += 1;
    }

    fn attaches(&mut self, number: u64) {
        let engine = self.engine();
        let Some(client) = self.clients.get_mut(&number) else { return };
        // One who comes late gets everything from the start.
        client.attached = Some(engine.pool().streams().attach(&client.id, 0).expect("it is remembered"));
        self.counts.attached += 1;
    }

    /// What must hold after each turn, seen from outside.
    pub fn check(&mut self) {
        let now = self.clock.now();
        let snapshot = self.engine().snapshot();
        let totals = snapshot.totals;
        let given_up = totals.cancelled + totals.superseded;
        let ended = totals.refused + totals.completed + totals.failed + given_up + totals.expired;
        let here = (snapshot.requests.waiting + snapshot.requests.running + snapshot.requests.parked) as u64;
        assert_eq!(totals.submitted, ended + here, "the books do not balance: {snapshot:?}");
        assert_eq!((totals.submitted, totals.refused), (self.counts.submitted, self.counts.refused));
        let blocks = snapshot.kv_blocks.used + snapshot.kv_blocks.cached + snapshot.kv_blocks.free;
        assert_eq!(blocks, snapshot.kv_blocks.total, "{snapshot:?}");
        let states = snapshot.state_slots;
        assert_eq!(states.used + states.cached + states.free, states.total, "{snapshot:?}");
        assert!(snapshot.sequences.running <= snapshot.sequences.limit, "{snapshot:?}");
        assert!(snapshot.requests.waiting <= 2 * snapshot.max_queue_depth, "{snapshot:?}");
        // One client after the other, so that each is looked at now and then.
        let turn = self.counts.passes % 64;
        for (_, client) in self.clients.iter().filter(|(number, _)| *number % 64 == turn) {
            let reads_late = client.detached || client.pace > Duration::from_millis(100);
            client.check_deadline(now, client.is_over() || reads_late);
        }
    }

    /// Everybody has gone: nothing may be left.
    pub fn ends(&mut self) {
        assert_eq!(self.to_come, 0);
        assert!(self.clients.is_empty(), "{:?} wait for ever", self.clients.keys().collect::<Vec<_>>());
        self.check();
        let now = self.engine().snapshot();
        assert_eq!(
            (now.requests.waiting, now.requests.running, now.requests.parked, now.requests.paused),
            (0, 0, 0, 0),
            "{now:?}"
        );
        assert_eq!((now.kv_blocks.used, now.kv_blocks.promised), (0, 0), "{now:?}");
        assert_eq!(now.kv_blocks.available, now.kv_blocks.total, "{now:?}");
        assert_eq!(now.state_slots.used, 0, "{now:?}");
        self.check_books(&now);
        let Counts { submitted, refused, done, ref failed, silent, attached, detached, .. } = self.counts;
        assert_eq!(submitted, refused + done + silent + failed.values().sum::<u64>(), "{:?}", self.counts);
        if submitted < 15_000 {
            return;
        }
        // Not one kind of thing was left out by chance.
        assert!(
            self.counts.forms > 0 && refused > 0 && done > 0 && silent > 0 && attached > 0 && detached > 0,
            "{:?}",
            self.counts
        );
        if self.scheduler == SchedulerKind::ParkingLot {
            let totals = now.totals;
            assert!(totals.preemptions > 0 && totals.class_preemptions > 0 && totals.resumptions > 0, "{totals:?}");
        }
    }

    /// What each tenant has been told of itself comes to what all are told together.
    fn check_books(&self, all: &EngineSnapshot) {
        let all = all.totals;
        let engine = self.engine();
        let own: Vec<Totals> = (0..TENANTS).map(|tenant| engine.snapshot_of(&tenant_name(tenant)).totals).collect();
        let sum = |of: fn(&Totals) -> u64| own.iter().map(of).sum::<u64>();
        for (name, of) in [
            ("submitted", (|totals| totals.submitted) as fn(&Totals) -> u64),
            ("refused", |totals| totals.refused),
            ("completed", |totals| totals.completed),
            ("failed", |totals| totals.failed),
            ("cancelled", |totals| totals.cancelled),
            ("superseded", |totals| totals.superseded),
            ("expired", |totals| totals.expired),
            ("preemptions", |totals| totals.preemptions),
            ("class_preemptions", |totals| totals.class_preemptions),
            ("resumptions", |totals| totals.resumptions),
        ] {
            assert_eq!(sum(of), of(&all), "{name}: {own:?} and {all:?}");
        }
    }

    pub fn report(&self) -> String {
        let hours = self.clock.since(self.start).as_secs_f64() / 3600.0;
        format!("{hours:.2} h, {:?}", self.counts)
    }
}
