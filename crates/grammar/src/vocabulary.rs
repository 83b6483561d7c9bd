//! The tokens that a grammar chooses from.

use std::sync::Arc;

use llguidance::toktrie::{INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::GrammarError;

/// The longest token that is taken, in bytes; the trie holds 1,024. Longer ones are never allowed.
const LONGEST: usize = 1000;

/// The most bytes of all tokens together: the trie has 22 bits for the size of a subtree.
const MOST_BYTES: usize = (1 << 22) - 1;

/// A model's tokens.
pub trait Tokens: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;
    /// What a token stands for in a text; of special ones the name.
    fn bytes(&self, id: u32) -> &[u8];
    /// Whether a token frames text instead of being a part of it. The text of an answer is never made of such tokens.
    fn is_special(&self, id: u32) -> bool;
    /// Whether an answer is over after this token.
    fn is_end(&self, id: u32) -> bool;
    /// The usual tokens of a text that goes on another one; `None` if there is no way to know them.
    fn encode(&self, text: &str) -> Option<Vec<u32>>;
}

/// Tokens as the parser needs them.
pub(crate) struct Vocabulary {
    tokens: Arc<dyn Tokens>,
    trie: TokTrie,
    is_canonical: bool,
}

impl Vocabulary {
    pub(crate) fn env(tokens: Arc<dyn Tokens>) -> Result<TokEnv, GrammarError> {
        let count = u32::try_from(tokens.count()).ok().filter(|&count| count > 0 && count < 1 << 24);
        let count = count.ok_or_else(|| {
            GrammarError::new(format!("a vocabulary of {} tokens is too large for grammars", tokens.count()))
        })?;
        let words: Vec<Vec<u8>> = (0..count).map(|id| word(&*tokens, id)).collect();
        let bytes: usize = words.iter().map(Vec::len).sum();
        if bytes > MOST_BYTES {
            let message = format!("the vocabulary's tokens have {bytes} bytes; grammars take up to {MOST_BYTES}");
            return Err(GrammarError::new(message));
        }
        let ends: Vec<TokenId> = (0..count).filter(|&id| tokens.is_end(id)).collect();
        let mut trie = TokTrie::from(&TokRxInfo::new(count, INVALID_TOKEN), &words);
        if !ends.is_empty() {
            trie = trie.with_eos_tokens(&ends);
        }
        // What is forced must be writable to its end; where bytes are missing that is seen mask by mask.
        let writes_all = (b' '..=b'~').all(|byte| trie.token_id_at_bytes(&[byte]).is_some());
        let is_canonical = writes_all && tokens.encode("a").is_some();
        Ok(Arc::new(Vocabulary { tokens, trie, is_canonical }))
    }
}

/// A token as the trie has it: special ones behind a byte that is in no text.
fn word(tokens: &dyn Tokens, id: u32) -> Vec<u8> {
    let bytes = tokens.bytes(id);
    if !tokens.is_special(id) && !tokens.is_end(id) {
        return if bytes.len() <= LONGEST { bytes.to_vec() } else { Vec::new() };
    }
    let mut word = vec![TokTrie::SPECIAL_TOKEN_MARKER];
    match bytes {
        [b'<', .., b'>'] if bytes.len() < 100 => word.extend(bytes),
        _ => word.extend(format!("[{id}]").bytes()),
    }
    word
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    /// The vocabulary's own tokens of a text where they say exactly that; else the longest ones that fit, from left to right.
    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let mut ids = Vec::new();
        for chunk in bytes.utf8_chunks() {
            let own = self.tokens.encode(chunk.valid()).filter(|own| self.says(own, chunk.valid().as_bytes()));
            ids.extend(own.unwrap_or_else(|| self.trie.greedy_tokenize(chunk.valid().as_bytes())));
            ids.extend(self.trie.greedy_tokenize(chunk.invalid()));
        }
        ids
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.is_canonical
    }
}

impl Vocabulary {
    fn says(&self, ids: &[TokenId], mut text: &[u8]) -> bool {
        for &id in ids {
            let word = if (id as usize) < self.trie.vocab_size() { self.trie.token(id) } else { &[] };
            match text.strip_prefix(word) {
                Some(rest) if !word.is_empty() => text = rest,
                _ => return false,
            }
        }
        text.is_empty()
    }
}
