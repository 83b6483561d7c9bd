//! Stop strings in a stream of text.

use std::sync::Arc;

/// Looks for stop strings in text that comes in pieces, and holds back text that may become one.
///
/// The string that is complete first ends the text; among several that end at the same character, the longest. So the result does
/// not depend on how the text is cut into tokens. Each byte costs amortised constant time per stop string (Knuth, Morris, Pratt 1977),
/// whatever the strings are.
#[derive(Clone, Debug)]
pub(crate) struct StopMatcher {
    patterns: Arc<[Pattern]>,
    /// For each pattern, how many of its bytes the text ends with.
    matched: Vec<usize>,
    /// Text that was not yet delivered: it ends with the beginning of some stop string.
    held: String,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    /// `fallback[i]`: the length of the longest proper prefix of the pattern that its first `i + 1` bytes end with.
    fallback: Vec<usize>,
}

/// What became of a piece of text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// This much can be delivered.
    Text(String),
    /// A stop string is complete; this is what came before it.
    Stopped { before: String, stop: String },
}

impl StopMatcher {
    pub(crate) fn new(stops: &[String]) -> Self {
        let patterns: Arc<[Pattern]> =
            stops.iter().map(|text| Pattern { fallback: fallback(text.as_bytes()), text: text.clone() }).collect();
        StopMatcher { matched: vec![0; patterns.len()], patterns, held: String::new() }
    }

    /// Takes the next piece. A stop string that is complete in it counts if the text `may_stop`.
    pub(crate) fn push(&mut self, piece: &str, may_stop: bool) -> Scan {
        if self.patterns.is_empty() {
            return Scan::Text(piece.to_owned());
        }
        let already = self.held.len();
        self.held.push_str(piece);
        for (at, byte) in piece.bytes().enumerate() {
            let mut complete: Option<&Pattern> = None;
            for (pattern, matched) in self.patterns.iter().zip(&mut self.matched) {
                *matched = pattern.advance(*matched, byte);
                if *matched == pattern.text.len() && complete.is_none_or(|other| other.text.len() < pattern.text.len())
                {
                    complete = Some(pattern);
                }
            }
            if let Some(pattern) = complete.filter(|_| may_stop) {
                let start = already + at + 1 - pattern.text.len();
                self.held.truncate(start);
                return Scan::Stopped { before: std::mem::take(&mut self.held), stop: pattern.text.clone() };
            }
            for (pattern, matched) in self.patterns.iter().zip(&mut self.matched) {
                if *matched == pattern.text.len() {
                    // It did not count, but its end may be the beginning of one that does.
                    *matched = pattern.fallback[*matched - 1];
                }
            }
        }
        let keep = self.matched.iter().copied().max().unwrap_or(0);
        // The kept bytes are the beginning of a stop string, so this is a character boundary.
        let rest = self.held.split_off(self.held.len() - keep);
        Scan::Text(std::mem::replace(&mut self.held, rest))
    }

    /// The text has ended: what was held back is no stop string.
    pub(crate) fn finish(&mut self) -> String {
        self.matched.fill(0);
        std::mem::take(&mut self.held)
    }
}

impl Pattern {
    fn advance(&self, mut matched: usize, byte: u8) -> usize {
        let text = self.text.as_bytes();
        while matched > 0 && text[matched] != byte {
            matched = self.fallback[matched - 1];
        }
        if text[matched] == byte { matched + 1 } else { 0 }
    }
}

fn fallback(text: &[u8]) -> Vec<usize> {
    let mut table = vec![0; text.len()];
    let mut matched = 0;
    for at in 1..text.len() {
        while matched > 0 && text[matched] != text[at] {
            matched = table[matched - 1];
        }
        if text[matched] == text[at] {
            matched += 1;
        }
        table[at] = matched;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, Option<String>) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut matcher = StopMatcher::new(&stops);
        let mut text = String::new();
        for piece in pieces {
            match matcher.push(piece, true) {
                Scan::Text(more) => text += &more,
                Scan::Stopped { before, stop } => return (text + &before, Some(stop)),
            }
        }
        (text + &matcher.finish(), None)
    }

    #[test]
    fn a_stop_string_is_found_across_pieces_and_is_not_delivered() {
        assert_eq!(run(&["\n\nUser"], &["one\n", "\nUs", "er two"]), ("one".into(), Some("\n\nUser".into())));
        assert_eq!(run(&["né"], &["un", "é", "x"]), ("u".into(), Some("né".into())));
    }

    #[test]
    fn text_that_only_began_like_a_stop_string_is_delivered_in_the_end() {
        assert_eq!(run(&["abcd"], &["xab", "c"]), ("xabc".into(), None));
        assert_eq!(run(&["aab"], &["aa", "ac"]), ("aaac".into(), None));
    }

    #[test]
    fn only_text_that_may_still_become_a_stop_string_is_held_back() {
        let mut matcher = StopMatcher::new(&["END".to_owned()]);
        assert_eq!(matcher.push("the E", true), Scan::Text("the ".to_owned()));
        assert_eq!(matcher.push("N", true), Scan::Text(String::new()));
        assert_eq!(matcher.push("E", true), Scan::Text("EN".to_owned()));
    }

    #[test]
    fn a_stop_string_that_comes_too_soon_is_text_and_its_end_may_begin_another() {
        let mut matcher = StopMatcher::new(&["aba".to_owned()]);
        assert_eq!(matcher.push("xaba", false), Scan::Text("xab".to_owned()), "the last letter may begin another");
        assert_eq!(matcher.push("b", false), Scan::Text(String::new()));
        assert_eq!(
            matcher.push("ac", true),
            Scan::Stopped { before: String::new(), stop: "aba".to_owned() },
            "it is complete where it may stop"
        );
        let mut matcher = StopMatcher::new(&["a".to_owned()]);
        assert_eq!(matcher.push("banana", false), Scan::Text("banana".to_owned()));
        assert_eq!(matcher.push("na", true), Scan::Stopped { before: "n".to_owned(), stop: "a".to_owned() });
    }

    #[test]
    fn the_string_that_is_complete_first_wins_and_the_longest_at_the_same_place() {
        assert_eq!(run(&["abcdef", "cd"], &["xabcdefy"]), ("xab".into(), Some("cd".into())));
        assert_eq!(run(&["d", "bcd"], &["abcd"]), ("a".into(), Some("bcd".into())));
    }

    proptest! {
        #[test]
        fn the_cutting_into_pieces_changes_nothing(text in "[abé]{0,40}", stops in prop::collection::vec("[abé]{1,5}", 0..4), cuts in prop::collection::vec(0usize..40, 0..8)) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let chars: Vec<char> = text.chars().collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(chars.len())).collect();
            cuts.extend([0, chars.len()]);
            cuts.sort_unstable();
            let pieces: Vec<String> = cuts.windows(2).map(|cut| chars[cut[0]..cut[1]].iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            // By hand: the earliest end of any stop string, the longest of them.
            let found = (0..=text.len()).filter(|&end| text.is_char_boundary(end)).find_map(|end| {
                stops.iter().filter(|stop| text[..end].ends_with(**stop)).max_by_key(|stop| stop.len()).map(|stop| (end - stop.len(), *stop))
            });
            let expected = match found {
                Some((start, stop)) => (text[..start].to_owned(), Some(stop.to_owned())),
                None => (text.clone(), None),
            };
            prop_assert_eq!(run(&stops, &pieces), expected);
        }
    }
}
