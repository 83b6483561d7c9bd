//! Streams that can be attached to while they run and for a while after, from any position that is still remembered.

use std::sync::Arc;

use crate::request::RequestId;
use crate::requests::LiveRequests;

pub use crate::requests::{AttachError, AttachedStream, ReplayLimits};

/// The streams of the requests that are here, and of those that ended lately.
/// [`InferenceWorkerPool::streams`](super::InferenceWorkerPool::streams) gives a running model's.
///
/// ```no_run
/// use parkade_core::parking_lot::{AttachError, InferenceWorkerPool};
///
/// /// Goes on with a stream after a broken connection, from the first event that has not been seen.
/// async fn go_on(pool: &InferenceWorkerPool, id: &str, from: u64) -> Result<(), AttachError> {
///     let mut along = pool.streams().attach(&id.into(), from)?;
///     while let Some(event) = along.next().await {
///         let (number, event) = event?;
///         println!("{number}: {event:?}");
///     }
///     Ok(())
/// }
/// ```
pub struct StreamingRegistry {
    requests: Arc<LiveRequests>,
}

impl StreamingRegistry {
    pub(super) fn of(requests: Arc<LiveRequests>) -> Self {
        StreamingRegistry { requests }
    }

    /// Reads along from event number `from` (0 is the first), which may be the next one to come. The stream is not cancelled
    /// while somebody reads along.
    ///
    /// # Errors
    /// If there is no such stream, or its events from there on are not remembered any more or are not the next ones to come.
    pub fn attach(&self, id: &RequestId, from: u64) -> Result<AttachedStream, AttachError> {
        self.requests.attach(id, from)
    }

    /// How many streams are remembered, running ones included.
    pub fn len(&self) -> usize {
        self.requests.remembered()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for StreamingRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamingRegistry").field("streams", &self.len()).finish_non_exhaustive()
    }
}
