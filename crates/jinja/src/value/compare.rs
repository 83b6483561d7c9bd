//! Equality, order and sorting, as Python has them. Every element that is looked at is charged.

use std::rc::Rc;

use super::dict::Dict;
use super::number::Number;
use super::{Seq, Value};
use crate::budget::{Budget, Work};
use crate::error::{Error, Result};

/// `a == b`
pub(crate) fn equal(a: &Value, b: &Value, budget: &Budget) -> Result<bool> {
    budget.step(1)?;
    if let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) {
        return Ok(match (a, b) {
            (Number::Int(a), Number::Int(b)) => a == b,
            (a, b) => a.as_f64() == b.as_f64(),
        });
    }
    match (a, b) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => Ok(true),
        (Value::Text(a), Value::Text(b)) => {
            budget.work(Work::Copy, a.len().min(b.len()))?;
            Ok(a.as_str() == b.as_str())
        }
        (Value::Seq(a), Value::Seq(b)) if a.kind == b.kind || (a.is_tuple() && b.is_tuple()) => {
            equal_sequences(a, b, budget)
        }
        (Value::Dict(a), Value::Dict(b)) => equal_dicts(a, b, budget),
        (Value::Range(a), Value::Range(b)) => Ok(a == b),
        (Value::Object(a, _), Value::Object(b, _)) => Ok(a == b),
        (Value::Macro(a), Value::Macro(b)) => Ok(Rc::ptr_eq(a, b)),
        (Value::Builtin(a), Value::Builtin(b)) => Ok(a == b),
        (Value::Method(a), Value::Method(b)) => Ok(Rc::ptr_eq(a, b)),
        _ => Ok(false),
    }
}

fn equal_sequences(a: &Rc<Seq>, b: &Rc<Seq>, budget: &Budget) -> Result<bool> {
    // What is the same object is equal, in Python too.
    if Rc::ptr_eq(a, b) {
        return Ok(true);
    }
    if a.items.len() != b.items.len() {
        return Ok(false);
    }
    for (a, b) in a.items.iter().zip(&b.items) {
        if !equal(a, b, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_dicts(a: &Rc<Dict>, b: &Rc<Dict>, budget: &Budget) -> Result<bool> {
    if Rc::ptr_eq(a, b) {
        return Ok(true);
    }
    if a.len() != b.len() {
        return Ok(false);
    }
    for (key, value) in a.entries() {
        match b.get(key, budget)? {
            Some(other) if equal(value, other, budget)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// `a < b`; `symbol` is the operator to name if they cannot be compared.
pub(crate) fn less(a: &Value, b: &Value, symbol: &str, budget: &Budget) -> Result<bool> {
    budget.step(1)?;
    if let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) {
        return Ok(match (a, b) {
            (Number::Int(a), Number::Int(b)) => a < b,
            (a, b) => a.as_f64() < b.as_f64(),
        });
    }
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => {
            budget.work(Work::Copy, a.len().min(b.len()))?;
            // The order of UTF-8 is that of code points.
            Ok(a.as_str() < b.as_str())
        }
        (Value::Seq(a), Value::Seq(b)) if a.is_indexed() && a.is_tuple() == b.is_tuple() && b.is_indexed() => {
            for (a, b) in a.items.iter().zip(&b.items) {
                if !equal(a, b, budget)? {
                    return less(a, b, symbol, budget);
                }
            }
            Ok(a.items.len() < b.items.len())
        }
        _ => {
            a.defined()?;
            b.defined()?;
            let (a, b) = (a.type_name(), b.type_name());
            Err(Error::failed(format!("'{symbol}' not supported between instances of '{a}' and '{b}'")))
        }
    }
}

/// `a <= b`
pub(crate) fn less_or_equal(a: &Value, b: &Value, symbol: &str, budget: &Budget) -> Result<bool> {
    Ok(less(a, b, symbol, budget)? || equal(a, b, budget)?)
}

/// Whether an item is in a list or tuple.
pub(crate) fn among(items: &[Value], wanted: &Value, budget: &Budget) -> Result<bool> {
    for item in items {
        if equal(item, wanted, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Sorts as Python's `sorted`: equal keys stay in their order, also when reversed. A merge sort of our own, because a
/// comparison may fail, and need not be an order at all.
pub(crate) fn sort(mut pairs: Vec<(Value, Value)>, reverse: bool, budget: &Budget) -> Result<Vec<Value>> {
    budget.make_many(pairs.len(), 2 * size_of::<(Value, Value)>())?;
    let mut width = 1;
    while width < pairs.len() {
        let mut merged = Vec::with_capacity(pairs.len());
        let mut rest = pairs.into_iter().peekable();
        while rest.peek().is_some() {
            let left: Vec<_> = rest.by_ref().take(width).collect();
            let right: Vec<_> = rest.by_ref().take(width).collect();
            merge(left, right, reverse, &mut merged, budget)?;
        }
        pairs = merged;
        width *= 2;
    }
    Ok(pairs.into_iter().map(|(_, value)| value).collect())
}

fn merge(
    left: Vec<(Value, Value)>,
    right: Vec<(Value, Value)>,
    reverse: bool,
    out: &mut Vec<(Value, Value)>,
    budget: &Budget,
) -> Result<()> {
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        let right_first = if reverse { less(a, b, "<", budget)? } else { less(b, a, "<", budget)? };
        out.extend(if right_first { right.next() } else { left.next() });
    }
    out.extend(left);
    out.extend(right);
    Ok(())
}
