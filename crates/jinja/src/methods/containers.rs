//! Methods of lists, tuples, dictionaries, numbers, `loop` and cyclers.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::eval::args::Args;
use crate::eval::{Interpreter, Object};
use crate::value::compare::equal;
use crate::value::lookup::Items;
use crate::value::number::Number;
use crate::value::{ObjectId, Seq, SeqKind, Value};

pub(super) fn call(interpreter: &mut Interpreter<'_>, receiver: &Value, name: &str, args: Args) -> Result<Value> {
    let budget = interpreter.budget;
    match receiver {
        Value::Dict(dict) => match name {
            "get" => {
                let [key, default] = args.bind(name, ["key", "default"], 1)?;
                let found = dict.get(&key.unwrap_or(Value::None), budget)?.cloned();
                Ok(found.or(default).unwrap_or(Value::None))
            }
            "copy" => {
                args.none(name)?;
                Ok(Value::Dict(Rc::clone(dict)))
            }
            _ => {
                args.none(name)?;
                let pairs = || -> Result<Vec<Value>> {
                    budget.make_many(dict.len(), size_of::<Value>())?;
                    Ok(match name {
                        "keys" => dict.keys().cloned().collect(),
                        _ => dict.entries().iter().map(|(_, value)| value.clone()).collect(),
                    })
                };
                match name {
                    "items" => Seq::of(SeqKind::Items, dict.pairs(budget)?),
                    "keys" => Seq::of(SeqKind::Keys, pairs()?),
                    _ => Seq::of(SeqKind::Values, pairs()?),
                }
            }
        },
        Value::Seq(_) | Value::Range(_) => {
            if name == "copy" {
                args.none(name)?;
                return Ok(receiver.clone());
            }
            let items = interpreter.iterate(receiver)?;
            search(interpreter, &items, name, args)
        }
        other => {
            args.none(name)?;
            Ok(match (Number::of(other), name) {
                (Some(Number::Int(i)), "bit_length") => Value::Int(i128::from(128 - i.unsigned_abs().leading_zeros())),
                (Some(Number::Int(_)), "is_integer") => Value::Bool(true),
                (Some(Number::Float(f)), "is_integer") => Value::Bool(f.fract() == 0.0),
                (Some(number), _) => number.into(),
                (None, _) => {
                    return Err(Error::failed(format!("'{}' object has no method '{name}'", other.type_name())));
                }
            })
        }
    }
}

/// `count` and `index` of a list, a tuple or a range.
fn search(interpreter: &mut Interpreter<'_>, items: &Items, name: &str, args: Args) -> Result<Value> {
    let budget = interpreter.budget;
    let (wanted, from, to) = match name {
        "count" => (args.one(name, "value")?, None, None),
        _ => {
            let [wanted, from, to] = args.bind(name, ["value", "start", "stop"], 1)?;
            (wanted.unwrap_or(Value::None), from, to)
        }
    };
    let clip = |index: Option<Value>, default: usize| -> Result<usize> {
        let Some(index) = index else { return Ok(default) };
        let index = index.int("slice indices")?;
        let index = if index < 0 { index.saturating_add(items.len() as i128).max(0) } else { index };
        Ok(usize::try_from(index).unwrap_or(usize::MAX))
    };
    let (from, to) = (clip(from, 0)?, clip(to, items.len())?);
    let mut count = 0;
    for (index, item) in items.iter().enumerate() {
        if equal(&item, &wanted, budget)? {
            if name == "index" && (from..to).contains(&index) {
                return Ok(Value::Int(index as i128));
            }
            count += 1;
        }
    }
    if name == "count" {
        return Ok(Value::Int(count));
    }
    Err(Error::failed(format!("{} is not in list", wanted.describe())))
}

/// `loop.cycle(...)`, `loop.changed(...)`
pub(super) fn call_loop(interpreter: &mut Interpreter<'_>, id: ObjectId, name: &str, args: Args) -> Result<Value> {
    if !args.named.is_empty() {
        return Err(Error::failed(format!("loop.{name}() takes no keyword arguments")));
    }
    let budget = interpreter.budget;
    let Object::Loop(state) = &mut interpreter.objects[id] else { return Err(Error::failed("this is no loop")) };
    if name == "cycle" {
        let count = args.positional.len();
        return match count {
            0 => Err(Error::failed("no items for cycling given")),
            _ => Ok(args.positional[state.index % count].clone()),
        };
    }
    let same = match &state.last_changed {
        Some(last) if last.len() == args.positional.len() => {
            let mut same = true;
            for (a, b) in last.iter().zip(&args.positional) {
                same = same && equal(a, b, budget)?;
            }
            same
        }
        _ => false,
    };
    state.last_changed = Some(args.positional);
    Ok(Value::Bool(!same))
}

/// `cycler.next()`, `cycler.reset()`
pub(super) fn call_cycler(interpreter: &mut Interpreter<'_>, id: ObjectId, name: &str, args: Args) -> Result<Value> {
    args.none(name)?;
    let Object::Cycler { items, next } = &mut interpreter.objects[id] else {
        return Err(Error::failed("this is no cycler"));
    };
    if name == "reset" {
        *next = 0;
        return Ok(Value::None);
    }
    let item = items[*next].clone();
    *next = (*next + 1) % items.len();
    Ok(item)
}
