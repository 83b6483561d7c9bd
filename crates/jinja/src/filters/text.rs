//! Filters of strings.

use std::rc::Rc;

use crate::budget::Work;
use crate::error::{Error, Result};
use crate::eval::Interpreter;
use crate::eval::args::{Args, given};
use crate::format::printf;
use crate::methods::{self, search};
use crate::value::dict::Dict;
use crate::value::{Method, Seq, Value};

/// A method of `str` without arguments, on whatever is a string or becomes one.
fn method(interpreter: &mut Interpreter<'_>, value: &Value, args: Args, name: &'static str) -> Result<Value> {
    args.none(name)?;
    let receiver = Value::Text(interpreter.str(value)?);
    methods::call(interpreter, &Method { receiver, name }, Args::default())
}

pub(super) fn capitalize(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    method(interpreter, &value, args, "capitalize")
}

pub(super) fn lower(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    method(interpreter, &value, args, "lower")
}

pub(super) fn upper(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    method(interpreter, &value, args, "upper")
}

pub(super) fn string(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("string")?;
    interpreter.str(&value).map(Value::Text)
}

pub(super) fn center(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [width] = args.bind("center", ["width"], 0)?;
    let text = interpreter.str(&value)?;
    methods::center(interpreter, &text, width.unwrap_or(Value::Int(80)))
}

/// Words begin behind spaces and opening brackets, other than for the method of the same name.
pub(super) fn title(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("title")?;
    let text = interpreter.str(&value)?;
    let mut begins = true;
    let titled = text.map_chars(interpreter.budget, |c, out| {
        if begins {
            out.extend(c.to_uppercase())
        } else {
            out.extend(c.to_lowercase())
        }
        begins = crate::value::text::is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<');
    });
    titled.map(Value::Text)
}

pub(super) fn trim(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [chars] = args.bind("trim", ["chars"], 0)?;
    let chars = given(chars);
    let chars = chars.as_ref().map(|chars| chars.text("strip arg")).transpose()?;
    let text = interpreter.str(&value)?;
    search::strip(&text, chars, (true, true), interpreter.budget).map(Value::Text)
}

pub(super) fn replace(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [old, new, count] = args.bind("replace", ["old", "new", "count"], 2)?;
    let text = interpreter.str(&value)?;
    let old = interpreter.str(&old.unwrap_or(Value::None))?;
    let new = interpreter.str(&new.unwrap_or(Value::None))?;
    let count = given(count).map_or(Ok(-1), |count| count.int("count"))?;
    search::replace(&text, &old, &new, count, interpreter.budget)
}

pub(super) fn wordcount(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("wordcount")?;
    let text = interpreter.str(&value)?;
    interpreter.budget.work(Work::Look, text.len())?;
    let words = text.as_str().split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    Ok(Value::Int(words.count() as i128))
}

/// `format | format(values)`: as `%`.
pub(super) fn format(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let text = interpreter.str(&value)?;
    if !args.positional.is_empty() && !args.named.is_empty() {
        return Err(Error::failed("can't handle positional and keyword arguments at the same time"));
    }
    let values = if args.named.is_empty() {
        Seq::tuple(args.positional, interpreter.budget)?
    } else {
        let mut values = Dict::new();
        for (name, value) in args.named {
            values.insert(Value::own(&*name), value, interpreter.budget)?;
        }
        Value::Dict(Rc::new(values))
    };
    printf::format(interpreter, &text, &values).map(Value::Text)
}
