//! Log-probabilities in the two shapes that OpenAI's endpoints give them.

use std::borrow::Cow;

use parkade_core::TokenLogprob;
use parkade_model::TokenId;
use parkade_model::tokenizer::Tokenizer;
use serde::{Serialize, Serializer};

use super::echo::{Echo, spelling};

/// The smallest log-probability on the wire: JSON has no minus infinity, and OpenAI sends this instead.
const SMALLEST: f32 = -9999.0;

fn finite(logprob: f32) -> f32 {
    // A NaN compares as false and becomes the smallest too.
    if logprob > SMALLEST { logprob.min(0.0) } else { SMALLEST }
}

/// `logprobs` of a chat choice.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ChatLogprobs {
    content: Vec<ChatToken>,
    refusal: Option<()>,
}

#[derive(Debug, Serialize)]
struct ChatToken {
    #[serde(flatten)]
    token: ChatAlternative,
    top_logprobs: Vec<ChatAlternative>,
}

#[derive(Debug, Serialize)]
struct ChatAlternative {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl ChatAlternative {
    fn new(tokenizer: &Tokenizer, id: TokenId, logprob: f32) -> Self {
        let bytes = spelling(tokenizer, id);
        Self { token: String::from_utf8_lossy(bytes).into_owned(), logprob: finite(logprob), bytes: bytes.to_vec() }
    }
}

impl ChatLogprobs {
    /// The log-probabilities of some tokens.
    pub fn new<'a>(tokenizer: &Tokenizer, tokens: impl IntoIterator<Item = &'a TokenLogprob>) -> Self {
        let content = tokens
            .into_iter()
            .map(|token| ChatToken {
                token: ChatAlternative::new(tokenizer, token.id, token.logprob),
                top_logprobs: token
                    .top
                    .iter()
                    .map(|&(id, logprob)| ChatAlternative::new(tokenizer, id, logprob))
                    .collect(),
            })
            .collect();
        Self { content, refusal: None }
    }
}

/// `logprobs` of a text completion: four lists of equal length.
#[derive(Debug, Default, Serialize)]
pub(crate) struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f32>>,
    /// `None` for the first token of an echoed prompt: nothing comes before it.
    top_logprobs: Vec<Option<Alternatives>>,
    text_offset: Vec<usize>,
}

impl TextLogprobs {
    /// Adds a token that stands `offset` characters into the text. `token` is `None` for the first token of a prompt.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: TokenId, token: Option<&TokenLogprob>, offset: usize) {
        self.tokens.push(shown(spelling(tokenizer, id)).into_owned());
        self.text_offset.push(offset);
        self.token_logprobs.push(token.map(|token| finite(token.logprob)));
        self.top_logprobs.push(token.map(|token| Alternatives::new(tokenizer, token)));
    }

    /// Adds the tokens of a prompt.
    pub fn push_prompt(&mut self, tokenizer: &Tokenizer, echo: &Echo, logprobs: &[Option<TokenLogprob>]) {
        for (i, (&id, &offset)) in echo.tokens.iter().zip(&echo.offsets).enumerate() {
            self.push(tokenizer, id, logprobs.get(i).and_then(Option::as_ref), offset);
        }
    }

    /// Whether it has no tokens.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// The likeliest tokens by their text, likeliest first.
#[derive(Debug)]
struct Alternatives(Vec<(String, f32)>);

impl Alternatives {
    fn new(tokenizer: &Tokenizer, token: &TokenLogprob) -> Self {
        let mut list: Vec<(String, f32)> = Vec::with_capacity(token.top.len() + 1);
        // The chosen token is in the list even if it is not among the likeliest.
        let chosen = std::iter::once((token.id, token.logprob));
        for (id, logprob) in token.top.iter().copied().chain(chosen) {
            let text = shown(spelling(tokenizer, id));
            // Two tokens may have the same text; the likelier one comes first and stays.
            if !list.iter().any(|(known, _)| *known == text) {
                list.push((text.into_owned(), finite(logprob)));
            }
        }
        Self(list)
    }
}

impl Serialize for Alternatives {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(text, logprob)| (text, logprob)))
    }
}

/// A token's text; one that is no text by itself is shown as its bytes, as OpenAI does.
fn shown(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().fold("bytes:".to_owned(), |text, byte| text + &format!("\\x{byte:02x}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_cannot_say_is_the_smallest_logprob() {
        assert_eq!(finite(f32::NEG_INFINITY), SMALLEST);
        assert_eq!(finite(f32::NAN), SMALLEST);
        assert_eq!(finite(-0.5), -0.5);
    }

    #[test]
    fn a_part_of_a_character_is_shown_as_bytes() {
        assert_eq!(shown("é".as_bytes()), "é");
        assert_eq!(shown(&[0xc3]), "bytes:\\xc3");
    }
}
