//! `split` and its kin, `join`.

use crate::budget::Work;
use crate::error::{Error, Result};
use crate::eval::Interpreter;
use crate::eval::args::{Args, flag, given, int};
use crate::value::text::{Text, TextBuilder, is_space};
use crate::value::{Seq, Value};

pub(super) fn call(interpreter: &mut Interpreter<'_>, text: &Text, method: &str, args: Args) -> Result<Value> {
    let budget = interpreter.budget;
    budget.work(Work::Look, text.len())?;
    match method {
        "partition" | "rpartition" => {
            let separator = args.one(method, "sep")?;
            let separator = separator.text("the separator")?;
            not_empty(separator)?;
            budget.work(Work::Search, separator.len())?;
            partition(interpreter, text, separator, method == "partition")
        }
        "splitlines" => {
            let [keep] = args.bind(method, ["keepends"], 0)?;
            let keep = flag(keep.as_ref(), false);
            let lines = lines(text.as_str()).map(|(line, end)| if keep { (line.0, end) } else { line });
            Seq::list(list(interpreter, text, lines.map(|(start, end)| &text.as_str()[start..end]))?)
        }
        _ => {
            let [separator, limit] = args.bind(method, ["sep", "maxsplit"], 0)?;
            let limit = usize::try_from(int(limit.as_ref(), "maxsplit", -1)?).unwrap_or(usize::MAX);
            let (whole, parts) = (text.as_str(), limit.saturating_add(1));
            let from_left = method == "split";
            let Some(separator) = given(separator) else {
                return match from_left {
                    true => Seq::list(list(interpreter, text, split_space(whole, limit))?),
                    false => reversed(list(interpreter, text, rsplit_space(whole, limit))?),
                };
            };
            let separator = separator.text("the separator")?;
            not_empty(separator)?;
            budget.work(Work::Search, separator.len())?;
            match from_left {
                true => Seq::list(list(interpreter, text, whole.splitn(parts, separator.as_str()))?),
                false => reversed(list(interpreter, text, whole.rsplitn(parts, separator.as_str()))?),
            }
        }
    }
}

fn not_empty(separator: &Text) -> Result<()> {
    if separator.is_empty() { Err(Error::failed("empty separator")) } else { Ok(()) }
}

fn reversed(mut items: Vec<Value>) -> Result<Value> {
    items.reverse();
    Seq::list(items)
}

/// Parts of a text, each charged before the next one is looked for.
fn list<'t>(interpreter: &Interpreter<'_>, text: &Text, parts: impl Iterator<Item = &'t str>) -> Result<Vec<Value>> {
    let budget = interpreter.budget;
    let mut list = Vec::new();
    for part in parts {
        budget.make_many(1, 2 * size_of::<Value>())?;
        list.push(Value::Text(text.part(part, budget)?));
    }
    Ok(list)
}

/// `split()`: at runs of white space. The last part keeps the white space after it if there were too many, as in Python.
fn split_space(text: &str, limit: usize) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_start_matches(is_space);
    let mut count = 0;
    std::iter::from_fn(move || {
        let end = match count == limit {
            true => rest.len(),
            false => rest.find(is_space).unwrap_or(rest.len()),
        };
        count += 1;
        let part = (!rest.is_empty()).then(|| &rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
        part
    })
}

/// `rsplit()`, from the end.
fn rsplit_space(text: &str, limit: usize) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_end_matches(is_space);
    let mut count = 0;
    std::iter::from_fn(move || {
        let last_space = rest.char_indices().rfind(|(_, c)| is_space(*c));
        let start = if count == limit { 0 } else { last_space.map_or(0, |(at, c)| at + c.len_utf8()) };
        count += 1;
        let part = (!rest.is_empty()).then(|| &rest[start..]);
        rest = rest[..start].trim_end_matches(is_space);
        part
    })
}

/// The lines of a text, as Python's `splitlines` sees them: their ranges, and where the line end ends.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = ((usize, usize), usize)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == text.len() {
            return None;
        }
        let rest = &text[start..];
        let line = match rest.char_indices().find(|(_, c)| is_line_end(*c)) {
            None => ((start, text.len()), text.len()),
            Some((at, '\r')) if rest[at + 1..].starts_with('\n') => ((start, start + at), start + at + 2),
            Some((at, c)) => ((start, start + at), start + at + c.len_utf8()),
        };
        start = line.1;
        Some(line)
    })
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn partition(interpreter: &Interpreter<'_>, text: &Text, separator: &Text, first: bool) -> Result<Value> {
    let budget = interpreter.budget;
    let (whole, between) = (text.as_str(), separator.as_str());
    let at = if first { whole.find(between) } else { whole.rfind(between) };
    let empty = || Value::own("");
    let parts = match at {
        Some(at) => {
            let end = at + between.len();
            let parts = [text.slice(0..at, budget)?, separator.clone(), text.slice(end..whole.len(), budget)?];
            parts.map(Value::Text).to_vec()
        }
        None if first => vec![Value::Text(text.clone()), empty(), empty()],
        None => vec![empty(), empty(), Value::Text(text.clone())],
    };
    Seq::tuple(parts, budget)
}

/// `separator.join(items)`: all of them must be strings.
pub(super) fn join(interpreter: &mut Interpreter<'_>, separator: &Text, items: &Value) -> Result<Value> {
    let items = interpreter.iterate(items)?;
    let mut out = TextBuilder::new(interpreter.budget);
    for (index, item) in items.iter().enumerate() {
        interpreter.budget.step(1)?;
        if index > 0 {
            out.push_text(separator)?;
        }
        match &item {
            Value::Text(text) => out.push_text(text)?,
            other => {
                let kind = other.type_name();
                return Err(Error::failed(format!("sequence item {index}: expected str instance, {kind} found")));
            }
        }
    }
    Ok(Value::Text(out.finish()))
}
