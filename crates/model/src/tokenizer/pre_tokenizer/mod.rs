//! Splitting a text into the words that byte-pair encoding never merges across, by `tokenizer.ggml.pre`.

mod families;
mod patterns;

use regex::Regex;

pub(crate) use self::families::{Letters, Rules};
use self::patterns::Cut;

/// Compiled rules: each stage splits what the stage before it left, into its matches and what is between them.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    stages: Vec<(Regex, Cut)>,
}

impl PreTokenizer {
    pub(super) fn new(rules: Rules) -> Self {
        Self { stages: rules.stages.iter().map(|&(pattern, cut)| (compile(pattern), cut)).collect() }
    }

    /// Calls `word` with the words of `text` in order; together they are the text.
    pub(super) fn split<'t>(&self, text: &'t str, word: &mut impl FnMut(&'t str)) {
        split_stages(&self.stages, text, word);
    }
}

/// Compiles a rule. Characters that came after Unicode 15.1 are no letters, digits or marks: the tables of llama.cpp end
/// there, and no model has learnt them as words.
fn compile(pattern: &str) -> Regex {
    let mut pattern = pattern.to_owned();
    for class in ["L", "M", "N", "P", "S"] {
        pattern = pattern.replace(&format!(r"\p{{{class}}}"), &format!(r"[\p{{{class}}}&&\p{{Age=15.1}}]"));
    }
    Regex::new(&pattern).expect("the rules are constants, and a test compiles them all")
}

fn split_stages<'t>(stages: &[(Regex, Cut)], text: &'t str, word: &mut impl FnMut(&'t str)) {
    let Some(((regex, cut), rest)) = stages.split_first() else {
        if !text.is_empty() {
            word(text);
        }
        return;
    };
    let mut at = 0;
    while let Some(found) = regex.find_at(text, at) {
        let (start, mut end) = (found.start(), found.end());
        match cut {
            Cut::Nowhere => {}
            Cut::LeaveLast => end = leave_last(text, start, end, false),
            Cut::LeaveLastButLines => end = leave_last(text, start, end, true),
            Cut::Halves => {
                end = leave_last(text, start, end, true);
                split_stages(rest, &text[at..start], word);
                halves(&text[start..end], |piece| split_stages(rest, piece, word));
                at = end;
                continue;
            }
            Cut::Thousands => {
                let mut left = found.as_str().chars().count();
                for (offset, c) in found.as_str().char_indices() {
                    left -= 1;
                    if left.is_multiple_of(3) {
                        let after = start + offset + c.len_utf8();
                        split_stages(rest, &text[at..after], word);
                        at = after;
                    }
                }
                continue;
            }
        }
        split_stages(rest, &text[at..start], word);
        split_stages(rest, &text[start..end], word);
        at = end;
    }
    split_stages(rest, &text[at..], word);
}

/// Where a match ends if it must leave its last white space to the next word.
fn leave_last(text: &str, start: usize, end: usize, keep_lines: bool) -> usize {
    if end == text.len() {
        return end;
    }
    match text[start..end].char_indices().next_back() {
        Some((0, _)) | None => end,
        Some((_, '\r' | '\n')) if keep_lines => end,
        Some((last, c)) if c.is_whitespace() => start + last,
        Some(_) => end,
    }
}

/// Calls `piece` with the pieces of a run of white space, the largest first; with anything else as it is.
fn halves<'t>(mut run: &'t str, mut piece: impl FnMut(&'t str)) {
    if run.ends_with(['\r', '\n']) || !run.chars().all(char::is_whitespace) {
        return piece(run);
    }
    let mut left = run.chars().count();
    while left > 0 {
        let len = [512, 256, 128, 64, 32, 16, 8, 4, 2].into_iter().find(|&len| len <= left).unwrap_or(1);
        let (first, others) = run.split_at(run.char_indices().nth(len).map_or(run.len(), |(at, _)| at));
        piece(first);
        (run, left) = (others, left - len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<'t>(name: &str, text: &'t str) -> Vec<&'t str> {
        let mut words = Vec::new();
        PreTokenizer::new(Rules::by_name(name).unwrap()).split(text, &mut |w| words.push(w));
        assert_eq!(words.concat(), text);
        words
    }

    #[test]
    fn all_rules_compile_and_no_name_occurs_twice() {
        let mut seen = std::collections::HashSet::new();
        for name in Rules::names() {
            assert!(seen.insert(name), "{name}");
            PreTokenizer::new(Rules::by_name(name).unwrap());
        }
    }

    #[test]
    fn a_run_of_white_space_leaves_its_last_character() {
        assert_eq!(words("gpt-2", "a   b \n c  "), ["a", "  ", " b", " \n", " c", "  "]);
        assert_eq!(words("gpt-2", "a \u{3000}b\u{a0}\u{a0}!"), ["a", " ", "\u{3000}", "b", "\u{a0}", "\u{a0}", "!"]);
        assert_eq!(words("llama-bpe", "a   b \n c \n\n  "), ["a", "  ", " b", " \n", " c", " \n\n", "  "]);
        assert_eq!(words("llama-bpe", " \r\n\t\tx"), [" \r\n", "\t", "\tx"]);
    }

    #[test]
    fn a_run_of_white_space_goes_in_halves() {
        let spaces = |lengths: &[usize]| lengths.iter().map(|&len| " ".repeat(len)).collect::<Vec<_>>();
        assert_eq!(words("jais-2", &" ".repeat(1023)), spaces(&[512, 256, 128, 64, 32, 16, 8, 4, 2, 1]));
        assert_eq!(words("jais-2", &format!("{}a", " ".repeat(8)))[..3], spaces(&[4, 2, 1]));
        assert_eq!(words("jais-2", "a   b \n c \n\n  d"), ["a", "  ", " b", " \n", " c", " \n\n", " ", " d"]);
        assert_eq!(words("jais-2", " \r\n\t\tx"), [" \r\n", "\t", "\tx"]);
    }

    #[test]
    fn white_space_before_a_digit_ends_its_piece_where_digits_are_split_first() {
        assert_eq!(words("smollm", "in  12 ½"), ["in", "  ", "1", "2", " ", "½"]);
        assert_eq!(words("gpt-2", "in  12 ½"), ["in", " ", " 12", " ½"]);
    }

    #[test]
    fn digits_go_in_the_groups_of_each_family() {
        assert_eq!(words("llama-bpe", "1234567"), ["123", "456", "7"]);
        assert_eq!(words("qwen2", "123٣"), ["1", "2", "3", "٣"]);
        assert_eq!(words("default", "1234567"), ["123", "456", "7"]);
        assert_eq!(words("default", "a..b<=c"), ["a", "..", "b", "<=", "c"]);
    }

    #[test]
    fn contractions_are_ascii_and_follow_the_case_rules_of_each_family() {
        assert_eq!(words("gpt-2", "don't DON'T we'll"), ["don", "'t", " DON", "'", "T", " we", "'ll"]);
        assert_eq!(words("llama-bpe", "DON'T 'ſa"), ["DON", "'T", " '", "ſa"]);
        assert_eq!(words("gpt-4o", "DON'T"), ["DON'T"]);
    }

    #[test]
    fn letters_that_are_newer_than_the_models_are_no_letters() {
        assert_eq!(words("gpt-2", "\u{1c80}'t"), ["\u{1c80}", "'t"], "Unicode 9");
        assert_eq!(words("gpt-2", "\u{2ebf0}'t"), ["\u{2ebf0}", "'t"], "Unicode 15.1");
        assert_eq!(words("gpt-2", "\u{1c89}'t"), ["\u{1c89}'", "t"], "Unicode 16");
    }

    #[test]
    fn marks_and_cases_split_as_the_families_want() {
        assert_eq!(words("qwen2", "e\u{301}a"), ["e", "\u{301}a"]);
        assert_eq!(words("qwen35", "e\u{301}a"), ["e\u{301}a"]);
        assert_eq!(words("tekken", "helloWorld HTTPServer"), ["hello", "World", " HTTPServer"]);
        assert_eq!(words("llama-bpe", "a !\n\nb/"), ["a", " !\n\n", "b", "/"]);
    }
}
