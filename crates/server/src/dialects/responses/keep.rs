//! What is kept of an answer.

use std::sync::OnceLock;

use serde_json::Value;

use super::input;
use crate::generate::Kept;
use crate::generate::kept::{Kind, Progress};
use crate::http::{ApiError, quote};

/// What is kept of one answer, beside itself.
pub(crate) struct Keeper {
    pub owner: Option<String>,
    /// What was asked: a list of items.
    pub items: Value,
    /// The same as templates have it: a list of messages.
    pub messages: Value,
    /// The answer, when it is there.
    pub end: OnceLock<Value>,
}

impl Keeper {
    /// The answer as it is at its beginning.
    pub fn begun(&self, id: &str, body: Value) -> Kept {
        Kept {
            id: id.to_owned(),
            kind: Kind::Response,
            owner: self.owner.clone(),
            body,
            items: self.items.clone(),
            messages: self.messages.clone(),
            events: None,
            progress: Progress::Ended,
        }
    }

    /// The answer as it is at its end, if it is there.
    pub fn ended(&self, id: &str) -> Option<Kept> {
        let mut kept = self.begun(id, self.end.get()?.clone());
        let output = kept.body["output"].as_array().map(|items| input::of_output(items)).unwrap_or_default();
        if let Some(messages) = kept.messages.as_array_mut() {
            messages.extend(output);
        }
        Some(kept)
    }
}

/// Nothing is kept under this id.
pub(super) fn unknown(id: &str) -> ApiError {
    let message = format!("the response {} is not kept here: it was never, has been deleted or was too old", quote(id));
    ApiError::not_found("response_not_found", message)
}
