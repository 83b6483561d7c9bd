//! Splitting a text into the words that byte-pair encoding never merges across, by `tokenizer.ggml.pre`.
//!
//! The rules are regular expressions, as in the models' own tokenizers, but on an engine whose time is linear in the text.
//! It knows no look-ahead. Only one occurs in these rules, `\s+(?!\S)`: a run of white space leaves its last character to
//! the word that follows. [`Space`] says so beside each rule.

use regex::Regex;

/// What follows from the name of a pre-tokenizer, as llama.cpp has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) stages: &'static [(&'static str, Space)],
    /// A word that is a token as a whole is not merged from its bytes.
    pub(super) ignore_merges: bool,
    /// Whether a text begins with the BOS token unless `tokenizer.ggml.add_bos_token` says otherwise.
    pub(super) add_bos: bool,
}

/// What happens to a match that ends in white space and has text after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// Nothing: the rule matches no white space.
    Plain,
    /// Its last character goes to the next word, unless it is the only one.
    LeaveLast,
    /// The same, but the rule has its own way with line ends: what ends in one stays whole.
    LeaveLastButLines,
}

macro_rules! contractions {
    () => {
        "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
    };
}

const GPT2: (&str, Space) = (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+", Space::LeaveLast);
const DIGITS: (&str, Space) = (r"\p{N}", Space::Plain);
const LLAMA3: (&str, Space) = (
    concat!(contractions!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"),
    Space::LeaveLastButLines,
);
const QWEN2: (&str, Space) = (
    concat!(contractions!(), r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"),
    Space::LeaveLastButLines,
);
const QWEN35: (&str, Space) = (
    concat!(contractions!(), r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"),
    Space::LeaveLastButLines,
);
const TEKKEN: (&str, Space) = (
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]*[\p{L}&&[^A-Z]]+|[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]+[\p{L}&&[^A-Z]]*",
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+"
    ),
    Space::LeaveLastButLines,
);
const GPT4O: (&str, Space) = (
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]*[\p{L}&&[^A-Z]]+(?:",
        contractions!(),
        r")?|[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]+[\p{L}&&[^A-Z]]*(?:",
        contractions!(),
        r")?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+"
    ),
    Space::LeaveLastButLines,
);

/// The names of `tokenizer.ggml.pre` that share rules, and the rules.
const FAMILIES: &[(&[&str], Rules)] = {
    const fn plain(stages: &'static [(&'static str, Space)]) -> Rules {
        Rules { stages, ignore_merges: false, add_bos: false }
    }
    const fn llama(stages: &'static [(&'static str, Space)]) -> Rules {
        Rules { stages, ignore_merges: true, add_bos: true }
    }
    &[
        (
            &["default"],
            plain(&[
                (r"[\p{P}$+<=>^~|]+", Space::Plain),
                GPT2,
                (r"\p{N}+", Space::Plain),
                (r"[0-9][0-9][0-9]", Space::Plain),
            ]),
        ),
        (&["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"], plain(&[DIGITS, GPT2])),
        (&["gpt-2", "mpt", "olmo", "phi-2", "jais", "exaone4", "mellum", "modern-bert", "trillion"], plain(&[GPT2])),
        (&["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"], llama(&[LLAMA3])),
        (&["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], plain(&[LLAMA3])),
        (&["qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan", "solar-open"], plain(&[QWEN2])),
        (&["qwen35"], plain(&[QWEN35])),
        (&["tekken"], llama(&[TEKKEN])),
        (&["gpt-4o", "llama4", "kanana2"], plain(&[GPT4O])),
    ]
};

impl Rules {
    /// The rules of `name`, a value of `tokenizer.ggml.pre`.
    pub(super) fn by_name(name: &str) -> Option<Rules> {
        FAMILIES.iter().find(|(names, _)| names.contains(&name)).map(|(_, rules)| *rules)
    }

    /// All names, for error messages.
    pub(super) fn names() -> String {
        let names: Vec<&str> = FAMILIES.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        names.join(", ")
    }
}

/// Compiled rules: each stage splits what the stage before it left, into its matches and what is between them.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    stages: Vec<(Regex, Space)>,
}

impl PreTokenizer {
    pub(super) fn new(rules: Rules) -> Self {
        Self { stages: rules.stages.iter().map(|&(pattern, space)| (compile(pattern), space)).collect() }
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
    for class in ["L", "M", "N", "P"] {
        pattern = pattern.replace(&format!(r"\p{{{class}}}"), &format!(r"[\p{{{class}}}&&\p{{Age=15.1}}]"));
    }
    Regex::new(&pattern).expect("the rules are constants, and a test compiles them all")
}

fn split_stages<'t>(stages: &[(Regex, Space)], text: &'t str, word: &mut impl FnMut(&'t str)) {
    let Some(((regex, space), rest)) = stages.split_first() else {
        if !text.is_empty() {
            word(text);
        }
        return;
    };
    let mut at = 0;
    while let Some(found) = regex.find_at(text, at) {
        let end = match space {
            Space::Plain => found.end(),
            Space::LeaveLast => leave_last(text, found.start(), found.end(), false),
            Space::LeaveLastButLines => leave_last(text, found.start(), found.end(), true),
        };
        split_stages(rest, &text[at..found.start()], word);
        split_stages(rest, &text[found.start()..end], word);
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
        for (names, rules) in FAMILIES {
            PreTokenizer::new(*rules);
            assert!(names.iter().all(|name| seen.insert(name)), "{names:?}");
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
