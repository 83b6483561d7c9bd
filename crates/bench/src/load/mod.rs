//! The load generator: real requests over real sockets, to any server that speaks OpenAI's API with streams.
//!
//! A [`Workload`] says what is asked (lengths, classes, tenants), a [`Pace`] when, a [`Target`] whom. [`run`] sends it
//! and returns one [`Observation`] for each request, whose [`Outcome`] is exactly one; a [`Digest`] counts them up.

mod answer;
mod arrivals;
pub(crate) mod client;
mod digest;
mod lengths;
mod mix;
mod outcome;
mod prompt;
mod slo;
mod sse;
mod target;
mod workload;

pub use arrivals::{Pace, Plan, Run, run};
pub use digest::{Digest, Refusals};
pub use lengths::Lengths;
pub use mix::{Class, Mix, Tenants};
pub use outcome::{Answer, Observation, Outcome};
pub use slo::Slo;
pub use target::{Api, Target};
pub use workload::{Job, Sizing, Workload};

/// `count` random words from stream `stream` of `seed`.
pub(crate) fn words(seed: u64, stream: u64, count: usize) -> String {
    prompt::words(&mut crate::random::Random::new(seed, stream), count)
}
