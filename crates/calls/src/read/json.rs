//! JSON as it is written, a character at a time.

/// Finds where a JSON value ends. It knows strings and depth, and takes whatever else stands between.
#[derive(Debug, Default)]
pub(super) struct Scan {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    is_scalar: bool,
}

/// Where a value is after a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// It goes on.
    Inside,
    /// The character is its last.
    End,
    /// The character is behind it.
    Behind,
}

impl Scan {
    /// Whether the value is inside of a string.
    pub(super) fn is_in_string(&self) -> bool {
        self.in_string
    }

    /// Takes the next character of a value, before which white space may stand.
    pub(super) fn step(&mut self, c: char) -> At {
        if self.in_string {
            match c {
                _ if self.is_escaped => self.is_escaped = false,
                '\\' => self.is_escaped = true,
                '"' => {
                    self.in_string = false;
                    return if self.depth == 0 { At::End } else { At::Inside };
                }
                _ => {}
            }
            return At::Inside;
        }
        if self.is_scalar {
            let is_behind = matches!(c, ',' | '}' | ']' | ':') || c.is_whitespace();
            return if is_behind { At::Behind } else { At::Inside };
        }
        match c {
            '"' => self.in_string = true,
            '{' | '[' => self.depth += 1,
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return At::End;
                }
            }
            _ if self.depth == 0 && !c.is_whitespace() => self.is_scalar = true,
            _ => {}
        }
        At::Inside
    }
}

/// Reads a JSON string from behind its first quote.
#[derive(Debug, Default)]
pub(super) struct Unescape {
    is_escaped: bool,
    /// Digits of `\u` that are still to come, and those before.
    digits: u32,
    code: u32,
    /// The first half of a pair of surrogates.
    high: Option<u32>,
}

impl Unescape {
    /// Takes a character and writes what it stands for; `true` at the quote that ends the string. Halves of pairs are U+FFFD.
    pub(super) fn step(&mut self, c: char, text: &mut String) -> bool {
        self.step_to('"', c, text)
    }

    /// The same, of a string that ends with another quote.
    pub(super) fn step_to(&mut self, quote: char, c: char, text: &mut String) -> bool {
        if self.digits > 0 {
            if let Some(digit) = c.to_digit(16) {
                self.code = self.code.wrapping_shl(4) | digit;
                self.digits -= 1;
                if self.digits == 0 {
                    self.unit(text);
                }
                return false;
            }
            // No digit: the escape is broken, and what is here stands for itself.
            self.digits = 0;
            text.push(char::REPLACEMENT_CHARACTER);
        }
        if self.is_escaped {
            self.is_escaped = false;
            // JSON has `\u` alone, Python the others too.
            if let 'u' | 'x' | 'U' = c {
                (self.digits, self.code) = (if c == 'x' { 2 } else { 4 * (1 + u32::from(c == 'U')) }, 0);
                return false;
            }
            self.flush(text);
            text.push(match c {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                other => other,
            });
            return false;
        }
        if c == '\\' {
            self.is_escaped = true;
            return false;
        }
        self.flush(text);
        if c == quote {
            return true;
        }
        text.push(c);
        false
    }

    /// A whole unit of UTF-16.
    fn unit(&mut self, text: &mut String) {
        match (self.high.take(), self.code) {
            (Some(high), low @ 0xDC00..=0xDFFF) => {
                let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                text.extend(char::from_u32(code));
            }
            (before, code) => {
                text.extend(before.map(|_| char::REPLACEMENT_CHARACTER));
                match code {
                    0xD800..=0xDBFF => self.high = Some(code),
                    _ => text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)),
                }
            }
        }
    }

    /// A first half that nothing follows.
    fn flush(&mut self, text: &mut String) {
        text.extend(self.high.take().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// Writes a character as it stands in a JSON string.
pub(super) fn escape(c: char, text: &mut String) {
    match c {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '\t' => text.push_str("\\t"),
        '\r' => text.push_str("\\r"),
        '\0'..='\x1f' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
        _ => text.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unescape(text: &str) -> String {
        let (mut reader, mut read) = (Unescape::default(), String::new());
        let end = text.chars().position(|c| reader.step(c, &mut read));
        assert_eq!(end, Some(text.chars().count() - 1));
        read
    }

    #[test]
    fn strings_are_read_as_serde_reads_them() {
        for text in ["", "a\"b\\c/\n\t\u{1}é😀", "\\u0041", "\u{FFFF}"] {
            let written = serde_json::to_string(text).unwrap();
            assert_eq!(unescape(&written[1..]), text);
        }
        assert_eq!(unescape(r#"😀A""#), "😀A");
        assert_eq!(unescape(r#"\ud83dx\ud83d\n\ud83d""#), "\u{FFFD}x\u{FFFD}\n\u{FFFD}");
        assert_eq!(unescape(r#"\u00g""#), "\u{FFFD}g");
    }

    #[test]
    fn a_value_ends_where_it_does() {
        let end = |text: &str| {
            let mut scan = Scan::default();
            text.chars().map(|c| scan.step(c)).enumerate().find(|(_, at)| *at != At::Inside)
        };
        assert_eq!(end(r#"{"a}":[{}]}x"#), Some((10, At::End)));
        assert_eq!(end(r#""a\"b"x"#), Some((5, At::End)));
        assert_eq!(end("12,"), Some((2, At::Behind)));
        assert_eq!(end("{[}"), None);
    }
}
