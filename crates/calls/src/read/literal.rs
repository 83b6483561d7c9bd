//! Values as JSON text.

use serde_json::{Value, json};

use super::json::{At, Unescape, escape};
use crate::schema::Kinds;

/// A text as a JSON value of one of some kinds: what it says as JSON or as Python, if that is one of them; else itself.
pub(super) fn of_text(text: &str, kinds: Kinds) -> String {
    let trimmed = text.trim();
    let is_one = |value: &Value| kinds.meets(Kinds::of_value(value));
    match serde_json::from_str::<Value>(trimmed) {
        Ok(value) if is_one(&value) || !kinds.meets(Kinds::STRING) => return trimmed.to_owned(),
        Ok(_) => {}
        Err(_) => {
            let mut literal = Literal::new(Notation::Python);
            let mut written = String::new();
            let mut steps = trimmed.chars().chain([' ']).map(|c| literal.step(c, &mut written));
            let is_whole = steps.all(|at| at.is_ok()) && literal.is_whole();
            if let (true, Ok(value)) = (is_whole, serde_json::from_str::<Value>(&written))
                && !value.is_string()
                && is_one(&value)
            {
                return written;
            }
        }
    }
    json!(text).to_string()
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// As in Python.
    Python,
    /// As Gemma writes them: keys without quotes, texts between markers, without escapes.
    Gemma(&'static str),
}

impl Notation {
    /// What texts stand between.
    fn quotes(&self) -> &[&'static str] {
        match self {
            Notation::Python => &["\"", "'"],
            Notation::Gemma(quote) => std::slice::from_ref(quote),
        }
    }
}

/// Reads a value in another notation and writes it as JSON, a character at a time.
#[derive(Debug)]
pub(super) struct Literal {
    notation: Notation,
    state: State,
    /// Containers that are open, one inside of the other.
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    is_object: bool,
    /// The bracket that ends it.
    close: char,
    is_empty: bool,
    /// Whether the next value is a key.
    at_key: bool,
}

#[derive(Debug)]
enum State {
    /// Before a value or a key.
    Value,
    /// What may be the quote before a string.
    Quote(String),
    /// A string with the number of its quote; for notations without escapes also what may be the quote behind it.
    String(usize, Unescape, String),
    /// A word or a number.
    Word(String),
    /// Behind a value.
    Next,
    /// Behind a key.
    Colon,
    Whole,
}

/// Not this notation.
#[derive(Debug)]
pub(super) struct Broken;

impl Literal {
    pub(super) fn new(notation: Notation) -> Self {
        Literal { notation, state: State::Value, open: Vec::new() }
    }

    /// Reads an object from behind its brace on. The brace is not written.
    pub(super) fn inside_of_object(notation: Notation) -> Self {
        let mut literal = Literal::new(notation);
        literal.open.push(Open { is_object: true, close: '}', is_empty: true, at_key: true });
        literal
    }

    /// Whether a value has been read to its end.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole)
    }

    /// Takes a character.
    pub(super) fn step(&mut self, c: char, out: &mut String) -> Result<At, Broken> {
        match &mut self.state {
            State::Whole => {
                if c.is_whitespace() {
                    Ok(At::Behind)
                } else {
                    Err(Broken)
                }
            }
            State::Value | State::Next | State::Colon if c.is_whitespace() => Ok(At::Inside),
            State::Value => self.value(c, out),
            State::Quote(_) => self.quote(c, out),
            State::String(..) => self.string(c, out),
            State::Word(word) => {
                let is_key = self.open.last().is_some_and(|open| open.at_key);
                let ends = matches!(c, ',' | '}' | ']' | ')') || c.is_whitespace() || (is_key && c == ':');
                if !ends {
                    word.push(c);
                    return Ok(At::Inside);
                }
                let word = std::mem::take(word);
                self.word(&word, is_key, out)?;
                if self.is_whole() { Ok(At::Behind) } else { self.step(c, out) }
            }
            State::Colon if c == ':' => {
                out.push_str(": ");
                self.state = State::Value;
                Ok(At::Inside)
            }
            State::Colon => Err(Broken),
            State::Next => match self.open.last_mut() {
                Some(open) if c == ',' => {
                    open.at_key = open.is_object;
                    self.state = State::Value;
                    Ok(At::Inside)
                }
                Some(open) if c == open.close => self.close(out),
                _ => Err(Broken),
            },
        }
    }

    /// The first character of a value or a key, or the end of a container.
    fn value(&mut self, c: char, out: &mut String) -> Result<At, Broken> {
        if self.open.last().is_some_and(|open| open.close == c && (open.at_key || !open.is_object)) {
            return self.close(out);
        }
        if matches!(c, ',' | ':' | '}' | ']' | ')') {
            return Err(Broken);
        }
        if let Some(open) = self.open.last_mut() {
            // A comma is written with what follows it: there may be one behind the last value.
            if !open.is_empty && (open.at_key || !open.is_object) {
                out.push_str(", ");
            }
            open.is_empty = false;
        }
        let is_key = self.open.last().is_some_and(|open| open.at_key);
        if self.notation.quotes().iter().any(|quote| quote.starts_with(c)) {
            self.state = State::Quote(String::new());
            return self.quote(c, out);
        }
        match c {
            '{' | '[' | '(' if !is_key => {
                let is_object = c == '{';
                out.push(if is_object { '{' } else { '[' });
                let close = match c {
                    '{' => '}',
                    '[' => ']',
                    _ => ')',
                };
                self.open.push(Open { is_object, close, is_empty: true, at_key: is_object });
                self.state = State::Value;
            }
            _ => self.state = State::Word(c.into()),
        }
        Ok(At::Inside)
    }

    /// A character of the quote before a string.
    fn quote(&mut self, c: char, out: &mut String) -> Result<At, Broken> {
        let State::Quote(read) = &mut self.state else { return Err(Broken) };
        read.push(c);
        let quotes = self.notation.quotes();
        if let Some(number) = quotes.iter().position(|quote| *quote == read.as_str()) {
            out.push('"');
            self.state = State::String(number, Unescape::default(), String::new());
            return Ok(At::Inside);
        }
        if quotes.iter().any(|quote| quote.starts_with(read.as_str())) { Ok(At::Inside) } else { Err(Broken) }
    }

    /// A character of a string.
    fn string(&mut self, c: char, out: &mut String) -> Result<At, Broken> {
        let State::String(number, reader, held) = &mut self.state else { return Err(Broken) };
        let quote = self.notation.quotes().get(*number).copied().unwrap_or_default();
        let mut text = String::new();
        let is_over = if self.notation == Notation::Python {
            reader.step_to(quote.chars().next().unwrap_or('"'), c, &mut text)
        } else {
            held.push(c);
            while !quote.starts_with(held.as_str()) {
                text.push(held.remove(0));
            }
            held == quote
        };
        text.chars().for_each(|c| escape(c, out));
        if is_over {
            out.push('"');
            return Ok(self.end_of_value());
        }
        Ok(At::Inside)
    }

    /// A word is whole: a key, a number or a constant. Other words are strings.
    fn word(&mut self, word: &str, is_key: bool, out: &mut String) -> Result<(), Broken> {
        if is_key {
            if self.notation == Notation::Python && serde_json::from_str::<Value>(word).is_err() {
                return Err(Broken);
            }
            out.push_str(&json!(word).to_string());
        } else {
            match word {
                "True" => out.push_str("true"),
                "False" => out.push_str("false"),
                "None" => out.push_str("null"),
                _ => match serde_json::from_str::<Value>(word) {
                    Ok(_) => out.push_str(word),
                    Err(_) => match word.replace('_', "").parse::<f64>() {
                        Ok(number) if number.is_finite() => out.push_str(&json!(number).to_string()),
                        _ => out.push_str(&json!(word).to_string()),
                    },
                },
            }
        }
        self.end_of_value();
        Ok(())
    }

    fn close(&mut self, out: &mut String) -> Result<At, Broken> {
        let open = self.open.pop().ok_or(Broken)?;
        out.push(if open.is_object { '}' } else { ']' });
        Ok(self.end_of_value())
    }

    /// What comes behind a value or a key.
    fn end_of_value(&mut self) -> At {
        match self.open.last_mut() {
            None => {
                self.state = State::Whole;
                At::End
            }
            Some(open) if open.at_key => {
                open.at_key = false;
                self.state = State::Colon;
                At::Inside
            }
            Some(_) => {
                self.state = State::Next;
                At::Inside
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(notation: Notation, text: &str) -> Option<String> {
        let mut literal = Literal::new(notation);
        let mut out = String::new();
        for c in text.chars().chain([' ']) {
            literal.step(c, &mut out).ok()?;
        }
        literal.is_whole().then_some(out)
    }

    #[test]
    fn values_of_python_are_written_as_json() {
        let python = |text| read(Notation::Python, text);
        assert_eq!(
            python("{'a': [1, 2.5,], \"b\": (True, None,), 'c': {}}").as_deref(),
            Some(r#"{"a": [1, 2.5], "b": [true, null], "c": {}}"#)
        );
        assert_eq!(python("'it\\'s \\x41 \\u00e9 \\U0001f600\"\n'").as_deref(), Some(r#""it's A é 😀\"\n""#));
        assert_eq!(python("1_000").as_deref(), Some("1000.0"));
        assert_eq!(python(".5").as_deref(), Some("0.5"));
        assert_eq!(python("word").as_deref(), Some("\"word\""));
        assert_eq!(
            [python("[1, 2"), python("{1 2}"), python("{a: 1}"), python("]"), python("'a' 'b'")],
            [const { None }; 5]
        );
    }

    #[test]
    fn values_of_gemma_are_written_as_json() {
        let text = "{city:<|\"|>Ro\"me\n<|x<|\"|>,n:-1,<|\"|>a:b<|\"|>:[true,<|\"|><|\"|>],o:{}}";
        let written = r#"{"city": "Ro\"me\n<|x", "n": -1, "a:b": [true, ""], "o": {}}"#;
        assert_eq!(read(Notation::Gemma("<|\"|>"), text).as_deref(), Some(written));
        assert_eq!(read(Notation::Gemma("<escape>"), "{a:<escape>x<<escape>}").as_deref(), Some(r#"{"a": "x<"}"#));
    }

    #[test]
    fn texts_are_values_of_the_kinds_that_are_asked_for() {
        let root = Value::Null;
        let of = |text, schema| of_text(text, Kinds::of_schema(&schema, &root));
        assert_eq!(of(" 12\n", json!({ "type": "integer" })), "12");
        assert_eq!(of("12", json!({ "type": ["string", "null"] })), "\"12\"");
        assert_eq!(of("null", json!({ "type": ["string", "null"] })), "null");
        assert_eq!(of("True", json!({ "type": "boolean" })), "true");
        assert_eq!(of("{'a': 1}", json!({})), "{\"a\": 1}");
        assert_eq!(of(" a\nb", json!({})), "\" a\\nb\"");
        assert_eq!(of("yes", json!({ "type": "boolean" })), "\"yes\"");
    }
}
