//! How tokens become text, as far as the engine needs to know.

use std::sync::Arc;

use parkade_grammar::Tokens;
use parkade_model::TokenId;
use parkade_model::tokenizer::{TextStream, Tokenizer};

/// Turns tokens into text. The engine needs no more of a tokenizer; prompts come in as tokens.
pub trait Vocabulary: Send + Sync {
    /// Whether the token ends the text.
    fn is_end(&self, id: TokenId) -> bool;
    /// How a token that has no text of its own is spelled where it is to be seen; `None` for all others.
    fn spelling(&self, id: TokenId) -> Option<&str> {
        let _ = id;
        None
    }
    /// A decoder for one new sequence.
    fn decoder(self: Arc<Self>) -> Box<dyn Decoder>;
    /// The tokens for answers that have a format; `None` if there can be none.
    fn tokens(self: Arc<Self>) -> Option<Arc<dyn Tokens>> {
        None
    }
}

/// Turns the tokens of one sequence into text, never half a character.
pub trait Decoder: Send {
    /// The text that is complete with this token.
    ///
    /// # Errors
    /// If the token has no text. The request fails, no other.
    fn push(&mut self, id: TokenId) -> Result<String, String>;
    /// What is left of a character that is not gone on with: at the end, or before a token that is spelled.
    fn finish(&mut self) -> String;
}

impl Vocabulary for Tokenizer {
    fn is_end(&self, id: TokenId) -> bool {
        Tokenizer::is_end(self, id)
    }

    fn spelling(&self, id: TokenId) -> Option<&str> {
        self.token_bytes(id).is_empty().then(|| self.token_text(id))
    }

    fn decoder(self: Arc<Self>) -> Box<dyn Decoder> {
        Box::new(TokenizerDecoder { tokenizer: self, text: TextStream::new() })
    }

    fn tokens(self: Arc<Self>) -> Option<Arc<dyn Tokens>> {
        Some(Arc::new(TokenizerTokens(self)))
    }
}

struct TokenizerTokens(Arc<Tokenizer>);

impl Tokens for TokenizerTokens {
    fn count(&self) -> usize {
        self.0.vocab_size()
    }

    fn bytes(&self, id: TokenId) -> &[u8] {
        self.0.written_bytes(id)
    }

    fn is_special(&self, id: TokenId) -> bool {
        self.0.is_control(id) || self.0.is_markup(id) || self.0.token_bytes(id).is_empty()
    }

    fn is_end(&self, id: TokenId) -> bool {
        Tokenizer::is_end(&self.0, id)
    }

    fn encode(&self, text: &str) -> Option<Vec<TokenId>> {
        self.0.encode_further(text)
    }
}

struct TokenizerDecoder {
    tokenizer: Arc<Tokenizer>,
    text: TextStream,
}

impl Decoder for TokenizerDecoder {
    fn push(&mut self, id: TokenId) -> Result<String, String> {
        Ok(self.text.push(&self.tokenizer, id))
    }

    fn finish(&mut self) -> String {
        self.text.finish()
    }
}
