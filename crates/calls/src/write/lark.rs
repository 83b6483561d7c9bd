//! A grammar in the making, in llguidance's Lark.

use serde_json::{Value, json};

/// The id of a text that is one special token of the vocabulary.
pub(super) type Tokens<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// Any text, also an empty one.
pub(super) const ANY: &str = r"/(.|\n)*/";

/// The name under which each call is captured: an answer that has the same one too often ends, see `parkade_grammar::PIECE`.
const PIECE: &str = "__LIST_APPEND:piece";

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

    /// Adds the rule `call`: one of several rules.
    pub(super) fn call(&mut self, calls: &[String]) {
        self.rule(&format!("call[capture=\"{PIECE}\"]"), &any_of(calls));
    }

    /// Adds a schema of a function, by its number, and says how rules name it.
    pub(super) fn schema(&mut self, schema: Value, function: usize) -> String {
        self.schemas.push(schema);
        self.owners.push(function);
        format!("@schema{}", self.schemas.len() - 1)
    }

    /// A marker: its special token if it is one, else its text, in which special tokens of the form `<name>` are looked for.
    pub(super) fn marker(&self, marker: &str) -> String {
        if let Some(id) = (self.tokens)(marker) {
            return format!("<[{id}]>");
        }
        let mut parts = Vec::new();
        let (mut rest, mut plain) = (marker, String::new());
        while let Some(start) = rest.find('<') {
            let (before, from) = rest.split_at(start);
            plain.push_str(before);
            match self.token_at(from) {
                Some((id, length)) => {
                    parts.extend((!plain.is_empty()).then(|| quote(&plain)));
                    plain.clear();
                    parts.push(format!("<[{id}]>"));
                    rest = &from[length..];
                }
                None => {
                    plain.push('<');
                    rest = &from[1..];
                }
            }
        }
        plain.push_str(rest);
        parts.extend((!plain.is_empty()).then(|| quote(&plain)));
        parts.join(" ")
    }

    /// The special token that a text begins with, and its length.
    fn token_at(&self, text: &str) -> Option<(u32, usize)> {
        let length = text.find('>')? + 1;
        (self.tokens)(&text[..length]).map(|id| (id, length))
    }

    /// The special token that a marker begins with, if it does, and what stands behind it.
    pub(super) fn first_token<'b>(&self, marker: &'b str) -> Option<(u32, &'b str)> {
        match (self.tokens)(marker) {
            Some(id) => Some((id, "")),
            None => self.token_at(marker).map(|(id, length)| (id, &marker[length..])),
        }
    }

    /// Adds rules of a list of rules in their order, of which some must be there, and says which rule it is.
    pub(super) fn list(&mut self, name: &str, items: &[(String, bool)], separator: &str) -> String {
        let separator = quote(separator);
        // `f` is where nothing has been written yet, `n` is behind an item.
        let (first, next) = (|at: usize| format!("{name}f{at}"), |at: usize| format!("{name}n{at}"));
        self.rule(&first(items.len()), "\"\"");
        self.rule(&next(items.len()), "\"\"");
        for (at, (item, is_required)) in items.iter().enumerate().rev() {
            let after = next(at + 1);
            let skip = |rule: String| if *is_required { String::new() } else { format!(" | {rule}") };
            self.rule(&first(at), &format!("{item} {after}{}", skip(first(at + 1))));
            self.rule(&next(at), &format!("{separator} {item} {after}{}", skip(next(at + 1))));
        }
        first(0)
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

/// A terminal: text without any of some texts in it, one character at least.
pub(super) fn without(texts: &[&str]) -> String {
    format!(r"/(.|\n)+/{}", and_without(texts))
}

/// Of a terminal: and without any of some texts in it.
pub(super) fn and_without(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| pattern(text)).collect();
    if texts.is_empty() { String::new() } else { format!(r" & ~/(.|\n)*({})(.|\n)*/", texts.join("|")) }
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
            (Some((7, "b")), None, None)
        );
    }

    #[test]
    fn quoted_texts_are_strings_of_the_grammar() {
        assert_eq!(quote("a\"\n\u{7f}[é"), r#""a\"\n\u007f\u005bé""#);
        assert_eq!(pattern("a</é"), r"a\x{3c}\x{2f}\x{e9}");
    }
}
