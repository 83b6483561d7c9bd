//! Responses in the background that come to their end without being computed.

use serde_json::{Value, json};

use super::encode::outcome_of;
use crate::generate::Kept;
use crate::http::Frames;

/// Why an answer is not computed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unanswered<'a> {
    /// Somebody has cancelled it.
    Cancelled,
    /// It cannot be: the code of the error, and its words.
    Failed(&'a str, &'a str),
}

/// The end of such a response.
pub(crate) struct LastOf {
    pub body: Value,
    /// Its last event, as it is streamed.
    pub event: String,
    /// What is told of it.
    pub outcome: &'static str,
}

/// The end of a response that had so many events.
pub(crate) fn unanswered(kept: &Kept, events: u64, why: Unanswered<'_>) -> LastOf {
    const EVENT: &str = "response.failed";
    let mut body = kept.body.clone();
    let status = match why {
        Unanswered::Cancelled => "cancelled",
        Unanswered::Failed(code, message) => {
            body["error"] = json!({"code": code, "message": message});
            "failed"
        }
    };
    body["status"] = status.into();
    let mut frames = Frames::default();
    frames.named(EVENT, &json!({"type": EVENT, "sequence_number": events, "response": body}));
    LastOf { body, event: String::from_utf8_lossy(&frames.take()).into_owned(), outcome: outcome_of(status) }
}
