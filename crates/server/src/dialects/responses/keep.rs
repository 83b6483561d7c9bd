//! What is kept of an answer.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::input;
use crate::generate::{EventLog, Job, Kept, Store};
use crate::http::{ApiError, quote};

/// Keeps one answer.
pub(crate) struct Keeper {
    pub store: Arc<dyn Store>,
    pub owner: Option<String>,
    /// What was asked.
    pub items: Vec<Value>,
    /// The same as templates have it.
    pub messages: Vec<Value>,
    /// Its events, if it runs by itself.
    pub events: OnceLock<Arc<EventLog>>,
}

impl Keeper {
    /// It runs by itself from now on.
    pub fn begin(&self, id: &str, body: Value, job: Arc<dyn Job>, events: &Arc<EventLog>) {
        let events = self.events.get_or_init(|| Arc::clone(events));
        self.store.put(Kept { job: Some(job), events: Some(Arc::clone(events)), ..self.kept(id, body) });
    }

    /// It has ended.
    pub fn keep(&self, id: &str, body: Value) {
        // Whoever has deleted it while it ran does not want it.
        if self.events.get().is_some() && self.store.get(id, self.owner.as_deref()).is_none() {
            return;
        }
        let mut kept = self.kept(id, body);
        let output = kept.body["output"].as_array().map(|items| input::of_output(items)).unwrap_or_default();
        if let Some(messages) = kept.messages.as_array_mut() {
            messages.extend(output);
        }
        self.store.put(kept);
    }

    fn kept(&self, id: &str, body: Value) -> Kept {
        Kept {
            id: id.to_owned(),
            owner: self.owner.clone(),
            body,
            items: self.items.clone().into(),
            messages: self.messages.clone().into(),
            events: self.events.get().cloned(),
            job: None,
        }
    }
}

/// Nothing is kept under this id.
pub(super) fn unknown(id: &str) -> ApiError {
    let message = format!("the response {} is not kept here: it was never, has been deleted or was too old", quote(id));
    ApiError::not_found("response_not_found", message)
}
