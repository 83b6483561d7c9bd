//! The bridge to `parkade-pool`: every request has a price, and a policy of the pool admits it, has it wait until the machine can pay, or
//! refuses it at once. It is the same for all policies; the feature `parking-lot-scheduler` adds the one that parks.
//!
//! ```text
//! InferenceJob ── ResourceAdapter ──> TaskMetadata (price, class, deadlines)
//!      │                                   │
//!      └──────> InferenceWorkerPool::submit ──> parkade_pool's policy: admitted | waiting | refused
//!                                                       │
//!                                    LlmExecutor on its worker thread: the stepper, step by step
//!                                                       │
//!                        RequestStream (one reader) + StreamingRegistry (whoever attaches later)
//! ```
//!
//! | file | subject |
//! | --- | --- |
//! | `types.rs` | what the policy is told about a request ([`TaskMetadata`], [`ResourceCost`]) |
//! | `job.rs` | [`InferenceJob`] and what becomes of it ([`InferenceResult`]) |
//! | `serial.rs` | all three as text, with versions |
//! | `detached.rs` | jobs that nobody waits for |
//! | `results.rs` | their results, by key ([`ResultLimits`]) |
//! | `resource_adapter.rs` | from a request to its price |
//! | `history.rs` | how long answers were lately |
//! | `streaming_registry.rs` | streams that can be attached to, from any position |
//! | `executor.rs` | [`LlmExecutor`]: the stepper as the pool drives it |
//! | `worker_pool.rs` | [`InferenceWorkerPool`]: the scheduler's handle |
//! | `launch.rs` | how it begins: a worker for a model, or for several ([`Served`]) |
//!
//! ```no_run
//! use std::error::Error;
//! use std::sync::Arc;
//!
//! use parkade_core::parking_lot::{InferenceJob, InferenceResult, InferenceWorkerPool};
//! use parkade_core::{EngineConfig, ModelBackend, Request, Tokenizer};
//!
//! fn answer(backend: ModelBackend, tokenizer: Arc<Tokenizer>) -> Result<(), Box<dyn Error>> {
//!     let pool = InferenceWorkerPool::start(Box::new(backend), tokenizer, EngineConfig::default())?;
//!     let job = InferenceJob::whole(Request::new("hello", vec![1, 2, 3]));
//!     match pool.run_blocking(job)? {
//!         InferenceResult::Complete(completion) => println!("{}", completion.choices[0].text),
//!         InferenceResult::Error(error) => println!("failed: {error}"),
//!         InferenceResult::Streaming(_) => unreachable!("a whole answer was asked for"),
//!     }
//!     Ok(())
//! }
//! ```

mod detached;
mod executor;
mod history;
mod job;
mod launch;
mod resource_adapter;
mod results;
mod serial;
mod streaming_registry;
mod types;
mod worker_pool;

pub use executor::LlmExecutor;
pub use job::{Choice, Completion, Delivery, InferenceJob, InferenceResult};
pub use launch::Served;
pub use resource_adapter::{PricedRequest, ResourceAdapter};
pub use serial::RelativeMetadata;
pub use streaming_registry::{AttachError, AttachedStream, ReplayLimits, StreamingRegistry};
pub use types::{HistoryScope, ResourceCost, ResultLimits, TaskMetadata};
pub use worker_pool::InferenceWorkerPool;
