//! Tokens that are found as they are written, anywhere in a text, before anything else is looked at:
//! control tokens such as `<|im_start|>` and those that a model's makers added.

use std::ops::Range;

use crate::TokenId;

/// Finds the literal texts of tokens: leftmost first, and of those that begin at one place the longest.
///
/// The texts are sorted, so the ones that share a prefix are neighbours: one search narrows that range byte by byte.
/// This costs no memory beyond the texts, however hostile they are.
#[derive(Debug)]
pub(super) struct Literals {
    sorted: Vec<(Box<[u8]>, TokenId)>,
    /// The range in `sorted` of the texts that begin with each byte.
    first: Box<[Range<u32>; 256]>,
}

/// A part of a text: ordinary, or the text of one token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Token(TokenId),
}

impl Literals {
    pub(super) fn new<'a>(tokens: impl Iterator<Item = (TokenId, &'a str)>) -> Self {
        let mut sorted: Vec<(Box<[u8]>, TokenId)> =
            tokens.filter(|(_, text)| !text.is_empty()).map(|(id, text)| (text.as_bytes().into(), id)).collect();
        sorted.sort_unstable();
        let below = |byte: usize| sorted.partition_point(|(t, _)| usize::from(t[0]) < byte) as u32;
        let first = Box::new(std::array::from_fn(|byte| below(byte)..below(byte + 1)));
        Self { sorted, first }
    }

    /// The texts that are found, and their tokens.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, TokenId)> {
        self.sorted.iter().filter_map(|(text, id)| Some((std::str::from_utf8(text).ok()?, *id)))
    }

    /// The longest token that stands at `at` in `text` and that `counts`, by its number and its place.
    pub(super) fn longest_at(
        &self,
        text: &[u8],
        at: usize,
        counts: impl Fn(TokenId, &Range<usize>) -> bool,
    ) -> Option<(usize, TokenId)> {
        let text = &text[at..];
        let range = &self.first[usize::from(*text.first()?)];
        let mut range = &self.sorted[range.start as usize..range.end as usize];
        let mut longest = None;
        let mut len = 1;
        while let Some((shortest, id)) = range.first() {
            // Of the texts with this prefix, the prefix itself sorts first.
            if shortest.len() == len {
                if counts(*id, &(at..at + len)) {
                    longest = Some((len, *id));
                }
                range = &range[1..];
            }
            let Some(&next) = text.get(len) else { break };
            let start = range.partition_point(|(t, _)| t[len] < next);
            let end = start + range[start..].partition_point(|(t, _)| t[len] == next);
            range = &range[start..end];
            len += 1;
        }
        longest
    }

    /// Calls `each` with the parts of `text` in order; none of them is empty. A token's text that does not count is text.
    pub(super) fn split<'t, E>(
        &self,
        text: &'t str,
        counts: impl Fn(TokenId, &Range<usize>) -> bool,
        mut each: impl FnMut(Part<'t>) -> Result<(), E>,
    ) -> Result<(), E> {
        let bytes = text.as_bytes();
        let mut done = 0;
        let mut at = 0;
        while at < bytes.len() {
            if let Some((len, id)) = self.longest_at(bytes, at, &counts) {
                if done < at {
                    each(Part::Text(&text[done..at]))?;
                }
                each(Part::Token(id))?;
                at += len;
                done = at;
            } else {
                at += 1;
            }
        }
        if done < at { each(Part::Text(&text[done..])) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'t>(literals: &[&str], text: &'t str) -> Vec<Part<'t>> {
        parts_that_count(literals, text, |_, _| true)
    }

    fn parts_that_count<'t>(
        literals: &[&str],
        text: &'t str,
        counts: impl Fn(TokenId, &Range<usize>) -> bool,
    ) -> Vec<Part<'t>> {
        let literals = Literals::new(literals.iter().zip(0..).map(|(t, id)| (id, *t)));
        let mut parts = Vec::new();
        literals
            .split(text, counts, |part| {
                parts.push(part);
                Ok::<_, ()>(())
            })
            .unwrap();
        parts
    }

    #[test]
    fn the_leftmost_longest_token_wins() {
        use Part::*;
        assert_eq!(parts(&["<a", "<a>", "a>"], "x<a><a<b"), [Text("x"), Token(1), Token(0), Text("<b")]);
        assert_eq!(parts(&["<a", "<a>b>"], "<a>b<"), [Token(0), Text(">b<")]);
        assert_eq!(parts(&["\n", "\n\n", "\n\n\n"], "\n\n\n\n\n"), [Token(2), Token(1)]);
    }

    #[test]
    fn the_longest_token_that_counts_wins_and_the_others_are_text() {
        use Part::*;
        let literals = ["<a", "<a>", "a>"];
        assert_eq!(parts_that_count(&literals, "<a><a>", |id, _| id != 1), [Token(0), Text(">"), Token(0), Text(">")]);
        assert_eq!(parts_that_count(&literals, "<a><a>", |id, _| id == 2), [Text("<"), Token(2), Text("<"), Token(2)]);
        let late = |_: TokenId, place: &Range<usize>| place.start >= 3;
        assert_eq!(parts_that_count(&literals, "<a><a>", late), [Text("<a>"), Token(1)]);
    }

    #[test]
    fn texts_beside_tokens_are_whole_characters() {
        use Part::*;
        assert_eq!(parts(&["日", ""], "本日本"), [Text("本"), Token(0), Text("本")]);
        assert_eq!(parts(&[], "本日"), [Text("本日")]);
        assert_eq!(parts(&["x"], ""), []);
    }
}
