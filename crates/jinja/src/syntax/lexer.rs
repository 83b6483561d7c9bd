//! Source text to tokens, with the white space rules of `trim_blocks` and `lstrip_blocks`.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::value::text::is_space;

/// A token and the line where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) what: Tok,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tok {
    /// Text outside of tags.
    Data(String),
    PrintBegin,
    PrintEnd,
    TagBegin,
    TagEnd,
    Name(Arc<str>),
    Text(String),
    Int(i128),
    Float(f64),
    Op(&'static str),
    End,
}

impl Tok {
    /// For messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Tok::Data(_) => "template data / text".to_owned(),
            Tok::PrintBegin => "begin of print statement".to_owned(),
            Tok::PrintEnd => "end of print statement".to_owned(),
            Tok::TagBegin => "begin of statement block".to_owned(),
            Tok::TagEnd => "end of statement block".to_owned(),
            Tok::Name(name) => name.to_string(),
            Tok::Text(_) => "string".to_owned(),
            Tok::Int(_) => "integer".to_owned(),
            Tok::Float(_) => "float".to_owned(),
            Tok::Op(op) => (*op).to_owned(),
            Tok::End => "end of template".to_owned(),
        }
    }
}

/// Bytes of a name.
const LONGEST_NAME: usize = 200;

/// Longest first.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
];

/// All tokens of a template; the last one is [`Tok::End`].
pub(crate) fn tokenize(source: &str) -> Result<Vec<Token>> {
    let mut source = source.replace("\r\n", "\n").replace('\r', "\n");
    if source.ends_with('\n') {
        source.pop();
    }
    let mut lexer = Lexer { source: &source, pos: 0, line: 1, line_starting: true, tokens: Vec::new() };
    lexer.run()?;
    lexer.push(Tok::End);
    Ok(lexer.tokens)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opener {
    Print,
    Tag,
    Comment,
}

struct Lexer<'s> {
    source: &'s str,
    pos: usize,
    line: usize,
    /// Whether what was read last ended with a line end.
    line_starting: bool,
    tokens: Vec<Token>,
}

impl<'s> Lexer<'s> {
    fn run(&mut self) -> Result<()> {
        while let Some((at, opener)) = self.find_opener() {
            let text = &self.source[self.pos..at];
            let sign = self.source[at + 2..].chars().next().filter(|c| matches!(c, '-' | '+'));
            self.data(text, sign, opener != Opener::Print);
            self.pos = at + 2 + usize::from(sign.is_some());
            self.line_starting = false;
            match opener {
                Opener::Comment => self.comment()?,
                Opener::Tag if self.raw_begins() => self.raw()?,
                Opener::Tag => {
                    self.push(Tok::TagBegin);
                    self.inside(Tok::TagEnd)?;
                }
                Opener::Print => {
                    self.push(Tok::PrintBegin);
                    self.inside(Tok::PrintEnd)?;
                }
            }
        }
        let rest = &self.source[self.pos..];
        if !rest.is_empty() {
            self.push(Tok::Data(rest.to_owned()));
            self.advance(rest.len());
        }
        Ok(())
    }

    fn push(&mut self, what: Tok) {
        self.tokens.push(Token { line: self.line, what });
    }

    fn rest(&self) -> &'s str {
        &self.source[self.pos..]
    }

    fn advance(&mut self, bytes: usize) {
        let read = &self.source[self.pos..self.pos + bytes];
        self.line += read.matches('\n').count();
        self.line_starting = read.ends_with('\n');
        self.pos += bytes;
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.advance(rest.len() - rest.trim_start_matches(is_space).len());
    }

    fn find_opener(&self) -> Option<(usize, Opener)> {
        let mut from = self.pos;
        loop {
            let at = from + self.source[from..].find('{')?;
            match self.source.as_bytes().get(at + 1) {
                Some(b'{') => return Some((at, Opener::Print)),
                Some(b'%') => return Some((at, Opener::Tag)),
                Some(b'#') => return Some((at, Opener::Comment)),
                _ => from = at + 1,
            }
        }
    }

    /// The text before a tag, without the white space that the tag takes away.
    fn data(&mut self, text: &str, sign: Option<char>, block: bool) {
        let kept = match sign {
            Some('-') => text.trim_end_matches(is_space),
            None if block => {
                let line_start = text.rfind('\n').map_or(0, |at| at + 1);
                let indented = text[line_start..].chars().all(is_space);
                if indented && (line_start > 0 || self.line_starting) { &text[..line_start] } else { text }
            }
            _ => text,
        };
        if !kept.is_empty() {
            self.push(Tok::Data(kept.to_owned()));
        }
        self.line += text.matches('\n').count();
    }

    fn comment(&mut self) -> Result<()> {
        let rest = self.rest();
        let end = rest.find("#}").ok_or_else(|| Error::syntax(self.line, "Missing end of comment tag"))?;
        let sign = rest[..end].chars().next_back();
        self.advance(end + 2);
        self.after_block(sign);
        Ok(())
    }

    /// The white space that the end of a block takes away.
    fn after_block(&mut self, sign: Option<char>) {
        match sign {
            Some('-') => self.skip_space(),
            Some('+') => {}
            _ if self.rest().starts_with('\n') => self.advance(1),
            _ => {}
        }
    }

    /// Whether `raw` and the end of its tag come next, behind `{%` and a sign.
    fn raw_begins(&self) -> bool {
        let Some(rest) = self.rest().trim_start_matches(is_space).strip_prefix("raw") else { return false };
        let rest = rest.trim_start_matches(is_space);
        rest.starts_with("%}") || rest.starts_with("-%}")
    }

    /// Everything up to `{% endraw %}`, as it stands.
    fn raw(&mut self) -> Result<()> {
        let begin = self.rest().find("%}").map_or(0, |at| at + 2);
        let strips = self.rest()[..begin].ends_with("-%}");
        self.advance(begin);
        if strips {
            self.skip_space();
        }
        let missing = Error::syntax(self.line, "Missing end of raw directive");
        let mut from = self.pos;
        loop {
            let at = from + self.source[from..].find("{%").ok_or_else(|| missing.clone())?;
            let tag = &self.source[at + 2..];
            let sign = tag.chars().next().filter(|c| matches!(c, '-' | '+'));
            let inner = tag[usize::from(sign.is_some())..].trim_start_matches(is_space);
            if let Some(end) = inner.strip_prefix("endraw").map(|end| end.trim_start_matches(is_space)) {
                let end_sign = end.chars().next().filter(|c| matches!(c, '-' | '+'));
                if end[usize::from(end_sign.is_some())..].starts_with("%}") {
                    let text = &self.source[self.pos..at];
                    self.data(text, sign, true);
                    self.pos = at;
                    let end_at = self.source.len() - end.len() + usize::from(end_sign.is_some()) + 2;
                    self.advance(end_at - at);
                    self.after_block(end_sign);
                    return Ok(());
                }
            }
            from = at + 2;
        }
    }

    /// The tokens of a tag up to its end.
    fn inside(&mut self, end: Tok) -> Result<()> {
        let closer = if end == Tok::TagEnd { "%}" } else { "}}" };
        let mut open = Vec::new();
        loop {
            self.skip_space();
            let rest = self.rest();
            let sign = rest.chars().next().filter(|c| *c == '-' || (*c == '+' && end == Tok::TagEnd));
            if open.is_empty() && rest[usize::from(sign.is_some())..].starts_with(closer) {
                self.push(end.clone());
                self.advance(usize::from(sign.is_some()) + 2);
                match sign {
                    _ if end == Tok::TagEnd => self.after_block(sign),
                    Some(_) => self.skip_space(),
                    None => {}
                }
                return Ok(());
            }
            let Some(c) = rest.chars().next() else { return Ok(()) };
            match c {
                '0'..='9' => self.number()?,
                '"' | '\'' => self.string(c)?,
                _ if c.is_alphabetic() || c == '_' => {
                    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                    if end > LONGEST_NAME {
                        return Err(Error::syntax(self.line, format!("a name has more than {LONGEST_NAME} bytes")));
                    }
                    self.push(Tok::Name(rest[..end].into()));
                    self.advance(end);
                }
                _ => self.operator(c, &mut open)?,
            }
        }
    }

    fn operator(&mut self, c: char, open: &mut Vec<&'static str>) -> Result<()> {
        let op = OPERATORS.into_iter().find(|op| self.rest().starts_with(op));
        let op = op.ok_or_else(|| Error::syntax(self.line, format!("unexpected char {c:?}")))?;
        match op {
            "(" => open.push(")"),
            "[" => open.push("]"),
            "{" => open.push("}"),
            ")" | "]" | "}" => match open.pop() {
                Some(expected) if expected == op => {}
                Some(expected) => {
                    return Err(Error::syntax(self.line, format!("unexpected '{op}', expected '{expected}'")));
                }
                None => return Err(Error::syntax(self.line, format!("unexpected '{op}'"))),
            },
            _ => {}
        }
        self.push(Tok::Op(op));
        self.advance(op.len());
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let rest = self.rest();
        let length = float_length(rest).filter(|_| !self.source[..self.pos].ends_with('.'));
        if let Some(length) = length {
            let number = rest[..length].replace('_', "").parse();
            let number = number.map_err(|_| Error::syntax(self.line, "a number that is none"))?;
            self.push(Tok::Float(number));
            self.advance(length);
            return Ok(());
        }
        let prefix = rest.get(..2).map(str::to_ascii_lowercase);
        let (radix, skip) = match prefix.as_deref() {
            Some("0x") => (16, 2),
            Some("0o") => (8, 2),
            Some("0b") => (2, 2),
            _ => (10, 0),
        };
        let digits = digits_length(&rest[skip..], radix);
        let (radix, skip, digits) = if digits == 0 { (10, 0, 1) } else { (radix, skip, digits) };
        let text = rest[skip..skip + digits].replace('_', "");
        let number = i128::from_str_radix(&text, radix);
        let number = number.map_err(|_| Error::syntax(self.line, "an integer is larger than 128 bits"))?;
        self.push(Tok::Int(number));
        self.advance(skip + digits);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<()> {
        let rest = self.rest();
        let mut out = String::new();
        let mut chars = rest[1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.push(Tok::Text(out));
                    self.advance(at + 2);
                    return Ok(());
                }
                '\\' => {
                    let escape = &rest[1 + at..];
                    let (character, length) = unescape(escape).map_err(|e| Error::syntax(self.line, e))?;
                    out.extend(character);
                    // All of an escape is ASCII, or the backslash alone is taken.
                    let end = at + length;
                    while chars.offset() < end && chars.next().is_some() {}
                }
                c => out.push(c),
            }
        }
        Err(Error::syntax(self.line, format!("unexpected char {quote:?}: the string does not end")))
    }
}

/// The length of a number with a fraction or an exponent at the beginning of a text.
fn float_length(text: &str) -> Option<usize> {
    let whole = digits_length(text, 10);
    let mut end = whole;
    let fraction = text[end..].strip_prefix('.').map_or(0, |rest| digits_length(rest, 10));
    if fraction > 0 {
        end += 1 + fraction;
    }
    if let Some(exponent) = text[end..].strip_prefix(['e', 'E']) {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let length = digits_length(digits, 10);
        if length > 0 {
            end += 1 + (exponent.len() - digits.len()) + length;
        }
    }
    (whole > 0 && end > whole).then_some(end)
}

/// The length of the digits at the beginning of a text, single underscores between them included.
fn digits_length(text: &str, radix: u32) -> usize {
    let mut end = 0;
    let mut underscore = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if c.is_digit(radix) => {
                end = at + 1;
                underscore = false;
            }
            '_' if !underscore && end > 0 => underscore = true,
            _ => break,
        }
    }
    end
}

/// What an escape at the beginning of a text stands for, as in Python (`None`: nothing), and how many bytes it has.
fn unescape(text: &str) -> std::result::Result<(Option<char>, usize), String> {
    let Some(code) = text[1..].chars().next() else { return Ok((Some('\\'), 1)) };
    let simple = |c: char| Ok((Some(c), 2));
    match code {
        '\n' => Ok((None, 2)),
        '\\' | '\'' | '"' => simple(code),
        'n' => simple('\n'),
        't' => simple('\t'),
        'r' => simple('\r'),
        'a' => simple('\u{7}'),
        'b' => simple('\u{8}'),
        'f' => simple('\u{c}'),
        'v' => simple('\u{b}'),
        '0'..='7' => {
            let length = text[1..].bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            let number = u32::from_str_radix(&text[1..=length], 8).unwrap_or(0);
            Ok((char::from_u32(number), 1 + length))
        }
        'x' => hex(text, 2),
        'u' => {
            let (first, length) = hex_number(text, 4)?;
            match char::from_u32(first) {
                Some(c) => Ok((Some(c), length)),
                None => surrogates(text, first),
            }
        }
        'U' => hex(text, 8),
        'N' => Err("\\N{...} in strings is not supported: write the character itself".to_owned()),
        _ => Ok((Some('\\'), 1)),
    }
}

fn hex_number(text: &str, digits: usize) -> std::result::Result<(u32, usize), String> {
    let number = text.get(2..2 + digits).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
    let number = number.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.map(|number| (number, 2 + digits)).ok_or_else(|| format!("truncated \\{} escape", &text[1..2]))
}

fn hex(text: &str, digits: usize) -> std::result::Result<(Option<char>, usize), String> {
    let (number, length) = hex_number(text, digits)?;
    let character = char::from_u32(number).ok_or_else(|| format!("\\{} escape of no character", &text[1..2]))?;
    Ok((Some(character), length))
}

/// Two escapes of UTF-16 that are one character.
fn surrogates(text: &str, first: u32) -> std::result::Result<(Option<char>, usize), String> {
    let second = text.get(6..).filter(|rest| rest.starts_with("\\u")).and_then(|rest| hex_number(rest, 4).ok());
    let units = [first as u16, second.map_or(0, |(number, _)| number as u16)];
    match char::decode_utf16(units).next() {
        Some(Ok(c)) => Ok((Some(c), 12)),
        _ => Err("half of a surrogate pair in a string".to_owned()),
    }
}
