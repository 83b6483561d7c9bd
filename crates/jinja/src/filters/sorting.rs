//! Filters that sort, group, or find the least.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::eval::Interpreter;
use crate::eval::args::{Args, flag, given, int};
use crate::filters::selecting::{LONGEST_PATH, Path};
use crate::value::compare::{equal, less, sort as sort_pairs};
use crate::value::dict::Key;
use crate::value::{Seq, SeqKind, Value};

/// What items are compared by: an attribute, and without regard to case unless told.
struct By {
    paths: Vec<Path>,
    /// Whether a key is a list.
    many: bool,
    case_sensitive: bool,
    default: Option<Value>,
}

impl By {
    fn one(attribute: Option<Value>, case_sensitive: Option<&Value>, default: Option<Value>) -> Result<By> {
        let path = given(attribute).map_or_else(|| Ok(Path::none()), |attribute| Path::new(&attribute))?;
        let case_sensitive = flag(case_sensitive, false);
        Ok(By { paths: vec![path], many: false, case_sensitive, default: given(default) })
    }

    /// Attributes with commas between them. The key is a list, as in Jinja: what is equal in it need not be comparable.
    fn many(attribute: Option<Value>, case_sensitive: Option<&Value>) -> Result<By> {
        let by = match given(attribute) {
            Some(Value::Text(text)) if text.len() <= LONGEST_PATH => {
                let paths = text.as_str().split(',').map(|path| Path::new(&Value::own(path))).collect::<Result<_>>()?;
                By { paths, many: true, case_sensitive: flag(case_sensitive, false), default: None }
            }
            other => By::one(other, case_sensitive, None)?,
        };
        Ok(By { many: true, ..by })
    }

    fn key(&self, interpreter: &mut Interpreter<'_>, item: &Value) -> Result<Value> {
        let mut keys = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            interpreter.budget.step(1)?;
            let value = path.follow(interpreter, item.clone(), self.default.as_ref())?;
            keys.push(self.fold(interpreter, value)?);
        }
        match keys.pop() {
            Some(only) if !self.many => Ok(only),
            last => {
                keys.extend(last);
                interpreter.budget.make_many(keys.len(), size_of::<Value>())?;
                Seq::list(keys)
            }
        }
    }

    fn fold(&self, interpreter: &Interpreter<'_>, value: Value) -> Result<Value> {
        match &value {
            Value::Text(text) if !self.case_sensitive => {
                text.map_pieces(interpreter.budget, str::to_lowercase).map(Value::Text)
            }
            _ => Ok(value),
        }
    }

    /// Items with their keys.
    fn pairs(&self, interpreter: &mut Interpreter<'_>, items: Vec<Value>) -> Result<Vec<(Value, Value)>> {
        interpreter.budget.make_many(items.len(), size_of::<(Value, Value)>())?;
        items.into_iter().map(|item| Ok((self.key(interpreter, &item)?, item))).collect()
    }
}

/// `sort(reverse=False, case_sensitive=False, attribute=None)`
pub(super) fn sort(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [reverse, case_sensitive, attribute] = args.bind("sort", ["reverse", "case_sensitive", "attribute"], 0)?;
    let by = By::many(attribute, case_sensitive.as_ref())?;
    let items = interpreter.collect(&value)?;
    let pairs = by.pairs(interpreter, items)?;
    Seq::list(sort_pairs(pairs, int(reverse.as_ref(), "reverse", 0)? != 0, interpreter.budget)?)
}

/// `dictsort(case_sensitive=False, by='key', reverse=False)`
pub(super) fn dictsort(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [case_sensitive, by, reverse] = args.bind("dictsort", ["case_sensitive", "by", "reverse"], 0)?;
    let index = match by.as_ref().map_or(Some("key"), Value::as_str) {
        Some("key") => 0,
        Some("value") => 1,
        _ => return Err(Error::failed("You can only sort by either \"key\" or \"value\"")),
    };
    value.defined()?;
    let Value::Dict(dict) = value else {
        return Err(Error::failed(format!("'{}' has no attribute 'items'", value.describe())));
    };
    let by = By::one(Some(Value::Int(index)), case_sensitive.as_ref(), None)?;
    let items = dict.pairs(interpreter.budget)?;
    let pairs = by.pairs(interpreter, items)?;
    Seq::list(sort_pairs(pairs, int(reverse.as_ref(), "reverse", 0)? != 0, interpreter.budget)?)
}

/// `unique(case_sensitive=False, attribute=None)`
pub(super) fn unique(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [case_sensitive, attribute] = args.bind("unique", ["case_sensitive", "attribute"], 0)?;
    let by = By::one(attribute, case_sensitive.as_ref(), None)?;
    let items = interpreter.collect(&value)?;
    interpreter.budget.make_many(items.len(), 2 * size_of::<Key>())?;
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for item in items {
        let key = by.key(interpreter, &item)?;
        if seen.insert(Key::of(&key, interpreter.budget)?) {
            kept.push(item);
        }
    }
    interpreter.generator(kept)
}

/// `min(case_sensitive=False, attribute=None)`
pub(super) fn min(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    extreme(interpreter, &value, args, "min")
}

/// `max(case_sensitive=False, attribute=None)`
pub(super) fn max(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    extreme(interpreter, &value, args, "max")
}

fn extreme(interpreter: &mut Interpreter<'_>, value: &Value, args: Args, which: &str) -> Result<Value> {
    let [case_sensitive, attribute] = args.bind(which, ["case_sensitive", "attribute"], 0)?;
    let by = By::one(attribute, case_sensitive.as_ref(), None)?;
    let mut best: Option<(Value, Value)> = None;
    for item in interpreter.iterate(value)?.iter() {
        let key = by.key(interpreter, &item)?;
        let better = match &best {
            None => true,
            Some((other, _)) if which == "min" => less(&key, other, "<", interpreter.budget)?,
            Some((other, _)) => less(other, &key, ">", interpreter.budget)?,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(|| Value::undefined("No aggregated item, sequence was empty."), |(_, item)| item))
}

/// `groupby(attribute, default=None, case_sensitive=False)`
pub(super) fn groupby(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [attribute, default, case_sensitive] = args.bind("groupby", ["attribute", "default", "case_sensitive"], 1)?;
    let by = By::one(attribute.clone(), case_sensitive.as_ref(), default.clone())?;
    // A group has the name of its first item as it is written there.
    let written = By::one(attribute, Some(&Value::Bool(true)), default)?;
    let items = interpreter.collect(&value)?;
    let pairs = by.pairs(interpreter, items)?;
    let sorted = sort_pairs(pairs, false, interpreter.budget)?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for item in sorted {
        interpreter.budget.make_many(1, 4 * size_of::<Value>())?;
        let key = by.key(interpreter, &item)?;
        match groups.last_mut() {
            Some((last, group)) if equal(last, &key, interpreter.budget)? => group.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    let mut out = Vec::with_capacity(groups.len());
    for (_, group) in groups {
        let name = written.key(interpreter, &group[0])?;
        out.push(Seq::of(SeqKind::Group, vec![name, Seq::list(group)?])?);
    }
    Seq::list(out)
}
