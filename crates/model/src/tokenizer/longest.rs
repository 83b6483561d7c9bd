//! RWKV's way: the longest token that the text begins with, again and again.

use super::trie::Trie;
use super::{TokenizerError, not_expressible};
use crate::TokenId;

/// A vocabulary of byte strings.
#[derive(Debug)]
pub(super) struct Longest {
    trie: Trie,
    unknown: Option<TokenId>,
}

impl Longest {
    pub(super) fn new(trie: Trie, unknown: Option<TokenId>) -> Self {
        Self { trie, unknown }
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<TokenId>) -> Result<(), TokenizerError> {
        let mut at = 0;
        while at < text.len() {
            let (len, token) = match self.trie.prefixes(&text.as_bytes()[at..]).last() {
                Some(found) => found,
                None => (1, self.unknown.ok_or_else(|| not_expressible(text, at))?),
            };
            out.push(token);
            at += len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_token_counts_also_inside_of_a_character() {
        let texts = [&b"a"[..], b"ab", b"abcd", b"\xc3", b"b", b"c"];
        let trie = || Trie::new(texts.iter().zip(1..).map(|(text, id)| (text.to_vec(), id)).collect());
        let mut out = Vec::new();
        Longest::new(trie(), Some(0)).encode("abcé", &mut out).unwrap();
        assert_eq!(out, [2, 6, 4, 0]);
        let error = Longest::new(trie(), None).encode("abé", &mut out).unwrap_err();
        assert!(error.to_string().contains("'é'"), "{error}");
    }
}
