#![doc = include_str!("../README.md")]

mod backend;
pub mod blocks;
mod chat;
mod config;
mod engine;
mod error;
mod event;
mod figures;
mod kv_groups;
mod load;
mod memory;
mod metrics;
pub mod parking_lot;
mod process_metrics;
mod refusal;
mod request;
mod request_limits;
mod requests;
mod sampler;
mod sampling;
mod sequence_memory;
mod stepper;
mod stop;
mod stream;
mod vocabulary;

pub use backend::{Backend, BackendError, ModelBackend, Pass};
pub use chat::{Message, PromptError, Role};
pub use config::{EngineConfig, SchedulerKind};
pub use engine::Engine;
pub use error::EngineError;
pub use event::{EndToken, Event, FinishReason, PromptProgress, RequestError, TokenLogprob, Usage};
pub use figures::{
    BlockFigures, ClassFigures, EngineSnapshot, RateFigures, RequestFigures, RequestStatus, SequenceFigures,
    StateFigures, TenantFigures, Totals, WorkFigures,
};
pub use kv_groups::KvGroups;
pub use load::{LoadError, LoadOptions, Loaded, load, load_joint};
pub use metrics::{EngineMetrics, StepTime};
pub use parkade_pool::{
    Class, Clock, ConfigError, DrainWaiting, JointWorker, Limits, PerClass, Reserve, TenantField, TenantPolicy,
    TokenPrices, Turn, Worker,
};
pub use process_metrics::encode_process_metrics;
pub use refusal::{Refusal, Remedies, retry_seconds};
pub use request::{CacheScope, Request, RequestId, TaskKind};
pub use requests::{End, LiveRequest, RequestState};
pub use sampler::{NoDistribution, Sampler, Scratch as SamplerScratch};
pub use sampling::{Dry, OutOfRange, SamplingParams, Xtc};
pub use stream::RequestStream;
pub use vocabulary::{Decoder, Vocabulary};

// What this API speaks of and the crates below define, so that it can be used alone.
pub use parkade_grammar::{Format, Grammar, GrammarError, Grammars, Matcher, Place, Tokens};
pub use parkade_kernels::{KvCache, KvType, SlotPair, Span, Team};
pub use parkade_model::chat_template::{ChatInput, ChatTemplate, TemplateError};
pub use parkade_model::gguf::{Gguf, GgufError};
pub use parkade_model::tokenizer::{Bos, SpecialTokens, TextStream, Tokenizer, TokenizerError};
pub use parkade_model::{
    Batch, Embedder, Embeds, Model, ModelConfig, ModelError, Outputs, Pairs, Pooled, Pooling, PoolingType, Prompt,
    TokenId, cut_end, normalize,
};

/// The tests inside the crate and those in `tests/` share their fake model, which names the crate from outside.
#[cfg(test)]
extern crate self as parkade_core;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod fakes;
