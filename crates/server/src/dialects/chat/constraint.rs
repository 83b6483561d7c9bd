//! The one grammar of an answer: its thoughts, its calls, and what its text may be.

use parkade_calls::{Reasoning, Style, Thoughts};
use parkade_core::Format;
use parkade_model::tokenizer::Tokenizer;

use super::{Choice, Tools};
use crate::generate::WantedFormat;
use crate::http::ApiError;

/// What an answer is held to.
pub(super) struct Constraint<'a> {
    pub tools: &'a Tools,
    pub style: Style,
    /// The markers of the model's thoughts.
    pub markers: Option<&'a Reasoning>,
    /// Whether the answer begins inside of thoughts.
    pub starts_inside: bool,
    /// The most tokens of thought.
    pub bound: Option<usize>,
    /// Whether there may be thoughts at all.
    pub may_think: bool,
    pub tokenizer: &'a Tokenizer,
}

