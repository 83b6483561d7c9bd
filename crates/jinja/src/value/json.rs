//! JSON to values, and values to JSON: the filter `tojson` as Hugging Face's templates know it, which is Python's
//! `json.dumps` and not the HTML-safe one of Jinja.

use std::rc::Rc;

use super::dict::Dict;
use super::print::{float_repr, push_hex, write_pieces};
use super::text::{Origin, Text, TextBuilder};
use super::{Seq, Value};
use crate::budget::{Budget, MAX_VALUE_DEPTH, Work};
use crate::error::{Error, Result};

/// A value of the request. Its text is [`Origin::Input`], except for the member `role` of an object in a list if it is one of
/// `roles`.
pub(crate) fn from_json(json: &serde_json::Value, roles: &[&str], budget: &Budget) -> Result<Value> {
    convert(json, roles, 0, budget)
}

/// How deep the messages of a list are.
const MESSAGES: usize = 1;

fn convert(json: &serde_json::Value, roles: &[&str], depth: usize, budget: &Budget) -> Result<Value> {
    // Before going deeper: what the caller passes need not come from a parser with a bound.
    if depth > MAX_VALUE_DEPTH {
        return Err(Error::too_deep("values", MAX_VALUE_DEPTH));
    }
    Ok(match json {
        serde_json::Value::Null => Value::None,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(i), _) => Value::Int(i.into()),
            (None, Some(u)) => Value::Int(u.into()),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => input(text, budget)?,
        serde_json::Value::Array(items) => {
            budget.make_many(items.len(), size_of::<Value>())?;
            Seq::list(items.iter().map(|item| convert(item, roles, depth + 1, budget)).collect::<Result<_>>()?)?
        }
        serde_json::Value::Object(entries) => {
            let mut dict = Dict::new();
            for (key, value) in entries {
                let role = value.as_str().filter(|role| depth == MESSAGES && key == "role" && roles.contains(role));
                let value = match role {
                    Some(role) => Value::own(role),
                    None => convert(value, roles, depth + 1, budget)?,
                };
                dict.insert(input(key, budget)?, value, budget)?;
            }
            Value::Dict(Rc::new(dict))
        }
    })
}

fn input(text: &str, budget: &Budget) -> Result<Value> {
    budget.make(text.len())?;
    Ok(Value::Text(Text::new(text, Origin::Input)))
}

/// How a value is written.
pub(crate) struct Style {
    pub(crate) ascii: bool,
    pub(crate) indent: Option<Text>,
    pub(crate) between: Text,
    pub(crate) after_key: Text,
    pub(crate) sort_keys: bool,
}

/// Python's `json.dumps(value)`.
pub(crate) fn dumps(value: &Value, style: &Style, budget: &Budget) -> Result<Text> {
    let mut out = TextBuilder::new(budget);
    Writer { style, budget }.write(value, 0, &mut out)?;
    Ok(out.finish())
}

struct Writer<'a> {
    style: &'a Style,
    budget: &'a Budget,
}

impl Writer<'_> {
    fn write(&self, value: &Value, depth: usize, out: &mut TextBuilder<'_>) -> Result<()> {
        self.budget.step(1)?;
        match value {
            Value::None => out.push_own("null"),
            Value::Bool(b) => out.push_own(if *b { "true" } else { "false" }),
            Value::Int(i) => out.push_own(&i.to_string()),
            Value::Float(f) => out.push_own(&float_json(*f)),
            Value::Text(text) => self.string(text, out),
            Value::Seq(seq) if seq.is_indexed() => {
                self.items(seq.items.iter().map(|item| (None, item)), ("[", "]"), depth, out)
            }
            Value::Dict(dict) => {
                self.budget.make_many(dict.len(), size_of::<(Option<Text>, &Value)>())?;
                let entries = dict.entries().iter().map(|(key, value)| Ok((Some(key_text(key)?), value)));
                let mut entries = entries.collect::<Result<Vec<_>>>()?;
                if self.style.sort_keys {
                    let bytes: usize = dict.keys().filter_map(Value::as_str).map(str::len).sum();
                    self.budget.work(Work::Copy, bytes.saturating_mul(entries.len().max(1).ilog2() as usize + 1))?;
                    entries.sort_by(|(a, _), (b, _)| a.as_ref().map(Text::as_str).cmp(&b.as_ref().map(Text::as_str)));
                }
                self.items(entries.into_iter(), ("{", "}"), depth, out)
            }
            other => Err(Error::failed(format!("Object of type {} is not JSON serializable", other.type_name()))),
        }
    }

    fn items<'v>(
        &self,
        items: impl Iterator<Item = (Option<Text>, &'v Value)>,
        (open, close): (&str, &str),
        depth: usize,
        out: &mut TextBuilder<'_>,
    ) -> Result<()> {
        out.push_own(open)?;
        let mut empty = true;
        for (key, item) in items {
            if !empty {
                out.push_text(&self.style.between)?;
            }
            empty = false;
            self.line(depth + 1, out)?;
            if let Some(key) = key {
                self.string(&key, out)?;
                out.push_text(&self.style.after_key)?;
            }
            self.write(item, depth + 1, out)?;
        }
        if !empty {
            self.line(depth, out)?;
        }
        out.push_own(close)
    }

    fn line(&self, depth: usize, out: &mut TextBuilder<'_>) -> Result<()> {
        let Some(indent) = &self.style.indent else { return Ok(()) };
        out.push_own("\n")?;
        out.push_repeated(indent, depth)
    }

    fn string(&self, text: &Text, out: &mut TextBuilder<'_>) -> Result<()> {
        out.push_own("\"")?;
        write_pieces(text, out, |c, escaped| {
            match c {
                '"' => escaped.push_str("\\\""),
                '\\' => escaped.push_str("\\\\"),
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                '\t' => escaped.push_str("\\t"),
                '\u{8}' => escaped.push_str("\\b"),
                '\u{c}' => escaped.push_str("\\f"),
                '\0'..='\u{1f}' => push_hex(escaped, 'u', c as u32, 4),
                '\u{7f}'.. if self.style.ascii => {
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| push_hex(escaped, 'u', (*unit).into(), 4));
                }
                _ => return false,
            }
            true
        })?;
        out.push_own("\"")
    }
}

fn float_json(number: f64) -> String {
    match () {
        () if number.is_nan() => "NaN".to_owned(),
        () if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        () => float_repr(number),
    }
}

/// The text of a key, as `json.dumps` has it.
fn key_text(key: &Value) -> Result<Text> {
    match key {
        Value::Text(text) => Ok(text.clone()),
        Value::Int(i) => Ok(Text::own(i.to_string())),
        Value::Float(f) => Ok(Text::own(float_json(*f))),
        Value::Bool(b) => Ok(Text::own(if *b { "true" } else { "false" })),
        Value::None => Ok(Text::own("null")),
        other => {
            let kind = other.type_name();
            Err(Error::failed(format!("keys must be str, int, float, bool or None, not {kind}")))
        }
    }
}
