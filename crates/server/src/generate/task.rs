//! What the body of a request asks for, whatever API it came by.

use std::sync::Arc;

use parkade_core::Request;

use crate::generate::{Encoder, IgnoredFields, ModelEntry};

/// Work for the engine, and how its answer is written.
pub(crate) struct Task {
    pub model: Arc<ModelEntry>,
    /// One for each prompt.
    pub requests: Vec<Request>,
    /// The field of the body that the prompts came from.
    pub prompt_field: &'static str,
    /// Whether the answer is sent as it is computed.
    pub stream: bool,
    /// What of the body nobody reads.
    pub ignored: Option<IgnoredFields>,
    pub encoder: Arc<dyn Encoder>,
}
