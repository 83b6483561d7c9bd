//! What ended an answer that its request had named.

use parkade_core::EndToken;
use parkade_model::TokenId;
use parkade_model::tokenizer::Tokenizer;
use serde::Serialize;

/// vLLM's `stop_reason`: a stop string, or one of `stop_token_ids`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum StopReason<'a> {
    Text(&'a str),
    Token(TokenId),
}

impl<'a> StopReason<'a> {
    /// What ended an answer, unless it was the model itself.
    pub fn new(tokenizer: &Tokenizer, stop_string: Option<&'a str>, end_token: Option<EndToken>) -> Option<Self> {
        let named = end_token.map(|end| end.id).filter(|&id| !tokenizer.is_end(id));
        stop_string.map(Self::Text).or(named.map(Self::Token))
    }
}
