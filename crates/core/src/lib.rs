//! Parkade's engine: sequences, KV blocks, prefix cache, sampler, step loop, schedulers.
//!
//! [`load`] turns a model file into an [`Engine`]; [`Engine::submit`] turns a [`Request`] into a [`RequestStream`] of [`Event`]s,
//! or into a [`Refusal`] at once. Each stream ends with exactly one [`Event::Done`] or [`Event::Failed`]; dropping it cancels.
//!
//! Inside, the stepper is the mechanism: sequences, the [`blocks::BlockPool`] with its prefix cache, one plan, one ragged forward pass, sampling
//! and delivery per step, without threads, clocks or policy. A scheduler is the policy that admits requests to it.

mod backend;
pub mod blocks;
mod config;
mod engine;
mod event;
mod geometry;
mod load;
mod memory;
mod metrics;
#[cfg(feature = "parking-lot-scheduler")]
pub mod parking_lot;
mod record;
mod refusal;
mod register;
mod request;
mod sampler;
mod sampling;
mod scheduler;
mod stepper;
mod stop;
mod stream;
mod vocabulary;

pub use backend::{Backend, BackendError, ModelBackend, Pass};
pub use config::{EngineConfig, SchedulerKind};
pub use engine::{ClassFigures, Engine, EngineError, EngineSnapshot, RequestStatus, TenantFigures, Totals};
pub use event::{Event, FinishReason, RequestError, TokenLogprob, Usage};
pub use load::{LoadError, LoadOptions, Loaded, load};
pub use metrics::{EngineMetrics, StepTime};
pub use record::{End, RequestRecord, RequestState};
pub use refusal::{Refusal, retry_seconds};
pub use request::{CacheScope, Priority, Request, RequestId};
pub use sampling::{OutOfRange, SamplingParams};
pub use scheduler::InLine;
pub use stream::RequestStream;
pub use vocabulary::{Decoder, Vocabulary};

/// A token's number in the vocabulary.
pub use parkade_model::TokenId;

/// The tests inside the crate and those in `tests/` share their fake model, which names the crate from outside.
#[cfg(test)]
extern crate self as parkade_core;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod fakes;
