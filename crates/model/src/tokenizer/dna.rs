//! DNA in a text: what stands between `<dna>` and `</dna>` goes six letters at a time, whose tokens are spelled with a mark behind them, so that
//! they are none of the text's.

use std::collections::HashMap;

use crate::TokenId;

const OPEN: &str = "<dna>";
const CLOSE: &str = "</dna>";
const UNKNOWN: &str = "<oov>";
const LETTERS: usize = 6;
/// Behind the letters of a token.
pub(super) const MARK: char = '\u{E000}';

/// The tokens of DNA.
#[derive(Debug)]
pub(super) struct Dna {
    open: TokenId,
    close: TokenId,
    unknown: TokenId,
    words: HashMap<[u8; LETTERS], TokenId>,
}

impl Dna {
    /// Those among tokens that stand for text; `None` if what stands around letters is not there.
    pub(super) fn new<'a>(texts: impl Iterator<Item = (&'a str, TokenId)>) -> Option<Dna> {
        let known: HashMap<&str, TokenId> = texts.collect();
        let letters = |text: &str| text.strip_suffix(MARK)?.as_bytes().try_into().ok();
        let words = known.iter().filter_map(|(text, &id)| Some((letters(text)?, id))).collect();
        let token = |text: &str| known.get(text).copied();
        Some(Dna { open: token(OPEN)?, close: token(CLOSE)?, unknown: token(UNKNOWN)?, words })
    }

    /// Appends the tokens of `text`; `other` appends those of what is no DNA.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<TokenId>, mut other: impl FnMut(&str, &mut Vec<TokenId>)) {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPEN) {
            other(before, out);
            out.push(self.open);
            let (dna, after) = after.split_once(CLOSE).map_or((after, None), |(dna, after)| (dna, Some(after)));
            for letters in dna.as_bytes().chunks(LETTERS) {
                let mut word = [b'A'; LETTERS];
                word[..letters.len()].copy_from_slice(letters);
                word.make_ascii_uppercase();
                out.push(self.words.get(&word).copied().unwrap_or(self.unknown));
            }
            let Some(after) = after else { return };
            out.push(self.close);
            rest = after;
        }
        other(rest, out);
    }
}
