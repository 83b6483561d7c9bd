//! `map`, `select` and their kin.

use crate::error::{Error, Result};
use crate::eval::Interpreter;
use crate::eval::args::{Args, given};
use crate::value::Value;
use crate::value::lookup::truth;
use crate::value::text::Text;

/// Bytes of a path of attributes.
pub(super) const LONGEST_PATH: usize = 500;

/// Attributes of attributes, as in `address.city` or `0.name`.
pub(super) struct Path(Vec<Value>);

impl Path {
    pub(super) fn new(attribute: &Value) -> Result<Path> {
        let Value::Text(path) = attribute else { return Ok(Path(vec![attribute.clone()])) };
        if path.len() > LONGEST_PATH {
            return Err(Error::failed(format!("an attribute's name has more than {LONGEST_PATH} bytes")));
        }
        let part = |part: &str| match part.parse() {
            Ok(index) if part.bytes().all(|b| b.is_ascii_digit()) => Value::Int(index),
            _ => Value::Text(Text::own(part)),
        };
        Ok(Path(path.as_str().split('.').map(part).collect()))
    }

    /// The whole item.
    pub(super) fn none() -> Path {
        Path(Vec::new())
    }

    /// What the path leads to. `default` stands for what is not there.
    pub(super) fn follow(
        &self,
        interpreter: &mut Interpreter<'_>,
        item: Value,
        default: Option<&Value>,
    ) -> Result<Value> {
        let mut value = item;
        for part in &self.0 {
            value = interpreter.item(&value, part)?;
            if let (Value::Undefined(_), Some(default)) = (&value, default) {
                value = default.clone();
            }
        }
        Ok(value)
    }
}

/// The items of a value; what is false has none.
fn items(interpreter: &mut Interpreter<'_>, value: &Value) -> Result<Vec<Value>> {
    if truth(value) { interpreter.collect(value) } else { Ok(Vec::new()) }
}

/// `map(filter, ...)` or `map(attribute=..., default=...)`
pub(super) fn map(interpreter: &mut Interpreter<'_>, value: Value, mut args: Args) -> Result<Value> {
    let items = items(interpreter, &value)?;
    // As in Jinja, where nobody looks at the arguments then.
    if items.is_empty() {
        return interpreter.generator(items);
    }
    let mut mapped = Vec::with_capacity(items.len());
    if args.positional.is_empty() {
        let [attribute, default] = args.bind("map", ["attribute", "default"], 1)?;
        let path = Path::new(&attribute.unwrap_or(Value::None))?;
        let default = given(default);
        for item in items {
            mapped.push(path.follow(interpreter, item, default.as_ref())?);
        }
    } else {
        let name = args.positional.remove(0);
        let filter = interpreter.filter_named(&name)?;
        for item in items {
            interpreter.budget.step(1)?;
            mapped.push(filter(interpreter, item, copy(interpreter, &args)?)?);
        }
    }
    interpreter.generator(mapped)
}

/// The same arguments for another item.
fn copy(interpreter: &Interpreter<'_>, args: &Args) -> Result<Args> {
    let count = args.positional.len() + args.named.len();
    interpreter.budget.make_many(count, 2 * size_of::<Value>())?;
    Ok(Args { positional: args.positional.clone(), named: args.named.clone() })
}

pub(super) fn select(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    choose(interpreter, &value, args, Path::none(), true)
}

pub(super) fn reject(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    choose(interpreter, &value, args, Path::none(), false)
}

pub(super) fn selectattr(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    choose_by_attribute(interpreter, &value, args, true)
}

pub(super) fn rejectattr(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    choose_by_attribute(interpreter, &value, args, false)
}

fn choose_by_attribute(interpreter: &mut Interpreter<'_>, value: &Value, mut args: Args, keep: bool) -> Result<Value> {
    if !truth(value) {
        return interpreter.generator(Vec::new());
    }
    if args.positional.is_empty() {
        return Err(Error::failed("Missing parameter for attribute name"));
    }
    let path = Path::new(&args.positional.remove(0))?;
    choose(interpreter, value, args, path, keep)
}

/// The items for which a test (by default: that it is true) of what `path` leads to gives `keep`.
fn choose(interpreter: &mut Interpreter<'_>, value: &Value, mut args: Args, path: Path, keep: bool) -> Result<Value> {
    let items = items(interpreter, value)?;
    if items.is_empty() {
        return interpreter.generator(items);
    }
    let test = match args.positional.is_empty() {
        true => None,
        false => Some(interpreter.test_named(&args.positional.remove(0))?),
    };
    let mut chosen = Vec::new();
    for item in items {
        interpreter.budget.step(1)?;
        let tested = path.follow(interpreter, item.clone(), None)?;
        let holds = match test {
            Some(test) => test(interpreter, &tested, copy(interpreter, &args)?)?,
            None => truth(&tested),
        };
        if holds == keep {
            chosen.push(item);
        }
    }
    interpreter.generator(chosen)
}
