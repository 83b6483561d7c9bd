//! A grammar in the making, in llguidance's Lark.

use serde_json::{Value, json};

/// The id of a text that is one special token of the vocabulary.
pub(super) type Tokens<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// Any text, and none of it.
pub(super) const ANY: &str = r"/(.|\n)*/";

/// Rules, and the schemas that they name.
pub(super) struct Lark<'a> {
    tokens: Tokens<'a>,
    text: String,
    pub(super) schemas: Vec<Value>,
    pub(super) owners: Vec<usize>,
}

impl<'a> Lark<'a> {
    pub(super) fn new(tokens: Tokens<'a>) -> Self {
        Lark { tokens, text: String::new(), schemas: Vec::new(), owners: Vec::new() }
    }

    /// Adds a rule, or a terminal if the name is in capitals.
    pub(super) fn rule(&mut self, name: &str, body: &str) {
        self.text.push_str(name);
        self.text.push_str(": ");
        self.text.push_str(body);
        self.text.push('\n');
    }

    /// Adds a schema of a function, by its number, and says how rules name it.
    pub(super) fn schema(&mut self, schema: Value, function: usize) -> String {
        self.schemas.push(schema);
        self.owners.push(function);
        format!("@schema{}", self.schemas.len() - 1)
    }

    /// A marker: its special token if it is one, else its text. Tokens of the form `<|name|>` inside of it are looked for too.
    pub(super) fn marker(&self, marker: &str) -> String {
        if let Some(id) = (self.tokens)(marker) {
            return format!("<[{id}]>");
        }
        let mut parts = Vec::new();
        let (mut rest, mut plain) = (marker, String::new());
        while let Some(start) = rest.find("<|") {
            let Some(length) = rest[start..].find("|>").map(|length| length + 2) else { break };
            let (before, from) = rest.split_at(start);
            let (name, behind) = from.split_at(length);
            plain.push_str(before);
            match (self.tokens)(name) {
                Some(id) => {
                    parts.extend((!plain.is_empty()).then(|| quote(&plain)));
                    plain.clear();
                    parts.push(format!("<[{id}]>"));
                }
                None => plain.push_str(name),
            }
            rest = behind;
        }
        plain.push_str(rest);
        parts.extend((!plain.is_empty()).then(|| quote(&plain)));
        parts.join(" ")
    }

    /// The special token that a marker begins with, if it does.
    pub(super) fn first_token(&self, marker: &str) -> Option<u32> {
        if let Some(id) = (self.tokens)(marker) {
            return Some(id);
        }
        let length = marker.starts_with("<|").then(|| marker.find("|>")).flatten()? + 2;
        (self.tokens)(&marker[..length])
    }

    pub(super) fn finish(self) -> (String, Vec<Value>, Vec<usize>) {
        (self.text, self.schemas, self.owners)
    }
}

/// A text as a string of the grammar. Brackets are escaped, for nesting is counted in the text.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    for c in json!(text).to_string().chars() {
        match c {
            '(' | ')' | '[' | ']' | '{' | '}' | '\u{7f}' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => quoted.push(c),
        }
    }
    quoted
}

/// A text as a part of a regular expression between slashes.
pub(super) fn pattern(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | ' ' => escaped.push(c),
            _ => escaped.push_str(&format!("\\x{{{:x}}}", u32::from(c))),
        }
    }
    escaped
}

/// Several alternatives, in brackets if need be.
pub(super) fn any_of(alternatives: &[String]) -> String {
    match alternatives {
        [only] => only.clone(),
        _ => format!("({})", alternatives.join(" | ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_special_tokens_where_the_vocabulary_has_them() {
        let tokens = |text: &str| match text {
            "<|a|>" => Some(7),
            "[X]" => Some(8),
            _ => None,
        };
        let lark = Lark::new(&tokens);
        assert_eq!(lark.marker("[X]"), "<[8]>");
        assert_eq!(lark.marker("<|a|>b<|c|>"), r#"<[7]> "b<|c|>""#);
        assert_eq!(lark.marker("x<|a|><|a|>"), r#""x" <[7]> <[7]>"#);
        assert_eq!(lark.marker("<|b"), r#""<|b""#);
        assert_eq!(
            (lark.first_token("<|a|>b"), lark.first_token("<|b|>"), lark.first_token("b")),
            (Some(7), None, None)
        );
    }

    #[test]
    fn quoted_texts_are_strings_of_the_grammar() {
        assert_eq!(quote("a\"\n\u{7f}[é"), r#""a\"\n\u007f\u005bé""#);
        assert_eq!(pattern("a</é"), r"a\x{3c}\x{2f}\x{e9}");
    }
}
