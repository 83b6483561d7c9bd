//! Answers that are kept so that they can be asked for later, and continued.
//!
//! | file | subject |
//! | --- | --- |
//! | `shelf.rs` | where they are: in memory, or in the store |
//! | `memory.rs` | those in memory, within a bound and an age |
//! | `rows.rs` | what an answer is in the store |
//! | `writer.rs` | answers on their way there |
//! | `event_log.rs` | the events of an answer that is computed here |

mod event_log;
mod memory;
mod rows;
mod shelf;
mod writer;

use std::sync::Arc;

use serde_json::Value;

pub(crate) use event_log::{Course, EventLog};
pub(crate) use rows::{name_of_detached, new_row, of_row, owner_name};
pub(crate) use shelf::Shelf;

/// What computes an answer.
pub(crate) trait Job: Send + Sync {
    /// Whether it has not begun.
    fn is_waiting(&self) -> bool;
    /// Ends it; false if it has ended.
    fn cancel(&self) -> bool;
}

/// What kind of answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of the Responses API.
    Response,
    /// One whose client may go away.
    Detached,
}

/// How far an answer is.
#[derive(Clone)]
pub(crate) enum Progress {
    /// It is computed by this process.
    Here(Arc<dyn Job>),
    /// Another computes it, or none yet.
    Elsewhere {
        /// Whether none does.
        is_waiting: bool,
    },
    /// It is as it will be.
    Ended,
}

/// An answer, or one that is under way.
#[derive(Clone)]
pub(crate) struct Kept {
    pub id: String,
    pub kind: Kind,
    /// The key that asked for it.
    pub owner: Option<String>,
    /// The answer as its API has it.
    pub body: Value,
    /// What was asked, as its API has it: a list of items.
    pub items: Value,
    /// What was asked and answered, as chat templates have it: a list of messages.
    pub messages: Value,
    /// Its events, if they are here.
    pub events: Option<Arc<EventLog>>,
    pub progress: Progress,
}

impl Kept {
    /// About as many bytes as it takes.
    fn bytes(&self) -> usize {
        let values = [&self.body, &self.items, &self.messages].map(bytes_of).iter().sum::<usize>();
        values + self.events.as_ref().map_or(0, |events| events.bytes())
    }

    fn is_owned_by(&self, owner: Option<&str>) -> bool {
        self.owner.as_deref() == owner
    }

    /// Whether it is still to be computed, or being computed.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.progress, Progress::Ended)
    }

    /// Whether nobody has begun to compute it.
    pub fn is_waiting(&self) -> bool {
        match &self.progress {
            Progress::Here(job) => job.is_waiting(),
            Progress::Elsewhere { is_waiting } => *is_waiting,
            Progress::Ended => false,
        }
    }
}

/// Bytes that a value takes in memory, about.
pub(crate) fn bytes_of(value: &Value) -> usize {
    const VALUE: usize = size_of::<Value>();
    match value {
        Value::String(text) => VALUE + text.len(),
        Value::Array(list) => VALUE + list.iter().map(bytes_of).sum::<usize>(),
        Value::Object(members) => {
            VALUE + members.iter().map(|(name, value)| name.len() + 2 * VALUE + bytes_of(value)).sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => VALUE,
    }
}
