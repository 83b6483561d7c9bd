//! Parkade's engine: sequences, KV blocks, prefix cache, sampler, step loop, schedulers.
//!
//! [`load`] turns a model file into an [`Engine`]; [`Loaded::chat`] turns messages into a [`Request`]; [`Engine::submit`] turns a request
//! into a [`RequestStream`] of [`Event`]s, or into a [`Refusal`] at once. Each stream ends with exactly one [`Event::Done`] or
//! [`Event::Failed`]; dropping it cancels, [`RequestStream::detach`] lets the request run on.
//!
//! Inside, the stepper is the mechanism: sequences, the [`blocks::BlockPool`] with its prefix cache, one plan, one ragged forward pass, sampling
//! and delivery per step, without threads, clocks or policy. Who is admitted to it, and when, is decided by a policy of `parkade-pool`:
//! [`SchedulerKind`] names them, and [`parking_lot`] drives any of them.

mod backend;
pub mod blocks;
mod chat;
mod config;
mod engine;
mod error;
mod event;
mod figures;
mod geometry;
mod load;
mod memory;
mod metrics;
pub mod parking_lot;
mod refusal;
mod request;
mod requests;
mod sampler;
mod sampling;
mod stepper;
mod stop;
mod stream;
mod vocabulary;

pub use backend::{Backend, BackendError, ModelBackend, Pass};
pub use chat::{Message, PromptError, Role};
pub use config::{EngineConfig, SchedulerKind};
pub use engine::Engine;
pub use error::EngineError;
pub use event::{Event, FinishReason, RequestError, TokenLogprob, Usage};
pub use figures::{ClassFigures, EngineSnapshot, RequestStatus, TenantFigures, Totals};
pub use load::{LoadError, LoadOptions, Loaded, load};
pub use metrics::{EngineMetrics, StepTime};
pub use parkade_pool::{
    Class, Clock, ConfigError, DrainWaiting, Limits, PerClass, Reserve, TenantField, TenantPolicy, TokenPrices, Turn,
    Worker,
};
pub use refusal::{Refusal, retry_seconds};
pub use request::{CacheScope, Request, RequestId};
pub use requests::{End, LiveRequest, RequestState};
pub use sampling::{OutOfRange, SamplingParams};
pub use stream::RequestStream;
pub use vocabulary::{Decoder, Vocabulary};

// What this API speaks of and the crates below define, so that it can be used alone.
pub use parkade_kernels::{KvCache, KvType, Span, Team};
pub use parkade_model::chat_template::{ChatInput, ChatTemplate, TemplateError};
pub use parkade_model::gguf::{Gguf, GgufError};
pub use parkade_model::tokenizer::{Bos, SpecialTokens, TextStream, Tokenizer, TokenizerError};
pub use parkade_model::{Batch, Model, ModelConfig, ModelError, Outputs, Prompt, TokenId};

/// The tests inside the crate and those in `tests/` share their fake model, which names the crate from outside.
#[cfg(test)]
extern crate self as parkade_core;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod fakes;
