//! Methods of Python's types, as far as its sandbox lets templates call them.

pub(crate) mod case;
mod containers;
mod pad;
pub(crate) mod search;
pub(crate) mod split;

pub(crate) use self::pad::center;
use crate::budget::Work;
use crate::error::{Error, Result};
use crate::eval::Interpreter;
use crate::eval::args::Args;
use crate::value::{Method, ObjectKind, SeqKind, Value};

/// Methods of `str`.
const STR: [&str; 43] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
];
/// The rest of them.
const STR_MORE: [&str; 1] = ["zfill"];
const LIST: [&str; 3] = ["copy", "count", "index"];
/// Methods that the sandbox does not let a template call, because they change a value.
const LIST_MUTATING: [&str; 8] = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];
const TUPLE: [&str; 2] = ["count", "index"];
const DICT: [&str; 5] = ["copy", "get", "items", "keys", "values"];
const DICT_MUTATING: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const INT: [&str; 3] = ["bit_length", "conjugate", "is_integer"];
const FLOAT: [&str; 2] = ["conjugate", "is_integer"];
/// Methods of Python's types that its sandbox has and a prompt has no use for, and what to use instead.
const UNSUPPORTED: [(&str, &str); 9] = [
    ("as_integer_ratio", "a prompt has no use for it"),
    ("bit_count", "a prompt has no use for it"),
    ("decode", "a prompt is text and has no bytes"),
    ("encode", "a prompt is text and has no bytes"),
    ("fromkeys", "use dict(...)"),
    ("hex", "use '%x' % number"),
    ("maketrans", "use replace"),
    ("to_bytes", "a prompt is text and has no bytes"),
    ("translate", "use replace"),
];
const CYCLER: [&str; 2] = ["next", "reset"];
const LOOP: [&str; 2] = ["changed", "cycle"];

/// Whether any type has a method of this name.
pub(crate) fn exists(name: &str) -> bool {
    let all: [&[&str]; 10] =
        [&STR, &STR_MORE, &LIST, &LIST_MUTATING, &DICT, &DICT_MUTATING, &INT, &FLOAT, &CYCLER, &LOOP];
    all.iter().any(|names| names.contains(&name))
}

/// What to use instead of a method that Python has and templates here have not.
pub(crate) fn instead(name: &str) -> Option<&'static str> {
    UNSUPPORTED.iter().find(|(known, _)| *known == name).map(|(_, instead)| *instead)
}

/// What is found under a name.
pub(crate) enum Found {
    Safe(&'static str),
    /// There is such a method, but it changes its value.
    Mutating,
    Nothing,
}

/// The method of a value.
pub(crate) fn find(value: &Value, name: &str) -> Found {
    let (safe, mutating): (&[&[&'static str]], &[&str]) = match value {
        Value::Text(_) => (&[&STR, &STR_MORE], &[]),
        Value::Seq(seq) => match seq.kind {
            SeqKind::List => (&[&LIST], &LIST_MUTATING),
            SeqKind::Tuple | SeqKind::Group => (&[&TUPLE], &[]),
            _ => (&[], &[]),
        },
        Value::Dict(_) => (&[&DICT], &DICT_MUTATING),
        Value::Range(_) => (&[&TUPLE], &[]),
        Value::Int(_) | Value::Bool(_) => (&[&INT], &[]),
        Value::Float(_) => (&[&FLOAT], &[]),
        Value::Object(_, ObjectKind::Cycler) => (&[&CYCLER], &[]),
        Value::Object(_, ObjectKind::Loop) => (&[&LOOP], &[]),
        _ => (&[], &[]),
    };
    match safe.iter().flat_map(|names| names.iter()).find(|known| **known == name) {
        Some(name) => Found::Safe(name),
        None if mutating.contains(&name) => Found::Mutating,
        None => Found::Nothing,
    }
}

/// Calls a method.
pub(crate) fn call(interpreter: &mut Interpreter<'_>, method: &Method, args: Args) -> Result<Value> {
    let name = method.name;
    match &method.receiver {
        Value::Text(text) => match name {
            "capitalize" | "casefold" | "lower" | "swapcase" | "title" | "upper" => {
                args.none(name)?;
                case::convert(text, name, interpreter.budget)
            }
            "center" | "ljust" | "rjust" | "zfill" | "expandtabs" => pad::call(interpreter, text, name, args),
            "split" | "rsplit" | "splitlines" | "partition" | "rpartition" => {
                split::call(interpreter, text, name, args)
            }
            "format" => crate::format::braces::format(interpreter, text, &args),
            "format_map" => {
                let Value::Dict(map) = args.one(name, "mapping")? else {
                    return Err(Error::failed("format_map() argument must be a mapping"));
                };
                crate::format::braces::format_map(interpreter, text, map)
            }
            "join" => {
                let items = args.one(name, "iterable")?;
                split::join(interpreter, text, &items)
            }
            _ if name.starts_with("is") => {
                args.none(name)?;
                interpreter.budget.work(Work::Look, text.len())?;
                Ok(Value::Bool(case::is(text.as_str(), name)))
            }
            _ => search::call(interpreter, text, name, args),
        },
        Value::Object(id, ObjectKind::Loop) => containers::call_loop(interpreter, *id, name, args),
        Value::Object(id, ObjectKind::Cycler) => containers::call_cycler(interpreter, *id, name, args),
        receiver => containers::call(interpreter, receiver, name, args),
    }
}
