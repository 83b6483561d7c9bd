//! Tokens to text as they come, without ever showing half a character.

use super::Tokenizer;
use crate::TokenId;

/// Turns tokens into text one by one.
///
/// A character may be spread over several tokens; its bytes are held back until it is complete. A byte that can never
/// become part of a character is shown as U+FFFD at once. What was pushed, and [`TextStream::finish`], make together the
/// same text as the lossy decoding of all bytes at once.
///
/// It holds four bytes and a length: cloning it costs nothing.
#[derive(Debug, Clone, Default)]
pub struct TextStream {
    /// The beginning of a character; never a whole one.
    held: [u8; 4],
    len: u8,
    /// The next text is the first of a whole text, see [`TextStream::at_start`].
    start: bool,
}

impl TextStream {
    /// For tokens that continue a prompt: a leading space belongs to the answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// For the tokens of a whole text. Some vocabularies put a space before the first word, which is left out
    /// again, so that the text of [`Tokenizer::encode`] comes back as it was.
    pub fn at_start() -> Self {
        Self { start: true, ..Self::default() }
    }

    /// Takes one token, and returns the text that is complete now; it may be empty.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: TokenId) -> String {
        let mut bytes = tokenizer.token_bytes(id);
        if self.start && !bytes.is_empty() {
            self.start = false;
            if tokenizer.leading_space && bytes[0] == b' ' {
                bytes = &bytes[1..];
            }
        }
        self.push_bytes(bytes)
    }

    /// Takes bytes, and returns the text that is complete now.
    fn push_bytes(&mut self, bytes: &[u8]) -> String {
        if self.len == 0 {
            return self.complete(bytes);
        }
        let mut all = Vec::with_capacity(usize::from(self.len) + bytes.len());
        all.extend_from_slice(&self.held[..usize::from(self.len)]);
        all.extend_from_slice(bytes);
        self.len = 0;
        self.complete(&all)
    }

    /// The complete text at the head of `bytes`; holds back the beginning of a character at their end.
    fn complete(&mut self, mut bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        loop {
            let error = match std::str::from_utf8(bytes) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            text.push_str(&String::from_utf8_lossy(valid));
            match error.error_len() {
                Some(len) => {
                    text.push(char::REPLACEMENT_CHARACTER);
                    bytes = &rest[len..];
                }
                None => {
                    // An incomplete character has at most three bytes.
                    self.held[..rest.len()].copy_from_slice(rest);
                    self.len = rest.len() as u8;
                    return text;
                }
            }
        }
    }

    /// What is left when no more tokens come: nothing, or U+FFFD for a character that was never completed.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.held[..usize::from(self.len)]).into_owned();
        self.len = 0;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that are often the parts of characters, whole and torn.
    fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let fragment = prop_oneof![
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            any::<char>().prop_flat_map(|c| {
                let bytes = c.to_string().into_bytes();
                (0..=bytes.len()).prop_map(move |end| bytes[..end].to_vec())
            }),
            proptest::collection::vec(any::<u8>(), 0..4),
            Just(vec![0xF0, 0x9F]),
            Just(vec![0x99, 0x82]),
            Just(vec![0xED, 0xA0, 0x80]),
        ];
        proptest::collection::vec(fragment, 0..20)
    }

    proptest! {
        #[test]
        fn pieces_make_the_lossy_text_and_replacements_come_only_where_it_has_them(pieces in pieces()) {
            let whole = String::from_utf8_lossy(&pieces.concat()).into_owned();
            let mut stream = TextStream::new();
            let mut text = String::new();
            for piece in &pieces {
                text.push_str(&stream.push_bytes(piece));
                prop_assert!(whole.starts_with(&text), "{text:?} is no beginning of {whole:?}");
            }
            text.push_str(&stream.finish());
            prop_assert_eq!(text, whole);
            prop_assert_eq!(stream.finish(), "");
        }
    }

    #[test]
    fn a_character_is_held_until_its_last_byte() {
        let mut stream = TextStream::new();
        let shown: Vec<String> = "a🙂b".bytes().map(|b| stream.push_bytes(&[b])).collect();
        assert_eq!(shown, ["a", "", "", "", "🙂", "b"]);
        assert_eq!(stream.push_bytes(&[0xF0, 0x9F]), "");
        assert_eq!(stream.clone().finish(), "\u{FFFD}");
        assert_eq!(stream.push_bytes(b"x"), "\u{FFFD}x");
    }
}
