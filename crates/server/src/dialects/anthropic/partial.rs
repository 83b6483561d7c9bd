//! What is whole of JSON that breaks off.
//!
//! An answer may be cut in the arguments of a call. Anthropic's clients put the members of a streamed call together as far as they are
//! whole; this does the same for answers that are not streamed, so that both say the same.

use serde_json::Value;

/// The value without what is not whole at its end; `None` if nothing of it is, or it is no JSON. A number at the very end may be cut, so it is
/// left out.
pub(super) fn whole_part(text: &str) -> Option<Value> {
    let mut scan = Scan::default();
    text.char_indices().for_each(|(at, c)| scan.step(at, c));
    let Scan { end, open, .. } = scan;
    let closers = open.iter().rev().map(|bracket| if *bracket == '{' { '}' } else { ']' });
    let closed: String = text[..end].chars().chain(closers).collect();
    serde_json::from_str(&closed).ok()
}

/// Where a text could have ended, read up to some character.
#[derive(Default)]
struct Scan {
    /// Brackets that are open at this place.
    now: Vec<char>,
    /// The last place behind which nothing but brackets is missing, and those that are open there.
    end: usize,
    open: Vec<char>,
    in_string: bool,
    is_escaped: bool,
    /// Whether the string is a key.
    is_key: bool,
    /// Whether a key comes next, if a string does.
    at_key: bool,
}

impl Scan {
    fn step(&mut self, at: usize, c: char) {
        if self.in_string {
            match c {
                _ if self.is_escaped => self.is_escaped = false,
                '\\' => self.is_escaped = true,
                '"' => {
                    self.in_string = false;
                    if !self.is_key {
                        self.ends_at(at + 1);
                    }
                }
                _ => {}
            }
            return;
        }
        match c {
            '"' => (self.in_string, self.is_key) = (true, self.at_key),
            '{' | '[' => {
                self.now.push(c);
                self.at_key = c == '{';
                self.ends_at(at + 1);
            }
            '}' | ']' => {
                self.now.pop();
                self.at_key = false;
                self.ends_at(at + 1);
            }
            ',' => {
                self.ends_at(at);
                self.at_key = self.now.last() == Some(&'{');
            }
            ':' => self.at_key = false,
            _ => {}
        }
    }

    fn ends_at(&mut self, at: usize) {
        self.end = at;
        self.open.clone_from(&self.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_that_are_whole_stay() {
        for (text, whole) in [
            (r#"{"a": 1, "b": [1, 2], "c": {"d": "x"}}"#, json!({"a": 1, "b": [1, 2], "c": {"d": "x"}})),
            (r#"{"a": 1, "b": [1, 2], "c": {"d": "x""#, json!({"a": 1, "b": [1, 2], "c": {"d": "x"}})),
            (r#"{"a": 1, "b": [1, 2"#, json!({"a": 1, "b": [1]})),
            (r#"{"a": "x, y}", "b"#, json!({"a": "x, y}"})),
            (r#"{"a": "x\", \\", "b": "#, json!({"a": "x\", \\"})),
            (r#"{"a": "x", "b": "y"#, json!({"a": "x"})),
            (r#"{"a": tru"#, json!({})),
            (r#"{"a": true,"#, json!({"a": true})),
            (r#"{"é": ["é", "#, json!({"é": ["é"]})),
            ("{", json!({})),
        ] {
            assert_eq!(whole_part(text), Some(whole), "{text}");
        }
        for text in ["", "5", "nothing", "\"a"] {
            assert_eq!(whole_part(text), None, "{text}");
        }
    }

    #[test]
    fn any_beginning_of_an_object_has_a_whole_part() {
        let text = json!({"a": [{"b": "c\\\"{["}, null, -1.5e3, []], "d": {"e": {}}, "é,": "}"}).to_string();
        for (at, _) in text.char_indices().skip(1) {
            assert!(whole_part(&text[..at]).is_some_and(|value| value.is_object()), "{}", &text[..at]);
        }
    }
}
