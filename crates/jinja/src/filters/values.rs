//! Filters of any value: `default`, `attr`, `tojson`.

use crate::error::{Error, Result};
use crate::eval::Interpreter;
use crate::eval::args::{Args, flag, given};
use crate::value::json::{Style, dumps};
use crate::value::lookup::truth;
use crate::value::text::{Text, TextBuilder};
use crate::value::{Value, missing};

pub(super) fn default(_: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [default, boolean] = args.bind("default", ["default_value", "boolean"], 0)?;
    let absent = matches!(value, Value::Undefined(_)) || (flag(boolean.as_ref(), false) && !truth(&value));
    Ok(if absent { default.unwrap_or_else(|| Value::own("")) } else { value })
}

/// An attribute in Python's sense: not an item of a dictionary.
pub(super) fn attr(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let name = args.one("attr", "name")?;
    value.defined()?;
    let found = interpreter.own_attribute(&value, name.text("the name of an attribute")?.as_str())?;
    Ok(found.unwrap_or_else(|| missing(&value, &name)))
}

/// `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`
pub(super) fn tojson(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let [ascii, indent, separators, sort_keys] = args.bind("tojson", names, 0)?;
    let indent = match given(indent) {
        None => None,
        Some(Value::Text(text)) => Some(text),
        Some(width) => {
            let mut spaces = TextBuilder::new(interpreter.budget);
            let width = width.int("indent")?.max(0);
            spaces.push_repeated(&Text::own(" "), usize::try_from(width).unwrap_or(usize::MAX))?;
            Some(spaces.finish())
        }
    };
    let (between, after_key) = match given(separators) {
        Some(pair) => {
            let wrong = || Error::failed("tojson: separators must be a pair of strings");
            let pair = interpreter.iterate(&pair)?;
            match (pair.get(0), pair.get(1), pair.len()) {
                (Some(Value::Text(between)), Some(Value::Text(after_key)), 2) => (between, after_key),
                _ => return Err(wrong()),
            }
        }
        None => (Text::own(if indent.is_some() { "," } else { ", " }), Text::own(": ")),
    };
    let ascii = flag(ascii.as_ref(), false);
    let style = Style { ascii, indent, between, after_key, sort_keys: flag(sort_keys.as_ref(), false) };
    dumps(&value, &style, interpreter.budget).map(Value::Text)
}
