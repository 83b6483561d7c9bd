//! Filters for HTML. A prompt is no HTML, but some templates escape what others wrote.

use crate::budget::{Budget, Work};
use crate::error::{Error, Result, shown};
use crate::eval::Interpreter;
use crate::eval::args::{Args, flag};
use crate::value::Value;
use crate::value::print::write_pieces;
use crate::value::text::{Text, TextBuilder, is_space};

/// Named characters that `striptags` turns back; Python knows two thousand.
const ENTITIES: [(&str, char); 22] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", '\u{a0}'),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("hellip", '…'),
    ("mdash", '—'),
    ("ndash", '–'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("bull", '•'),
    ("middot", '·'),
    ("euro", '€'),
    ("deg", '°'),
];

/// A text that is safe in HTML; what is marked as such stays as it is.
pub(crate) fn escape(text: &Text, budget: &Budget) -> Result<Text> {
    if text.is_markup() {
        return Ok(text.clone());
    }
    let mut out = TextBuilder::new(budget);
    write_pieces(text, &mut out, |c, escaped| {
        escaped.push_str(match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '\'' => "&#39;",
            '"' => "&#34;",
            _ => return false,
        });
        true
    })?;
    out.finish().with_markup(budget)
}

pub(super) fn escape_filter(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("escape")?;
    let text = interpreter.str(&value)?;
    escape(&text, interpreter.budget).map(Value::Text)
}

/// Escapes also what is escaped already.
pub(super) fn forceescape(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("forceescape")?;
    let text = interpreter.str(&value)?.without_markup(interpreter.budget)?;
    escape(&text, interpreter.budget).map(Value::Text)
}

pub(super) fn safe(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("safe")?;
    interpreter.str(&value)?.with_markup(interpreter.budget).map(Value::Text)
}

/// Without tags and comments, with single spaces.
pub(super) fn striptags(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("striptags")?;
    let budget = interpreter.budget;
    let text = interpreter.str(&value)?;
    let whole = text.as_str();
    budget.work(Work::Rewrite, whole.len())?;
    let mut plain = TextBuilder::new(budget);
    let mut at = 0;
    while let Some(start) = whole[at..].find('<').map(|start| at + start) {
        let comment = whole[start..].starts_with("<!--");
        let end = match comment {
            true => whole[start + 4..].find("-->").map(|end| start + 4 + end + 3),
            false => whole[start..].find('>').map(|end| start + end + 1),
        };
        let Some(end) = end else { break };
        plain.push_slice(&text, at..start)?;
        at = end;
    }
    plain.push_slice(&text, at..whole.len())?;
    let plain = plain.finish();

    let mut out = TextBuilder::new(budget);
    for word in plain.as_str().split(is_space).filter(|word| !word.is_empty()) {
        if out.len() > 0 {
            out.push_own(" ")?;
        }
        unescape(&plain, word, &mut out)?;
    }
    Ok(Value::Text(out.finish()))
}

/// Appends a word with its entities turned into characters.
fn unescape(text: &Text, word: &str, out: &mut TextBuilder<'_>) -> Result<()> {
    let mut rest = word;
    while let Some(at) = rest.find('&') {
        let (before, entity) = rest.split_at(at);
        out.push_part(text, before)?;
        // Names and numbers are short: what is not ended soon is no entity.
        let end = entity.bytes().take(12).position(|b| b == b';');
        let found = end.and_then(|end| character(&entity[1..end]).map(|c| (c, end + 1)));
        match found {
            Some((c, length)) => {
                out.push(c.encode_utf8(&mut [0; 4]), text.slice_origin(&entity[..length]))?;
                rest = &entity[length..];
            }
            None => {
                out.push_part(text, &entity[..1])?;
                rest = &entity[1..];
            }
        }
    }
    out.push_part(text, rest)
}

fn character(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return code.ok().and_then(char::from_u32);
    }
    ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, c)| *c)
}

/// `xmlattr(autospace=True)`
pub(super) fn xmlattr(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [autospace] = args.bind("xmlattr", ["autospace"], 0)?;
    value.defined()?;
    let Value::Dict(dict) = &value else {
        return Err(Error::failed(format!("'{}' has no attribute 'items'", value.describe())));
    };
    let budget = interpreter.budget;
    let mut out = TextBuilder::new(budget);
    for (key, value) in dict.entries() {
        budget.step(1)?;
        if matches!(value, Value::None | Value::Undefined(_)) {
            continue;
        }
        let key = interpreter.str(key)?;
        budget.work(Work::Look, key.len())?;
        if key.as_str().contains(|c: char| c.is_ascii_whitespace() || matches!(c, '\u{b}' | '/' | '>' | '=')) {
            return Err(Error::failed(format!("Invalid character in attribute name: '{}'", shown(key.as_str()))));
        }
        if out.len() > 0 || flag(autospace.as_ref(), true) {
            out.push_own(" ")?;
        }
        out.push_text(&escape(&key, budget)?)?;
        out.push_own("=\"")?;
        out.push_text(&escape(&interpreter.str(value)?, budget)?)?;
        out.push_own("\"")?;
    }
    Ok(Value::Text(out.finish()))
}
