//! Attributes, items, slices, length, membership and iteration.

use std::rc::Rc;

use super::compare::{among, equal};
use super::dict::Dict;
use super::text::{Text, TextBuilder};
use super::{Method, Range, Seq, SeqKind, Value, missing};
use crate::budget::{Budget, MAX_VALUE_DEPTH, Work};
use crate::error::{Error, Result, shown};
use crate::eval::{Interpreter, Object};
use crate::methods;

/// What a loop goes over.
#[derive(Debug, Clone)]
pub(crate) enum Items {
    Empty,
    Seq(Rc<Seq>),
    Range(Rc<Range>),
    Keys(Rc<Dict>),
}

impl Items {
    pub(crate) fn len(&self) -> usize {
        match self {
            Items::Empty => 0,
            Items::Seq(seq) => seq.items.len(),
            Items::Range(range) => range.len(),
            Items::Keys(dict) => dict.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Value> {
        match self {
            Items::Empty => None,
            Items::Seq(seq) => seq.items.get(index).cloned(),
            Items::Range(range) => (index < range.len()).then(|| range.get(index)),
            Items::Keys(dict) => dict.entries().get(index).map(|(key, _)| key.clone()),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Value> {
        (0..self.len()).map_while(|index| self.get(index))
    }
}

/// `bool(value)`
pub(crate) fn truth(value: &Value) -> bool {
    match value {
        Value::Undefined(_) | Value::None => false,
        Value::Bool(b) => *b,
        Value::Int(i) => *i != 0,
        Value::Float(f) => *f != 0.0,
        Value::Text(text) => !text.is_empty(),
        Value::Seq(seq) => !seq.items.is_empty(),
        Value::Dict(dict) => dict.len() > 0,
        Value::Range(range) => range.len() > 0,
        _ => true,
    }
}

impl Interpreter<'_> {
    /// `len(value)`
    pub(crate) fn length(&self, value: &Value) -> Result<usize> {
        match value {
            Value::Undefined(_) => Ok(0),
            Value::Text(text) => text.chars(self.budget),
            Value::Seq(seq) => Ok(seq.items.len()),
            Value::Dict(dict) => Ok(dict.len()),
            Value::Range(range) => Ok(range.len()),
            Value::Object(id, _) if matches!(self.objects[*id], Object::Loop(_)) => match &self.objects[*id] {
                Object::Loop(state) => Ok(state.items.len()),
                _ => Ok(0),
            },
            other => Err(Error::failed(format!("object of type '{}' has no len()", other.type_name()))),
        }
    }

    /// `iter(value)`, at once. What can be iterated over only once is empty afterwards.
    pub(crate) fn iterate(&mut self, value: &Value) -> Result<Items> {
        Ok(match value {
            Value::Undefined(_) => Items::Empty,
            Value::Seq(seq) => Items::Seq(Rc::clone(seq)),
            Value::Range(range) => Items::Range(Rc::clone(range)),
            Value::Dict(dict) => Items::Keys(Rc::clone(dict)),
            Value::Text(text) => {
                let count = text.chars(self.budget)?;
                self.budget.make_many(count, 2 * size_of::<Value>())?;
                let mut items = Vec::with_capacity(count);
                let mut start = 0;
                for c in text.as_str().chars() {
                    let end = start + c.len_utf8();
                    items.push(Value::Text(text.slice(start..end, self.budget)?));
                    start = end;
                }
                self.items_of(items)?
            }
            Value::Object(id, _) => {
                let rest = match &mut self.objects[*id] {
                    Object::Generator { items, next } => {
                        let from = std::mem::replace(next, items.len());
                        self.budget.make_many(items.len() - from, size_of::<Value>())?;
                        (from..items.len()).filter_map(|index| items.get(index)).collect()
                    }
                    _ => return Err(Error::failed(format!("'{}' object is not iterable", value.type_name()))),
                };
                self.items_of(rest)?
            }
            other => return Err(Error::failed(format!("'{}' object is not iterable", other.type_name()))),
        })
    }

    fn items_of(&self, items: Vec<Value>) -> Result<Items> {
        match Seq::list(items)? {
            Value::Seq(seq) => Ok(Items::Seq(seq)),
            _ => Ok(Items::Empty),
        }
    }

    /// The items of a value as a list that was charged.
    pub(crate) fn collect(&mut self, value: &Value) -> Result<Vec<Value>> {
        let items = self.iterate(value)?;
        self.budget.make_many(items.len(), size_of::<Value>())?;
        Ok(items.iter().collect())
    }

    /// `item in container`
    pub(crate) fn contains(&mut self, container: &Value, item: &Value) -> Result<bool> {
        let budget = self.budget;
        match (container, item) {
            (Value::Text(text), Value::Text(part)) => {
                budget.work(Work::Search, text.len() + part.len())?;
                Ok(text.as_str().contains(part.as_str()))
            }
            (Value::Text(_), other) => {
                let kind = other.type_name();
                Err(Error::failed(format!("'in <string>' requires string as left operand, not {kind}")))
            }
            (Value::Dict(dict), item) => Ok(dict.get(item, budget)?.is_some()),
            (Value::Seq(seq), item) => among(&seq.items, item, budget),
            (Value::Undefined(_), _) => Ok(false),
            (Value::Range(_) | Value::Object(..), item) => {
                for candidate in self.iterate(container)?.iter() {
                    if equal(&candidate, item, budget)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (other, _) => Err(Error::failed(format!("argument of type '{}' is not iterable", other.type_name()))),
        }
    }

    /// `value.name`: Python's attributes and methods first, then items.
    pub(crate) fn attribute(&mut self, value: &Value, name: &str) -> Result<Value> {
        self.budget.step(1)?;
        value.defined()?;
        if let Some(found) = self.own_attribute(value, name)? {
            return Ok(found);
        }
        let key = Value::Text(Text::own(name));
        Ok(self.own_item(value, &key)?.unwrap_or_else(|| missing(value, &key)))
    }

    /// `value[key]`: items first, then attributes.
    pub(crate) fn item(&mut self, value: &Value, key: &Value) -> Result<Value> {
        self.budget.step(1)?;
        value.defined()?;
        if let Some(found) = self.own_item(value, key)? {
            return Ok(found);
        }
        if let Value::Text(name) = key
            && let Some(found) = self.own_attribute(value, name.as_str())?
        {
            return Ok(found);
        }
        Ok(missing(value, key))
    }

    /// What `getattr` finds.
    pub(crate) fn own_attribute(&self, value: &Value, name: &str) -> Result<Option<Value>> {
        if name.starts_with("__") && !matches!(value, Value::Object(..)) {
            return Ok(Some(unsafe_attribute(value, name)));
        }
        match value {
            Value::Object(id, _) => {
                if let Some(found) = self.objects[*id].attribute(name, self.budget)? {
                    return Ok(Some(found));
                }
            }
            Value::Macro(of) if name == "name" => return Ok(Some(Value::own(&*of.definition.name))),
            Value::Blocks(None) => {
                let block = self.template.blocks.get(name);
                return Ok(block.map(|block| Value::Blocks(Some(block.name.clone()))));
            }
            Value::Seq(seq) if seq.kind == SeqKind::Group => match name {
                "grouper" => return Ok(seq.items.first().cloned()),
                "list" => return Ok(seq.items.get(1).cloned()),
                _ => {}
            },
            Value::Float(number) => match name {
                "real" => return Ok(Some(Value::Float(*number))),
                "imag" => return Ok(Some(Value::Float(0.0))),
                _ => {}
            },
            Value::Int(_) | Value::Bool(_) => match name {
                "real" | "numerator" => return Ok(value.as_int().map(Value::Int)),
                "imag" => return Ok(Some(Value::Int(0))),
                "denominator" => return Ok(Some(Value::Int(1))),
                _ => {}
            },
            _ => {}
        }
        Ok(match methods::find(value, name) {
            methods::Found::Safe(name) => {
                if value.depth() >= MAX_VALUE_DEPTH {
                    return Err(Error::too_deep("values", MAX_VALUE_DEPTH));
                }
                Some(Value::Method(Rc::new(Method { receiver: value.clone(), name })))
            }
            methods::Found::Mutating => Some(unsafe_attribute(value, name)),
            methods::Found::Nothing => None,
        })
    }

    /// What `value[key]` finds in Python.
    fn own_item(&self, value: &Value, key: &Value) -> Result<Option<Value>> {
        let budget = self.budget;
        match (value, key) {
            (Value::Dict(dict), Value::Text(key)) => Ok(dict.get_str(key.as_str(), budget)?.cloned()),
            (Value::Dict(_), Value::Seq(seq)) if !seq.is_tuple() => Ok(None),
            (Value::Dict(_), Value::Dict(_)) => Ok(None),
            (Value::Dict(dict), key) => Ok(dict.get(key, budget)?.cloned()),
            (value, key) => {
                let Some(index) = key.as_int() else { return Ok(None) };
                match value {
                    Value::Seq(seq) if seq.is_indexed() => {
                        Ok(place(index, seq.items.len()).map(|index| seq.items[index].clone()))
                    }
                    Value::Range(range) => Ok(place(index, range.len()).map(|index| range.get(index))),
                    Value::Text(text) => {
                        let Some(index) = place(index, text.chars(budget)?) else { return Ok(None) };
                        budget.work(Work::Search, text.len())?;
                        let Some((start, c)) = text.as_str().char_indices().nth(index) else { return Ok(None) };
                        Ok(Some(Value::Text(text.slice(start..start + c.len_utf8(), budget)?)))
                    }
                    _ => Ok(None),
                }
            }
        }
    }

    /// `value[from:to:step]`
    pub(crate) fn slice(&self, value: &Value, bounds: [Option<i128>; 3]) -> Result<Value> {
        value.defined()?;
        let budget = self.budget;
        match value {
            Value::Seq(seq) if seq.is_indexed() => {
                let indices = Indices::new(bounds, seq.items.len())?;
                budget.make_many(indices.count(), size_of::<Value>())?;
                let kind = if seq.is_tuple() { SeqKind::Tuple } else { SeqKind::List };
                Seq::of(kind, indices.iter().map(|index| seq.items[index].clone()).collect())
            }
            Value::Range(range) => {
                let indices = Indices::new(bounds, range.len())?;
                let at = |index: i128| range.start + range.step * index;
                let (start, stop) = (at(indices.from), at(indices.to));
                Ok(Value::Range(Rc::new(Range { start, stop, step: range.step * indices.step })))
            }
            Value::Text(text) => Ok(Value::Text(slice_text(text, bounds, budget)?)),
            other => Err(Error::failed(format!("'{}' object is not subscriptable", other.type_name()))),
        }
    }
}

fn unsafe_attribute(value: &Value, name: &str) -> Value {
    Value::undefined(format!("access to attribute '{}' of '{}' object is unsafe.", shown(name), value.type_name()))
}

/// The place of an index that may count from the end.
pub(crate) fn place(index: i128, length: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(length as i128)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

fn slice_text(text: &Text, bounds: [Option<i128>; 3], budget: &Budget) -> Result<Text> {
    let length = text.chars(budget)?;
    let indices = Indices::new(bounds, length)?;
    budget.work(Work::Search, text.len())?;
    let whole = text.as_str();
    if indices.step == 1 {
        let (from, count) = (indices.from as usize, indices.count());
        let byte = |chars: usize, after: usize| match whole.is_ascii() {
            true => after + chars,
            false => whole[after..].char_indices().nth(chars).map_or(whole.len(), |(at, _)| after + at),
        };
        let start = byte(from, 0);
        return text.slice(start..byte(count, start), budget);
    }
    budget.make_many(length, size_of::<usize>())?;
    let starts: Vec<usize> = whole.char_indices().map(|(at, _)| at).collect();
    let mut out = TextBuilder::new(budget);
    for index in indices.iter() {
        let end = starts.get(index + 1).copied().unwrap_or(whole.len());
        budget.step(1)?;
        out.push_slice(text, starts[index]..end)?;
    }
    Ok(out.finish())
}

/// Which indices a slice takes, as Python's `slice.indices`.
struct Indices {
    from: i128,
    to: i128,
    step: i128,
}

impl Indices {
    fn new([from, to, step]: [Option<i128>; 3], length: usize) -> Result<Indices> {
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err(Error::failed("slice step cannot be zero"));
        }
        let length = length as i128;
        // Larger steps reach nothing more.
        let step = step.clamp(-length - 1, length + 1);
        let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let clip = |index: i128| if index < 0 { index.saturating_add(length) } else { index }.clamp(lowest, highest);
        let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
        Ok(Indices { from: from.map_or(first, clip), to: to.map_or(last, clip), step })
    }

    fn count(&self) -> usize {
        Range { start: self.from, stop: self.to, step: self.step }.len()
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        let (from, step) = (self.from, self.step);
        (0..self.count()).map(move |i| (from + step * i as i128) as usize)
    }
}
