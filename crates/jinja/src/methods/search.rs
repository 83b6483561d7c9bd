//! Searching, stripping and replacing.

use std::collections::HashSet;
use std::ops::Range;

use crate::budget::{Budget, Work};
use crate::error::{Error, Result, shown};
use crate::eval::Interpreter;
use crate::eval::args::{Args, given};
use crate::value::Value;
use crate::value::text::{Text, TextBuilder, is_space};

pub(super) fn call(interpreter: &mut Interpreter<'_>, text: &Text, method: &str, args: Args) -> Result<Value> {
    let budget = interpreter.budget;
    match method {
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = args.bind(method, ["chars"], 0)?;
            let chars = given(chars);
            let chars = chars.as_ref().map(|chars| chars.text("strip arg")).transpose()?;
            strip(text, chars, (method != "rstrip", method != "lstrip"), budget).map(Value::Text)
        }
        "removeprefix" | "removesuffix" => {
            let part = args.one(method, "affix")?;
            let part = part.text("the affix")?.as_str();
            budget.work(Work::Copy, part.len())?;
            let whole = text.as_str();
            let kept = if method == "removeprefix" { whole.strip_prefix(part) } else { whole.strip_suffix(part) };
            text.part(kept.unwrap_or(whole), budget).map(Value::Text)
        }
        "replace" => {
            let [old, new, count] = args.bind(method, ["old", "new", "count"], 2)?;
            let (Some(old), Some(new)) = (old, new) else { return Ok(Value::Text(text.clone())) };
            let count = count.map_or(Ok(-1), |count| count.int("count"))?;
            replace(text, old.text("replace() argument 1")?, new.text("replace() argument 2")?, count, budget)
        }
        "startswith" | "endswith" => {
            let [affix, from, to] = args.bind(method, ["affix", "start", "end"], 1)?;
            let Some(window) = window(text, from, to, budget)? else { return Ok(Value::Bool(false)) };
            let window = &text.as_str()[window];
            let matches = |affix: &Text| -> Result<bool> {
                budget.work(Work::Copy, affix.len())?;
                let affix = affix.as_str();
                Ok(if method == "startswith" { window.starts_with(affix) } else { window.ends_with(affix) })
            };
            match affix.unwrap_or(Value::None) {
                Value::Text(affix) => matches(&affix).map(Value::Bool),
                Value::Seq(affixes) if affixes.is_tuple() => {
                    for affix in &affixes.items {
                        budget.step(1)?;
                        if matches(affix.text("an affix")?)? {
                            return Ok(Value::Bool(true));
                        }
                    }
                    Ok(Value::Bool(false))
                }
                other => {
                    let kind = other.type_name();
                    Err(Error::failed(format!("{method} first arg must be str or a tuple of str, not {kind}")))
                }
            }
        }
        _ => find(text, method, args, budget),
    }
}

/// `count`, `find`, `index`, `rfind`, `rindex`.
fn find(text: &Text, method: &str, args: Args, budget: &Budget) -> Result<Value> {
    let [part, from, to] = args.bind(method, ["sub", "start", "end"], 1)?;
    let part = part.unwrap_or(Value::None);
    let part = part.text("the substring")?.as_str();
    let window = window(text, from, to, budget)?;
    // Each place is looked at that is counted.
    let work = if method == "count" { Work::Look } else { Work::Search };
    budget.work(work, text.len() + part.len())?;
    let whole = text.as_str();
    if method == "count" {
        let Some(window) = window else { return Ok(Value::Int(0)) };
        return Ok(Value::Int(whole[window].matches(part).count() as i128));
    }
    let found = window.and_then(|window| {
        let inside = &whole[window.clone()];
        let at = if method.starts_with('r') { inside.rfind(part) } else { inside.find(part) };
        at.map(|at| whole[..window.start + at].chars().count())
    });
    match found {
        Some(at) => Ok(Value::Int(at as i128)),
        None if method.ends_with("find") => Ok(Value::Int(-1)),
        None => Err(Error::failed(format!("substring not found: '{}'", shown(part)))),
    }
}

/// The bytes between two indices of characters; `None` if the first one is behind the end.
fn window(text: &Text, from: Option<Value>, to: Option<Value>, budget: &Budget) -> Result<Option<Range<usize>>> {
    let (from, to) = (given(from), given(to));
    if from.is_none() && to.is_none() {
        return Ok(Some(0..text.len()));
    }
    let length = text.chars(budget)? as i128;
    let clip = |index: Option<Value>, default: i128| -> Result<i128> {
        let index = index.map_or(Ok(default), |index| index.int("an index"))?;
        Ok(if index < 0 { index.saturating_add(length).max(0) } else { index })
    };
    let (from, to) = (clip(from, 0)?, clip(to, length)?.min(length));
    budget.work(Work::Search, text.len().saturating_mul(2))?;
    if from > to {
        return Ok(None);
    }
    let byte = |chars: i128| text.as_str().char_indices().nth(chars as usize).map_or(text.len(), |(at, _)| at);
    Ok(Some(byte(from)..byte(to)))
}

/// `strip`: of white space, or of the given characters, on the left, on the right, or on both sides.
pub(crate) fn strip(text: &Text, chars: Option<&Text>, (left, right): (bool, bool), budget: &Budget) -> Result<Text> {
    budget.work(Work::Look, text.len())?;
    let mut set = HashSet::new();
    if let Some(chars) = chars {
        budget.make_many(chars.chars(budget)?, size_of::<char>())?;
        set.extend(chars.as_str().chars());
    }
    let strips = |c: char| if chars.is_some() { set.contains(&c) } else { is_space(c) };
    let mut kept = text.as_str();
    if left {
        kept = kept.trim_start_matches(strips);
    }
    if right {
        kept = kept.trim_end_matches(strips);
    }
    text.part(kept, budget)
}

/// `replace`; a negative count means all.
pub(crate) fn replace(text: &Text, old: &Text, new: &Text, count: i128, budget: &Budget) -> Result<Value> {
    budget.work(Work::Search, text.len() + old.len())?;
    let whole = text.as_str();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut out = TextBuilder::new(budget);
    let mut kept = 0;
    for (at, found) in whole.match_indices(old.as_str()).take(count) {
        budget.step(1)?;
        out.push_slice(text, kept..at)?;
        out.push_text(new)?;
        kept = at + found.len();
    }
    out.push_slice(text, kept..whole.len())?;
    Ok(Value::Text(out.finish()))
}
