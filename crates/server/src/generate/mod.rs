//! From a request that was read to its answer, whatever API it came by: state, submission, events, charge and settlement.
//!
//! | file | subject |
//! | --- | --- |
//! | `state.rs` | what all handlers share: [`AppState`](state::AppState) |
//! | `deadlines.rs` | how soon a client wants its answer |
//! | `ignored_fields.rs` | fields that nobody reads |
//! | `answers.rs` | submission, and the events of all prompts as one sequence |
//! | `charge.rs` | what a request is charged on its tenant's rate limits |
//! | `settlement.rs` | what is settled when the engine is done |
//! | `in_flight.rs` | the requests that can be asked for, cancelled and attached to |
//! | `stream.rs` | an answer as a stream of events |
//! | `attach.rs` | reading along with such a stream |
//! | `refusals.rs` | what refusals and failures of the engine are as errors |

pub(crate) mod answers;
pub(crate) mod attach;
mod charge;
pub(crate) mod deadlines;
pub(crate) mod ignored_fields;
pub(crate) mod in_flight;
mod refusals;
mod settlement;
pub(crate) mod state;
pub(crate) mod stream;
