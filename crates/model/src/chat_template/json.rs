//! The filter `tojson` as Hugging Face's templates know it: Python's `json.dumps`, not the HTML-safe one of Jinja.

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::python::{self, float_repr};

/// Deeper values are refused; JSON from requests is never that deep.
pub(super) const MAX_DEPTH: usize = 200;

/// How a value is written.
struct Style {
    ascii: bool,
    indent: Option<String>,
    between: String,
    after_key: String,
    sort_keys: bool,
}

/// `tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(state: &State, value: &Value, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let argument = |index: usize, name: &str| -> Result<Option<Value>, Error> {
        let value = match positional.get(index) {
            Some(value) => Some(value.clone()),
            None => named.get::<Option<Value>>(name)?,
        };
        Ok(value.filter(|v| !v.is_none() && !v.is_undefined()))
    };
    let indent = match argument(1, "indent")? {
        None => None,
        Some(text) if text.as_str().is_some() => text.as_str().map(str::to_owned),
        Some(width) => Some(" ".repeat(usize::try_from(width)?.min(64))),
    };
    let (between, after_key) = match argument(2, "separators")? {
        Some(pair) => {
            let pair: Vec<String> = pair.try_iter()?.map(|v| v.to_string()).collect();
            <[String; 2]>::try_from(pair)
                .map(|[between, after]| (between, after))
                .map_err(|_| Error::new(ErrorKind::InvalidOperation, "tojson: separators must be a pair of strings"))?
        }
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let style = Style {
        ascii: argument(0, "ensure_ascii")?.is_some_and(|v| v.is_true()),
        indent,
        between,
        after_key,
        sort_keys: argument(3, "sort_keys")?.is_some_and(|v| v.is_true()),
    };
    named.assert_all_used()?;
    if positional.len() > 4 {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut out = String::new();
    write(state, value, &style, 0, &mut out)?;
    Ok(Value::from(out))
}

fn write(state: &State, value: &Value, style: &Style, depth: usize, out: &mut String) -> Result<(), Error> {
    python::check_depth(depth)?;
    state.consume_fuel(1)?;
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if value.is_integer() => out.push_str(&value.to_string()),
        ValueKind::Number => {
            let number = f64::try_from(value.clone())?;
            out.push_str(&match () {
                () if number.is_nan() => "NaN".to_owned(),
                () if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
                () => float_repr(number),
            });
        }
        ValueKind::String => write_string(state, value.as_str().unwrap_or_default(), style.ascii, out)?,
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(|item| (None, item));
            write_items(state, items, ('[', ']'), style, depth, out)?;
        }
        ValueKind::Map => {
            let mut entries = Vec::new();
            for key in value.try_iter()? {
                entries.push((python::key_text(&key)?, value.get_item(&key)?));
            }
            if style.sort_keys {
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            let items = entries.into_iter().map(|(key, item)| (Some(key), item));
            write_items(state, items, ('{', '}'), style, depth, out)?;
        }
        other => {
            let message = format!("tojson: a value of type {other} has no JSON form");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    }
    Ok(())
}

fn write_items(
    state: &State,
    items: impl Iterator<Item = (Option<String>, Value)>,
    (open, close): (char, char),
    style: &Style,
    depth: usize,
    out: &mut String,
) -> Result<(), Error> {
    let line = |depth: usize, out: &mut String| {
        if let Some(indent) = &style.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    };
    out.push(open);
    let mut empty = true;
    for (key, item) in items {
        if !empty {
            out.push_str(&style.between);
        }
        empty = false;
        line(depth + 1, out);
        if let Some(key) = key {
            write_string(state, &key, style.ascii, out)?;
            out.push_str(&style.after_key);
        }
        write(state, &item, style, depth + 1, out)?;
    }
    if !empty {
        line(depth, out);
    }
    out.push(close);
    Ok(())
}

fn write_string(state: &State, text: &str, ascii: bool, out: &mut String) -> Result<(), Error> {
    state.consume_fuel(text.len() as u64 / 64)?;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if ascii && !c.is_ascii() => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(())
}
