//! What is kept of an answer.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::input;
use crate::generate::{Entry, EventLog, Kept, Store};

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
    pub fn begin(&self, id: &str, body: Value, entry: &Arc<Entry>, events: &Arc<EventLog>) {
        let events = self.events.get_or_init(|| Arc::clone(events));
        self.store.put(Kept {
            entry: Some(Arc::clone(entry)),
            events: Some(Arc::clone(events)),
            ..self.kept(id, body)
        });
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
            entry: None,
        }
    }
}
