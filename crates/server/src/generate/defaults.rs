//! What an operator wants of requests that do not say.

use parkade_core::{OutOfRange, SamplingParams};

/// Values for fields that a request leaves out; what is not here either is as the API has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults {
    /// Divides the logits; 0 is greedy.
    pub temperature: Option<f32>,
    /// Keeps so many of the likeliest tokens; 0 keeps all.
    pub top_k: Option<u32>,
    /// Keeps the likeliest tokens with so much probability.
    pub top_p: Option<f32>,
    /// Keeps tokens with so large a share of the likeliest one's probability.
    pub min_p: Option<f32>,
    /// The same seed gives the same answer.
    pub seed: Option<u64>,
    /// The longest answer, in tokens.
    pub max_tokens: Option<usize>,
    /// Whether the model is to think before it answers.
    pub thinking: Option<bool>,
    /// Whether an answer goes on with the last message, where that is the assistant's.
    pub prefill: bool,
}

impl Defaults {
    /// Checks the values by the sampler's own rules.
    ///
    /// # Errors
    /// The first one that is out of range, and what is allowed.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        // No token is named, so that any vocabulary will do.
        self.over(&SamplingParams::default()).validate(usize::MAX)
    }

    /// An API's own defaults, with these in their place.
    pub(crate) fn over(&self, own: &SamplingParams) -> SamplingParams {
        SamplingParams {
            temperature: self.temperature.unwrap_or(own.temperature),
            top_k: self.top_k.unwrap_or(own.top_k),
            top_p: self.top_p.unwrap_or(own.top_p),
            min_p: self.min_p.unwrap_or(own.min_p),
            seed: self.seed.or(own.seed),
            ..own.clone()
        }
    }
}
