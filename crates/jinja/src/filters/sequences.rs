//! Filters of sequences.

use crate::error::{Error, Result};
use crate::eval::args::{Args, given, int};
use crate::eval::{Interpreter, Object};
use crate::filters::selecting::Path;
use crate::syntax::ast::Arithmetic;
use crate::value::text::TextBuilder;
use crate::value::{ObjectKind, Seq, Value};

pub(super) fn length(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("length")?;
    Ok(Value::Int(interpreter.length(&value)? as i128))
}

pub(super) fn list(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("list")?;
    Seq::list(interpreter.collect(&value)?)
}

pub(super) fn first(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("first")?;
    let first = match &value {
        Value::Object(id, ObjectKind::Generator) => match &mut interpreter.objects[*id] {
            Object::Generator { items, next } => {
                *next += 1;
                items.get(*next - 1)
            }
            _ => None,
        },
        Value::Text(text) => {
            let end = text.as_str().chars().next().map_or(0, char::len_utf8);
            let first = text.slice(0..end, interpreter.budget)?;
            (end > 0).then_some(Value::Text(first))
        }
        other => interpreter.iterate(other)?.get(0),
    };
    Ok(first.unwrap_or_else(|| Value::undefined("No first item, sequence was empty.")))
}

pub(super) fn last(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("last")?;
    let last = match &value {
        Value::Text(text) => {
            let start = text.len() - text.as_str().chars().next_back().map_or(0, char::len_utf8);
            let last = text.slice(start..text.len(), interpreter.budget)?;
            (!text.is_empty()).then_some(Value::Text(last))
        }
        Value::Object(..) => return Err(Error::failed(format!("'{}' object is not reversible", value.type_name()))),
        other => {
            let items = interpreter.iterate(other)?;
            items.len().checked_sub(1).and_then(|last| items.get(last))
        }
    };
    Ok(last.unwrap_or_else(|| Value::undefined("No last item, sequence was empty.")))
}

/// An item that depends only on how often something was chosen before: the same request gets the same prompt, which keeps what
/// was computed for it of use.
pub(super) fn random(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("random")?;
    let length = interpreter.length(&value)?;
    if length == 0 {
        return Ok(Value::undefined("No random item, sequence was empty."));
    }
    interpreter.choices += 1;
    // One round of SplitMix64.
    let mut bits = interpreter.choices.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let index = (bits ^ (bits >> 31)) % length as u64;
    interpreter.item(&value, &Value::Int(index.into()))
}

/// `join(d='', attribute=None)`
pub(super) fn join(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [separator, attribute] = args.bind("join", ["d", "attribute"], 0)?;
    let separator = separator.map(|separator| interpreter.str(&separator)).transpose()?;
    let path = given(attribute).map(|attribute| Path::new(&attribute)).transpose()?;
    let items = interpreter.iterate(&value)?;
    let mut out = TextBuilder::new(interpreter.budget);
    for (index, item) in items.iter().enumerate() {
        interpreter.budget.step(1)?;
        if let Some(separator) = separator.as_ref().filter(|_| index > 0) {
            out.push_text(separator)?;
        }
        let item = match &path {
            Some(path) => path.follow(interpreter, item, None)?,
            None => item,
        };
        interpreter.write_str(&item, &mut out)?;
    }
    Ok(Value::Text(out.finish()))
}

pub(super) fn reverse(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("reverse")?;
    if let Value::Text(_) = value {
        return interpreter.slice(&value, [None, None, Some(-1)]);
    }
    let mut items = interpreter.collect(&value)?;
    items.reverse();
    interpreter.generator(items)
}

pub(super) fn items(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("items")?;
    let pairs = match value {
        Value::Undefined(_) => Vec::new(),
        Value::Dict(dict) => dict.pairs(interpreter.budget)?,
        _ => return Err(Error::failed("Can only get item pairs from a mapping.")),
    };
    interpreter.generator(pairs)
}

/// `batch(linecount, fill_with=None)`
pub(super) fn batch(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [count, fill] = args.bind("batch", ["linecount", "fill_with"], 1)?;
    let count = count.unwrap_or(Value::None);
    let items = interpreter.collect(&value)?;
    let fill = given(fill).map(|fill| count.int("linecount").map(|count| (fill, count))).transpose()?;
    // A row ends when it has as many items as were asked for: if no row can have so many, there is one row of all of them.
    let whole = count.as_int().and_then(|count| usize::try_from(count).ok());
    let mut rows = Vec::new();
    if whole == Some(0) && !items.is_empty() {
        rows.push(Seq::list(Vec::new())?);
    }
    for row in items.chunks(whole.filter(|count| *count > 0).unwrap_or(usize::MAX)) {
        interpreter.budget.make_many(row.len() + 2, size_of::<Value>())?;
        let mut row = row.to_vec();
        if let Some((fill, count)) = &fill
            && let Some(missing) = usize::try_from(*count).ok().and_then(|count| count.checked_sub(row.len()))
        {
            interpreter.budget.make_many(missing, size_of::<Value>())?;
            row.resize(row.len() + missing, fill.clone());
        }
        rows.push(Seq::list(row)?);
    }
    interpreter.generator(rows)
}

/// `slice(slices, fill_with=None)`
pub(super) fn slice(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [slices, fill] = args.bind("slice", ["slices", "fill_with"], 1)?;
    let slices = int(slices.as_ref(), "slices", 0)?;
    let items = interpreter.collect(&value)?;
    // Fewer than none are none.
    let Ok(slices) = usize::try_from(slices) else { return interpreter.generator(Vec::new()) };
    if slices == 0 {
        return Err(Error::failed("integer division or modulo by zero"));
    }
    let (each, extra) = (items.len() / slices, items.len() % slices);
    interpreter.budget.make_many(slices, 2 * size_of::<Value>())?;
    let mut columns = Vec::new();
    let mut rest = &items[..];
    for index in 0..slices {
        let (column, after) = rest.split_at(each + usize::from(index < extra));
        rest = after;
        interpreter.budget.make_many(column.len() + 1, size_of::<Value>())?;
        let mut column = column.to_vec();
        if let Some(fill) = given(fill.clone()).filter(|_| index >= extra) {
            column.push(fill);
        }
        columns.push(Seq::list(column)?);
    }
    interpreter.generator(columns)
}

/// `sum(attribute=None, start=0)`
pub(super) fn sum(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [attribute, start] = args.bind("sum", ["attribute", "start"], 0)?;
    let path = given(attribute).map(|attribute| Path::new(&attribute)).transpose()?;
    let mut sum = start.unwrap_or(Value::Int(0));
    if let Value::Text(_) = sum {
        return Err(Error::failed("sum() can't sum strings [use ''.join(seq) instead]"));
    }
    for item in interpreter.iterate(&value)?.iter() {
        interpreter.budget.step(1)?;
        let item = match &path {
            Some(path) => path.follow(interpreter, item, None)?,
            None => item,
        };
        sum = interpreter.arithmetic(Arithmetic::Add, sum, item)?;
    }
    Ok(sum)
}
