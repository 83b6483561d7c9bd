//! From a request that was read to its answer, whatever API it came by: state, submission, events, charge and settlement.
//!
//! | file | subject |
//! | --- | --- |
//! | `state.rs` | what all handlers share: [`AppState`] |
//! | `model_entry.rs` | a model and what belongs to it |
//! | `defaults.rs` | what an operator wants of requests that do not say: [`Defaults`] |
//! | `complete.rs` | the handler of all operations: [`Operation`] |
//! | `task.rs` | what a body asks for |
//! | `encoder.rs` | how answers are written: [`Encoder`] |
//! | `deadlines.rs` | how soon a client wants its answer |
//! | `ignored_fields.rs` | fields that nobody reads |
//! | `answers.rs` | submission, and the events of all prompts as one sequence |
//! | `texts.rs` | the handler of operations that make numbers of texts: [`TextOperation`] |
//! | `in_hand.rs` | how many bodies of texts are being worked off |
//! | `charge.rs` | what a request is charged on its tenant's rate limits |
//! | `settlement.rs` | what is settled when the engine is done |
//! | `in_flight.rs` | the requests that can be asked for, cancelled and attached to |
//! | `supersedes.rs` | requests that take the place of earlier ones |
//! | `stream.rs` | an answer as a stream of events |
//! | `background.rs` | an answer that is computed whether or not somebody reads |
//! | `event_log.rs` | its events, for whoever reads them later |
//! | `events.rs` | events that webhooks are told |
//! | `deeds.rs` | who did what, for the book of deeds |
//! | `kept.rs` | answers that can be asked for later: [`Store`] |
//! | `durable.rs` | work that outlives its client: the store, and who does its work here |
//! | `waiting.rs` | what the reader of a stream is told while nothing comes |
//! | `attach.rs` | reading along with such a stream |
//! | `refusals.rs` | what refusals and failures of the engine are as errors |

mod answers;
pub(crate) mod attach;
mod background;
mod charge;
mod complete;
mod deadlines;
pub(crate) mod deeds;
mod defaults;
mod durable;
mod encoder;
mod event_log;
pub(crate) mod events;
mod ignored_fields;
pub(crate) mod in_flight;
mod in_hand;
mod kept;
mod model_entry;
mod refusals;
mod settlement;
mod state;
mod stream;
mod supersedes;
mod task;
mod texts;
mod waiting;

pub(crate) use complete::{Inspection, Operation, complete, inspect};
pub(crate) use deadlines::Deadlines;
pub use defaults::Defaults;
pub(crate) use durable::of_store;
pub(crate) use encoder::{ChunkEncoder, Collected, CollectedPrompt, Encoder};
pub(crate) use event_log::EventLog;
pub(crate) use ignored_fields::IgnoredFields;
pub(crate) use in_flight::Entry;
pub(crate) use kept::{Job, Kept, Store, bytes_of};
pub(crate) use model_entry::unix_seconds;
pub use model_entry::{ANY_NAME, ModelEntry};
pub(crate) use refusals::{refuse_hopeless, untokenisable};
pub use state::{AppState, DEFAULT_MODEL};
pub(crate) use task::{Task, WantedFormat};
pub(crate) use texts::{Sender, TextOperation, Texts, handle as embed, wait_for_all};
pub(crate) use waiting::Silence;
