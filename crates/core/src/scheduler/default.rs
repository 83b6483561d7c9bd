//! First come, first served: a fixed number of sequences, and each request's memory is reserved in full before it starts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parkade_sync::{Condvar, Mutex, MutexGuard};

use crate::config::EngineConfig;
use crate::engine::{EngineError, EngineSnapshot, RequestStatus};
use crate::event::RequestError;
use crate::geometry::Geometry;
use crate::metrics::EngineMetrics;
use crate::refusal::Refusal;
use crate::register::{OwnFigures, Register};
use crate::request::{Request, RequestId};
use crate::stepper::{Reserved, Stepper};
use crate::stream::{self, RequestStream, Waker};

use super::desk::Desk;
use super::{InLine, Scheduler};

/// The default scheduler's handle. Its worker thread ends when it is drained.
pub(crate) struct DefaultScheduler {
    shared: Arc<Shared>,
}

/// What callers and the worker share.
struct Shared {
    desk: Mutex<Desk>,
    /// The worker has something to look at.
    news: Condvar,
    /// The worker has ended.
    gone: Condvar,
    geometry: Geometry,
    metrics: Arc<EngineMetrics>,
    register: Arc<Register>,
    stream_capacity: usize,
}

impl DefaultScheduler {
    pub(crate) fn start(
        stepper: Stepper,
        config: &EngineConfig,
        metrics: Arc<EngineMetrics>,
    ) -> Result<Self, EngineError> {
        let geometry = stepper.geometry();
        let shared = Arc::new(Shared {
            desk: Mutex::new("engine.desk", Desk::new(&geometry, config)),
            news: Condvar::new(),
            gone: Condvar::new(),
            geometry,
            metrics,
            register: Arc::default(),
            stream_capacity: config.stream_capacity,
        });
        let worker = Worker { shared: Arc::clone(&shared), stepper, is_idle: true };
        std::thread::Builder::new()
            .name("parkade-engine".to_owned())
            .spawn(move || run(worker))
            .map_err(|error| EngineError::Thread { message: error.to_string() })?;
        Ok(DefaultScheduler { shared })
    }
}

impl Scheduler for DefaultScheduler {
    fn submit(&self, request: Request, now: Instant) -> Result<RequestStream, Refusal> {
        let need = self.shared.geometry.need(&request)?;
        let mut desk = self.shared.desk.lock();
        desk.door(&request, &need).inspect_err(|_| self.shared.register.refuse(&request.tenant))?;
        let capacity = self.shared.stream_capacity.max(4 * request.n + 8);
        let expected_tokens = (need.answer as u64).saturating_mul(request.n as u64) + request.prompt.len() as u64;
        let registered = self.shared.register.enter(&request, expected_tokens);
        let waker = Arc::clone(&self.shared) as Arc<dyn Waker>;
        let (outlet, stream) = stream::open(request.id.clone(), capacity, waker, registered);
        desk.enter(request, need, outlet, now);
        self.shared.metrics.show_waiting(desk.waiting());
        self.shared.tell(desk);
        Ok(stream)
    }

    fn cancel(&self, id: &RequestId) -> bool {
        let mut desk = self.shared.desk.lock();
        let Some(key) = desk.key_of(id) else {
            return false;
        };
        desk.cancelled.push(key);
        self.shared.tell(desk);
        true
    }

    fn status(&self, id: &RequestId) -> Option<RequestStatus> {
        self.shared.desk.lock().status(id)
    }

    fn snapshot(&self) -> EngineSnapshot {
        let figures = self.shared.desk.lock().figures();
        EngineSnapshot { tenants: self.shared.register.tenants(), ..figures }
    }

    fn own_figures(&self, tenant: &str) -> OwnFigures {
        self.shared.register.own_figures(tenant)
    }

    fn is_alive(&self) -> bool {
        self.shared.desk.lock().worker_alive
    }

    fn drain(&self, limit: Duration, in_line: InLine) {
        let mut desk = self.shared.desk.lock();
        if in_line == InLine::Refuse {
            desk.dismiss_line(&RequestError::ShuttingDown, |error, answers| self.shared.metrics.failed(error, answers));
        }
        let until = Instant::now() + limit.min(LONGEST_DRAIN);
        // A second drain can only shorten the first.
        desk.closing = Some(desk.closing.map_or(until, |earlier| earlier.min(until)));
        desk.news = true;
        self.shared.news.notify_one();
        while desk.worker_alive {
            self.shared.gone.wait(&mut desk);
        }
    }
}

/// A limit that can be added to any time.
const LONGEST_DRAIN: Duration = Duration::from_secs(365 * 24 * 3600);

impl Shared {
    /// Lets the worker look at what was changed.
    fn tell(&self, mut desk: MutexGuard<'_, Desk>) {
        desk.news = true;
        drop(desk);
        self.news.notify_one();
    }
}

impl Waker for Shared {
    fn wake(&self) {
        self.tell(self.desk.lock());
    }
}

/// The thread that drives the stepper.
struct Worker {
    shared: Arc<Shared>,
    stepper: Stepper,
    /// The last step found nothing to do.
    is_idle: bool,
}

fn run(worker: Worker) {
    let shared = Arc::clone(&worker.shared);
    // The worker is dropped inside, so that a panic finds the stepper while it unwinds. Readers then see their streams end.
    let result = catch_unwind(AssertUnwindSafe(move || worker.work()));
    if result.is_err() {
        tracing::error!("the engine's worker panicked; its requests have failed and it takes no more");
    }
    shared.desk.lock().close(|error, answers| shared.metrics.failed(error, answers));
    shared.metrics.show(&shared.desk.lock().figures());
    shared.gone.notify_all();
}

impl Worker {
    /// One turn after the other: take what callers left on the desk, then one step.
    fn work(mut self) {
        while self.take_turn() {
            let report = self.stepper.step(Instant::now(), &mut Reserved);
            self.is_idle = report.progress.is_empty();
        }
    }

    /// Waits until there is something to do, and does all of it but the step. False at the end.
    fn take_turn(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut desk = shared.desk.lock();
        self.book(&mut desk);
        while self.is_idle && !desk.news {
            match self.next_deadline(&desk) {
                Some(deadline) if shared.news.wait_until(&mut desk, deadline) => break,
                Some(_) => {}
                None => shared.news.wait(&mut desk),
            }
        }
        let now = Instant::now();
        if std::mem::take(&mut desk.news) || desk.next_deadline().is_some_and(|deadline| deadline <= now) {
            desk.clear_line(now, |error, answers| shared.metrics.failed(error, answers));
        }
        for arrival in desk.take_admitted() {
            self.stepper.admit(arrival, now);
        }
        for key in std::mem::take(&mut desk.cancelled) {
            self.stepper.fail(key, RequestError::Cancelled, now);
        }
        self.stepper.end_abandoned(now);
        self.stepper.end_expired(now);
        if desk.closing.is_some_and(|at| at <= now) {
            desk.dismiss_line(&RequestError::ShuttingDown, |error, answers| shared.metrics.failed(error, answers));
            let left: Vec<_> = self.stepper.keys().collect();
            for key in left {
                self.stepper.fail(key, RequestError::ShuttingDown, now);
            }
        }
        self.book(&mut desk);
        for arrival in desk.take_admitted() {
            self.stepper.admit(arrival, now);
        }
        desk.closing.is_none() || !desk.is_empty()
    }

    /// Books what has ended and shows the state.
    fn book(&mut self, desk: &mut Desk) {
        desk.note_ended(&self.stepper.take_ended());
        desk.note_step(&self.stepper);
        self.shared.metrics.show(&desk.figures());
    }

    /// The next time at which somebody's time is up.
    fn next_deadline(&self, desk: &Desk) -> Option<Instant> {
        [desk.next_deadline(), self.stepper.next_deadline(), desk.closing].into_iter().flatten().min()
    }
}
