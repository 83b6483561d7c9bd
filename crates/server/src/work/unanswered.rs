//! Answers that come to their end without being computed, in OpenAI's form.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::generate::detach::kept_body;
use crate::generate::{Kept, events};
use crate::http::Frames;

/// Why an answer is not computed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unanswered<'a> {
    /// Somebody has cancelled it.
    Cancelled,
    /// It cannot be: the code of the error, and its words.
    Failed(&'a str, &'a str),
}

/// The end of a response.
pub(super) struct LastOf {
    pub body: Value,
    /// Its last event, as it is streamed.
    pub event: String,
    /// What is told of it.
    pub outcome: &'static str,
}

impl Unanswered<'_> {
    /// The end of a response that had so many events.
    pub fn of_response(self, kept: &Kept, events: u64) -> LastOf {
        const EVENT: &str = "response.failed";
        let mut body = kept.body.clone();
        let status = match self {
            Self::Cancelled => "cancelled",
            Self::Failed(code, message) => {
                body["error"] = json!({"code": code, "message": message});
                "failed"
            }
        };
        body["status"] = status.into();
        let mut frames = Frames::default();
        frames.named(EVENT, &json!({"type": EVENT, "sequence_number": events, "response": body}));
        let event = String::from_utf8_lossy(&frames.take()).into_owned();
        LastOf { body, event, outcome: events::of_response(status) }
    }

    /// What is kept of a request whose client may have gone.
    pub fn of_detached(self) -> Value {
        let (code, message) = match self {
            Self::Cancelled => ("request_cancelled", "the request was cancelled"),
            Self::Failed(code, message) => (code, message),
        };
        let error = json!({"error": {"message": message, "type": "server_error", "param": null, "code": code}});
        kept_body(StatusCode::INTERNAL_SERVER_ERROR, "application/json", &error.to_string())
    }
}
