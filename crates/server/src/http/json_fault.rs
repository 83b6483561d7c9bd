//! What is wrong with a text that is to be JSON, in words for whoever wrote it, and where.

/// What the parser says begins like one of the first; the second says it for people.
const WORDS: &[(&str, &str)] = &[
    ("EOF while parsing", "it breaks off"),
    ("expected `,` or `]`", "a comma, or the end of the list, is missing"),
    ("expected `,` or `}`", "a comma, or the end of the object, is missing"),
    ("expected `:`", "the colon behind a key is missing"),
    ("key must be a string", "a key is not a string in double quotes"),
    ("trailing comma", "no comma may stand behind the last value"),
    ("trailing characters", "something stands behind the value; send one value"),
    ("recursion limit exceeded", "it is nested too deeply; send lists and objects at most 127 deep"),
    ("control character", "a string has a line break or another control character in it; write it as \\n or \\u000a"),
    ("invalid escape", "a string has a backslash that begins no escape; write it as \\\\"),
    ("lone leading surrogate", "a string has half of a pair of surrogates; write the character itself"),
    ("unexpected end of hex escape", "a string has half of a pair of surrogates; write the character itself"),
    ("invalid unicode code point", "a string has an escape of no character"),
    ("invalid number", "a number is not written as JSON has them"),
    ("number out of range", "a number is too large"),
];

/// For all else.
const NO_VALUE: &str = "no JSON value stands there";

/// What a parser's error means, with its line and column.
pub(crate) fn json_fault(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let words = WORDS.iter().find(|(parser, _)| said.starts_with(parser)).map_or(NO_VALUE, |(_, words)| words);
    format!("line {}, column {}: {words}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn fault(text: &str) -> String {
        json_fault(&serde_json::from_str::<Value>(text).expect_err("no JSON"))
    }

    #[test]
    fn all_words_are_those_of_the_parser() {
        let deep = "[".repeat(200);
        for (text, said) in [
            ("{\"a\": ", "it breaks off"),
            ("[1 2]", "end of the list"),
            ("{\"a\": 1 \"b\"}", "end of the object"),
            ("{\"a\" 1}", "the colon"),
            ("{a: 1}", "a key is not a string"),
            ("[1,]", "behind the last value"),
            ("{} {}", "send one value"),
            (&deep, "nested too deeply"),
            ("\"a\nb\"", "control character"),
            ("\"\\q\"", "begins no escape"),
            ("\"\\ud800\"", "surrogates"),
            ("[01]", "a number is not written"),
            ("1e999", "too large"),
            ("nothing", "no JSON value"),
        ] {
            assert!(fault(text).contains(said), "{text}: {}", fault(text));
        }
        assert_eq!(fault("[1,\n 2 3]"), "line 2, column 4: a comma, or the end of the list, is missing");
    }
}
