//! Schedulers: who is admitted to the stepper, and when.

mod default;
mod desk;
mod estimate;

use std::time::{Duration, Instant};

use crate::engine::{EngineSnapshot, RequestStatus};
use crate::refusal::Refusal;
use crate::register::OwnFigures;
use crate::request::{Request, RequestId};
use crate::stream::RequestStream;

pub(crate) use default::DefaultScheduler;

/// What becomes of the requests in line when an engine is drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InLine {
    /// They run too, as far as the limit allows.
    #[default]
    Finish,
    /// They end at once with [`RequestError::ShuttingDown`](crate::RequestError::ShuttingDown), so that their clients can go elsewhere.
    Refuse,
}

/// A policy with its worker.
pub(crate) trait Scheduler: Send + Sync {
    /// Takes a valid request or refuses it, at once.
    fn submit(&self, request: Request, now: Instant) -> Result<RequestStream, Refusal>;
    /// Cancels a request. False if it is not there.
    fn cancel(&self, id: &RequestId) -> bool;
    /// Where a request stands.
    fn status(&self, id: &RequestId) -> Option<RequestStatus>;
    /// The state in figures.
    fn snapshot(&self) -> EngineSnapshot;
    /// One tenant's own figures.
    fn own_figures(&self, tenant: &str) -> OwnFigures;
    /// Refuses new requests, finishes those that are there, cancels what is left after `limit`, and waits for the worker's end.
    fn drain(&self, limit: Duration, in_line: InLine);
    /// Whether its worker is there.
    fn is_alive(&self) -> bool;
    /// Whether it serves requests by class.
    fn has_classes(&self) -> bool {
        false
    }
    /// The `parking-lot` scheduler, if it is this one.
    #[cfg(feature = "parking-lot-scheduler")]
    fn parking_lot(&self) -> Option<&crate::parking_lot::InferenceWorkerPool> {
        None
    }
}
