//! Tests: what may stand behind `is`.

use crate::error::Result;
use crate::eval::Interpreter;
use crate::eval::args::Args;
use crate::filters;
use crate::methods;
use crate::syntax::ast::{Arithmetic, Comparison};
use crate::value::compare::equal;
use crate::value::lookup::truth;
use crate::value::{ObjectKind, SeqKind, Value};

/// A test.
pub(crate) type Test = fn(&mut Interpreter<'_>, &Value, Args) -> Result<bool>;

/// The test of a name.
pub(crate) fn find(name: &str) -> Option<Test> {
    Some(match name {
        "odd" => |i, value, args| is_rest(i, value, args, "odd", 1),
        "even" => |i, value, args| is_rest(i, value, args, "even", 0),
        "divisibleby" => divisible,
        "defined" => |_, value, args| args.none("defined").map(|()| !matches!(value, Value::Undefined(_))),
        "undefined" => |_, value, args| args.none("undefined").map(|()| matches!(value, Value::Undefined(_))),
        "filter" => |_, value, args| {
            args.none("filter")?;
            Ok(value.as_str().is_some_and(|name| filters::find(name).is_some()))
        },
        "test" => |_, value, args| {
            args.none("test")?;
            Ok(value.as_str().is_some_and(|name| find(name).is_some()))
        },
        "none" => |_, value, args| args.none("none").map(|()| matches!(value, Value::None)),
        "boolean" => |_, value, args| args.none("boolean").map(|()| matches!(value, Value::Bool(_))),
        "false" => |_, value, args| args.none("false").map(|()| matches!(value, Value::Bool(false))),
        "true" => |_, value, args| args.none("true").map(|()| matches!(value, Value::Bool(true))),
        "integer" => |_, value, args| args.none("integer").map(|()| matches!(value, Value::Int(_))),
        "float" => |_, value, args| args.none("float").map(|()| matches!(value, Value::Float(_))),
        "number" => |_, value, args| {
            args.none("number").map(|()| matches!(value, Value::Int(_) | Value::Bool(_) | Value::Float(_)))
        },
        "string" => |_, value, args| args.none("string").map(|()| matches!(value, Value::Text(_))),
        "mapping" => |_, value, args| args.none("mapping").map(|()| matches!(value, Value::Dict(_))),
        "sequence" => |_, value, args| args.none("sequence").map(|()| is_sequence(value)),
        "iterable" => |_, value, args| args.none("iterable").map(|()| is_iterable(value)),
        "callable" => |_, value, args| args.none("callable").map(|()| is_callable(value)),
        "lower" => |i, value, args| has_case(i, value, args, "islower"),
        "upper" => |i, value, args| has_case(i, value, args, "isupper"),
        "escaped" => {
            |_, value, args| args.none("escaped").map(|()| matches!(value, Value::Text(text) if text.is_markup()))
        }
        "sameas" => same,
        "in" => |i, value, args| {
            let container = args.one("in", "seq")?;
            i.contains(&container, value)
        },
        "==" | "eq" | "equalto" => |i, value, args| compare(i, value, args, Comparison::Eq),
        "!=" | "ne" => |i, value, args| compare(i, value, args, Comparison::Ne),
        ">" | "gt" | "greaterthan" => |i, value, args| compare(i, value, args, Comparison::Gt),
        ">=" | "ge" => |i, value, args| compare(i, value, args, Comparison::Ge),
        "<" | "lt" | "lessthan" => |i, value, args| compare(i, value, args, Comparison::Lt),
        "<=" | "le" => |i, value, args| compare(i, value, args, Comparison::Le),
        _ => return None,
    })
}

fn compare(interpreter: &mut Interpreter<'_>, value: &Value, args: Args, comparison: Comparison) -> Result<bool> {
    let other = args.one("the comparison", "other")?;
    interpreter.compare(comparison, value, &other)
}

fn is_rest(interpreter: &mut Interpreter<'_>, value: &Value, args: Args, test: &str, rest: i128) -> Result<bool> {
    args.none(test)?;
    let found = interpreter.arithmetic(Arithmetic::Mod, value.clone(), Value::Int(2))?;
    equal(&found, &Value::Int(rest), interpreter.budget)
}

fn divisible(interpreter: &mut Interpreter<'_>, value: &Value, args: Args) -> Result<bool> {
    let by = args.one("divisibleby", "num")?;
    let rest = interpreter.arithmetic(Arithmetic::Mod, value.clone(), by)?;
    equal(&rest, &Value::Int(0), interpreter.budget)
}

fn has_case(interpreter: &mut Interpreter<'_>, value: &Value, args: Args, method: &'static str) -> Result<bool> {
    args.none(method)?;
    let receiver = Value::Text(interpreter.str(value)?);
    let method = crate::value::Method { receiver, name: method };
    Ok(truth(&methods::call(interpreter, &method, Args::default())?))
}

/// Python's `is`, as far as it can be told: the same object, or the same small value.
fn same(interpreter: &mut Interpreter<'_>, value: &Value, args: Args) -> Result<bool> {
    let other = args.one("sameas", "other")?;
    match (value, &other) {
        (Value::Seq(a), Value::Seq(b)) => Ok(std::rc::Rc::ptr_eq(a, b)),
        (Value::Dict(a), Value::Dict(b)) => Ok(std::rc::Rc::ptr_eq(a, b)),
        (a, b) if a.type_name() == b.type_name() => equal(a, b, interpreter.budget),
        _ => Ok(false),
    }
}

/// Whether it has a length and items.
fn is_sequence(value: &Value) -> bool {
    match value {
        Value::Seq(seq) => matches!(seq.kind, SeqKind::List | SeqKind::Tuple | SeqKind::Group),
        Value::Undefined(_) | Value::Text(_) | Value::Dict(_) | Value::Range(_) => true,
        _ => false,
    }
}

fn is_iterable(value: &Value) -> bool {
    let once = matches!(value, Value::Object(_, ObjectKind::Generator | ObjectKind::Loop));
    once || matches!(value, Value::Seq(_) | Value::Undefined(_) | Value::Text(_) | Value::Dict(_) | Value::Range(_))
}

fn is_callable(value: &Value) -> bool {
    match value {
        Value::Undefined(_) | Value::Macro(_) | Value::Builtin(_) | Value::Method(_) | Value::Blocks(Some(_)) => true,
        Value::Object(_, kind) => matches!(kind, ObjectKind::Loop | ObjectKind::Joiner),
        _ => false,
    }
}
