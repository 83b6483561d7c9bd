//! `pprint`: Python's `pformat`, with lines of 80 characters. Long strings stay in one piece.

use std::rc::Rc;

use crate::error::Result;
use crate::eval::Interpreter;
use crate::eval::args::Args;
use crate::value::compare::sort;
use crate::value::dict::Dict;
use crate::value::text::{Text, TextBuilder};
use crate::value::{Seq, Value};

const WIDTH: usize = 80;

pub(super) fn pprint(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("pprint")?;
    let value = sorted(interpreter, &value)?;
    let mut out = TextBuilder::new(interpreter.budget);
    write(interpreter, &value, 0, 0, &mut out)?;
    Ok(Value::Text(out.finish()))
}

/// The same value with the keys of all dictionaries in order, as far as they have one.
fn sorted(interpreter: &Interpreter<'_>, value: &Value) -> Result<Value> {
    let budget = interpreter.budget;
    budget.step(1)?;
    match value {
        Value::Dict(dict) => {
            budget.make_many(dict.len(), 2 * size_of::<(Value, Value)>())?;
            let pairs = dict.entries().iter();
            let pairs =
                pairs.map(|(key, value)| Ok((key.clone(), Seq::tuple(vec![key.clone(), value.clone()], budget)?)));
            let pairs = pairs.collect::<Result<Vec<_>>>()?;
            let comparable = dict.keys().all(|key| key.as_str().is_some()) || dict.keys().all(|k| k.as_int().is_some());
            let pairs = if comparable {
                sort(pairs, false, budget)?
            } else {
                pairs.into_iter().map(|(_, pair)| pair).collect()
            };
            let mut out = Dict::new();
            for pair in pairs {
                if let Value::Seq(pair) = pair {
                    out.insert(pair.items[0].clone(), sorted(interpreter, &pair.items[1])?, budget)?;
                }
            }
            Ok(Value::Dict(Rc::new(out)))
        }
        Value::Seq(seq) if seq.is_indexed() => {
            budget.make_many(seq.items.len(), size_of::<Value>())?;
            Seq::of(seq.kind, seq.items.iter().map(|item| sorted(interpreter, item)).collect::<Result<_>>()?)
        }
        other => Ok(other.clone()),
    }
}

/// Writes a value in as many lines as it needs; `allowance` characters follow it in its last line.
fn write(
    interpreter: &Interpreter<'_>,
    value: &Value,
    indent: usize,
    allowance: usize,
    out: &mut TextBuilder<'_>,
) -> Result<()> {
    let whole = interpreter.repr(value)?;
    if whole.chars(interpreter.budget)? <= WIDTH.saturating_sub(indent + allowance) {
        return out.push_text(&whole);
    }
    match value {
        Value::Dict(dict) if dict.len() > 0 => {
            out.push_own("{")?;
            for (index, (key, value)) in dict.entries().iter().enumerate() {
                let last = index + 1 == dict.len();
                next_line(index, indent + 1, out)?;
                let key = interpreter.repr(key)?;
                out.push_text(&key)?;
                out.push_own(": ")?;
                let column = indent + 1 + key.chars(interpreter.budget)? + 2;
                write(interpreter, value, column, if last { allowance + 1 } else { 1 }, out)?;
            }
            out.push_own("}")
        }
        Value::Seq(seq) if seq.is_indexed() && !seq.items.is_empty() => {
            let (open, close) = match (seq.is_tuple(), seq.items.len()) {
                (true, 1) => ("(", ",)"),
                (true, _) => ("(", ")"),
                (false, _) => ("[", "]"),
            };
            out.push_own(open)?;
            for (index, item) in seq.items.iter().enumerate() {
                let last = index + 1 == seq.items.len();
                next_line(index, indent + 1, out)?;
                write(interpreter, item, indent + 1, if last { allowance + close.len() } else { 1 }, out)?;
            }
            out.push_own(close)
        }
        _ => out.push_text(&whole),
    }
}

fn next_line(index: usize, indent: usize, out: &mut TextBuilder<'_>) -> Result<()> {
    if index == 0 {
        return Ok(());
    }
    out.push_own(",\n")?;
    out.push_repeated(&Text::own(" "), indent)
}
