//! One request between its submission and its last event, and what all of them share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use parkade_pool::{PoolHandle, TaskId};
use parkade_sync::Mutex;

use crate::event::RequestError;
use crate::metrics::EngineMetrics;
use crate::record::RequestRecord;
use crate::register::Register;
use crate::request::{RequestId, RequestKey};
use crate::stepper::{Arrival, Census};
use crate::stream::{Outlet, Tape as _, Waker};

use super::resource_adapter::ResourceAdapter;
use super::streaming_registry::{Replay, StreamingRegistry};
use super::types::TaskMetadata;

/// What callers and the worker share.
pub(super) struct Shared {
    pub(super) adapter: ResourceAdapter,
    pub(super) registry: StreamingRegistry,
    pub(super) metrics: Arc<EngineMetrics>,
    pub(super) register: Arc<Register>,
    /// Reaches the pool; it is there from the start on, but only after its executor is.
    pub(super) pool: OnceLock<PoolHandle>,
    /// Held while a request takes its name: of two that want the same one, the second must not touch the stream of the first.
    pub(super) names: Mutex<()>,
    /// Every request that has not had its last event.
    live: Mutex<HashMap<RequestId, Arc<Ticket>>>,
    /// What is cancelled from now on is cancelled by the shutdown.
    pub(super) closing: AtomicBool,
    /// The stepper's counts as of the last step.
    pub(super) census: Mutex<Census>,
}

/// One request.
pub(super) struct Ticket {
    pub(super) metadata: TaskMetadata,
    pub(super) record: Arc<RequestRecord>,
    pub(super) bell: Arc<Bell>,
    replay: Arc<Replay>,
}

/// How a request's reader reaches the lot.
pub(super) struct Bell {
    pool: PoolHandle,
    /// Known as soon as the request was taken: before that it has no reader.
    pub(super) task: OnceLock<TaskId>,
    /// Somebody does not want the request any more. Relaxed: it only explains an end that is ordered by the pool's lock.
    pub(super) cancelled: AtomicBool,
    /// Its own reader has left. SeqCst, as the count of those who read along: of the last two who leave at once, one sees the other gone.
    left: AtomicBool,
    replay: Arc<Replay>,
}

impl Bell {
    pub(super) fn cancel(&self) -> bool {
        self.cancelled.store(true, Ordering::Relaxed);
        self.task.get().is_some_and(|&task| self.pool.cancel(task))
    }
}

impl Waker for Bell {
    fn wake(&self) {
        if let Some(&task) = self.task.get() {
            self.pool.unpause(task);
        }
        self.pool.wake();
    }

    fn left(&self) {
        self.left.store(true, Ordering::SeqCst);
        if self.replay.readers() == 0 {
            self.cancel();
        } else {
            // Others read along, and they are never waited for: if it was parked for its own reader, it goes on.
            self.wake();
        }
    }

    fn nobody_reads_along(&self) {
        if self.left.load(Ordering::SeqCst) {
            self.cancel();
        }
    }
}

impl Shared {
    pub(super) fn new(adapter: ResourceAdapter, registry: StreamingRegistry, metrics: Arc<EngineMetrics>) -> Self {
        Shared {
            adapter,
            registry,
            metrics,
            register: Arc::default(),
            pool: OnceLock::new(),
            names: Mutex::new("parking_lot.names", ()),
            live: Mutex::new("parking_lot.live", HashMap::new()),
            closing: AtomicBool::new(false),
            census: Mutex::new("parking_lot.census", Census::default()),
        }
    }

    /// The pool's handle.
    pub(super) fn pool(&self) -> &PoolHandle {
        self.pool.get().expect("the handle is set before the first request is taken")
    }

    /// Something for a new request's stream to ring, and the tape for those who read along.
    pub(super) fn bell(&self, id: &RequestId) -> (Arc<Bell>, Arc<Replay>) {
        let replay = self.registry.open(id);
        let bell = Arc::new(Bell {
            pool: self.pool().clone(),
            task: OnceLock::new(),
            cancelled: AtomicBool::new(false),
            left: AtomicBool::new(false),
            replay: Arc::clone(&replay),
        });
        let weak: Weak<Bell> = Arc::downgrade(&bell);
        replay.rings(weak);
        (bell, replay)
    }

    /// Notes a new request, whose name is free.
    pub(super) fn enter(&self, ticket: &Arc<Ticket>) {
        let before = self.live.lock().insert(ticket.metadata.id.clone(), Arc::clone(ticket));
        debug_assert!(before.is_none(), "names are taken one at a time");
    }

    pub(super) fn is_live(&self, id: &RequestId) -> bool {
        self.live.lock().contains_key(id)
    }

    pub(super) fn find(&self, id: &RequestId) -> Option<Arc<Ticket>> {
        self.live.lock().get(id).cloned()
    }

    /// A request was refused after all: nothing of it stays.
    pub(super) fn withdraw(&self, ticket: &Ticket) {
        self.live.lock().remove(&ticket.metadata.id);
        self.registry.abandon(&ticket.metadata.id, &ticket.replay);
    }

    /// A request has had its last event.
    pub(super) fn close(&self, ticket: &Ticket) {
        self.live.lock().remove(&ticket.metadata.id);
        self.registry.close(&ticket.metadata.id, &ticket.replay, Instant::now());
    }

    /// Why the lot ended a request that had not failed by itself, in line or when it had run.
    pub(super) fn verdict(&self, ticket: &Ticket, in_line: bool) -> RequestError {
        if ticket.bell.cancelled.load(Ordering::Relaxed) {
            return RequestError::Cancelled;
        }
        let TaskMetadata { deadline, first_token_deadline, submitted_at, .. } = ticket.metadata;
        // A first token that has come has kept its deadline.
        let limits = [deadline, first_token_deadline.filter(|_| ticket.record.generated() == 0)];
        let allowed = |limit: Instant| RequestError::Deadline { allowed: limit.duration_since(submitted_at) };
        if let Some(passed) = limits.into_iter().flatten().filter(|&limit| limit <= Instant::now()).max() {
            return allowed(passed);
        }
        if self.closing.load(Ordering::Relaxed) {
            return RequestError::ShuttingDown;
        }
        if !self.pool().is_alive() {
            return RequestError::Stopped;
        }
        // The lot gives up who waits and cannot be done in time any more.
        let given_up = limits.into_iter().flatten().min().filter(|_| in_line);
        // Nobody else is ended while there is a worker, but by a panic that the worker has outlived.
        given_up.map_or_else(
            || RequestError::Panicked { message: "it was part of a step that panicked".to_owned() },
            allowed,
        )
    }
}

impl Ticket {
    pub(super) fn new(metadata: TaskMetadata, outlet: &Outlet, bell: Arc<Bell>, replay: Arc<Replay>) -> Self {
        Ticket { metadata, record: Arc::clone(outlet.record()), bell, replay }
    }
}

/// A request that the lot has taken and no worker has taken up. One that is dropped has its last event by that.
pub struct Queued {
    arrival: Option<Arrival>,
    pub(super) ticket: Arc<Ticket>,
    shared: Arc<Shared>,
}

impl Queued {
    pub(super) fn new(arrival: Arrival, ticket: Arc<Ticket>, shared: Arc<Shared>) -> Self {
        Queued { arrival: Some(arrival), ticket, shared }
    }

    /// The request, for the worker that takes it up.
    pub(super) fn take(mut self) -> (RequestKey, Arrival, Arc<Ticket>) {
        let arrival = self.arrival.take().expect("a request is taken up once");
        (arrival.key, arrival, Arc::clone(&self.ticket))
    }

    /// It was refused: its stream is dropped without a word, because nobody has it.
    pub(super) fn withdraw(mut self) {
        if let Some(arrival) = self.arrival.take() {
            arrival.outlet.refuse();
        }
        self.shared.withdraw(&self.ticket);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(arrival) = self.arrival.take() {
            let error = self.shared.verdict(&self.ticket, true);
            self.shared.metrics.failed(&error, self.ticket.record.answers);
            self.shared.close(&self.ticket);
            arrival.fail(error);
        }
    }
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queued").field("metadata", &self.ticket.metadata).finish_non_exhaustive()
    }
}
