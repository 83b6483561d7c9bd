//! Dictionaries: in the order of insertion, with Python's idea of equal keys.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use super::text::Text;
use super::{ObjectId, Seq, Value};
use crate::budget::{Budget, MAX_VALUE_DEPTH, Work};
use crate::error::{Error, Result};

/// Up to so many entries are searched one by one.
const SEARCHED: usize = 8;

/// What makes two keys the same: `1`, `1.0` and `True` are one key.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    None,
    Undefined,
    Int(i128),
    Float(u64),
    Text(Text),
    Tuple(Vec<Key>),
    Object(ObjectId),
    Address(usize),
}

impl Key {
    /// The key that a value is.
    ///
    /// # Errors
    /// If it cannot be one, as a list cannot.
    pub(crate) fn of(value: &Value, budget: &Budget) -> Result<Key> {
        budget.step(1)?;
        Ok(match value {
            Value::Undefined(_) => Key::Undefined,
            Value::None => Key::None,
            Value::Bool(b) => Key::Int(i128::from(*b)),
            Value::Int(i) => Key::Int(*i),
            Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e30 => Key::Int(*f as i128),
            Value::Float(f) => Key::Float(f.to_bits()),
            Value::Text(text) => {
                budget.work(Work::Copy, text.len())?;
                Key::Text(text.clone())
            }
            Value::Seq(seq) if seq.is_tuple() => {
                budget.make_many(seq.items.len(), size_of::<Key>())?;
                Key::Tuple(seq.items.iter().map(|item| Key::of(item, budget)).collect::<Result<_>>()?)
            }
            Value::Object(id, _) => Key::Object(*id),
            Value::Macro(of) => Key::Address(std::rc::Rc::as_ptr(of) as usize),
            Value::Builtin(_) | Value::Method(_) | Value::Blocks(_) | Value::Range(_) => Key::Address(0),
            Value::Seq(_) | Value::Dict(_) => {
                return Err(Error::failed(format!("unhashable type: '{}'", value.type_name())));
            }
        })
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        match (self, other) {
            (Key::None, Key::None) | (Key::Undefined, Key::Undefined) => true,
            (Key::Int(a), Key::Int(b)) => a == b,
            (Key::Float(a), Key::Float(b)) => a == b,
            (Key::Text(a), Key::Text(b)) => a.as_str() == b.as_str(),
            (Key::Tuple(a), Key::Tuple(b)) => a == b,
            (Key::Object(a), Key::Object(b)) => a == b,
            (Key::Address(a), Key::Address(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Key::None | Key::Undefined => {}
            Key::Int(i) => i.hash(state),
            Key::Float(bits) => bits.hash(state),
            Key::Text(text) => text.as_str().hash(state),
            Key::Tuple(keys) => keys.hash(state),
            Key::Object(id) => id.hash(state),
            Key::Address(address) => address.hash(state),
        }
    }
}

/// A dictionary. It never changes once a template has it.
#[derive(Debug, Default)]
pub(crate) struct Dict {
    entries: Vec<(Value, Value)>,
    /// The place of each key, once there are many.
    places: HashMap<Key, usize>,
    depth: usize,
}

impl Dict {
    pub(crate) fn new() -> Dict {
        Dict { depth: 1, ..Dict::default() }
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Value> {
        self.entries.iter().map(|(key, _)| key)
    }

    /// Sets an entry; it stays where it was if it was there.
    pub(crate) fn insert(&mut self, key: Value, value: Value, budget: &Budget) -> Result<()> {
        let depth = 1 + value.depth().max(key.depth());
        if depth > MAX_VALUE_DEPTH {
            return Err(Error::too_deep("values", MAX_VALUE_DEPTH));
        }
        self.depth = self.depth.max(depth);
        let hashed = Key::of(&key, budget)?;
        if let Some(place) = self.place(&hashed, budget)? {
            self.entries[place].1 = value;
            return Ok(());
        }
        budget.make(size_of::<(Value, Value)>() + size_of::<(Key, usize)>())?;
        self.entries.push((key, value));
        match self.entries.len() - 1 {
            place if place > SEARCHED => drop(self.places.insert(hashed, place)),
            SEARCHED => {
                for (place, (key, _)) in self.entries.iter().enumerate() {
                    self.places.insert(Key::of(key, budget)?, place);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn place(&self, key: &Key, budget: &Budget) -> Result<Option<usize>> {
        if self.entries.len() > SEARCHED {
            return Ok(self.places.get(key).copied());
        }
        for (place, (other, _)) in self.entries.iter().enumerate() {
            // Mostly strings are looked for.
            let same = match (key, other) {
                (Key::Text(a), Value::Text(b)) => a.as_str() == b.as_str(),
                (Key::Text(_), _) | (_, Value::Text(_)) => false,
                _ => *key == Key::of(other, budget)?,
            };
            if same {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    pub(crate) fn get(&self, key: &Value, budget: &Budget) -> Result<Option<&Value>> {
        let place = self.place(&Key::of(key, budget)?, budget)?;
        Ok(place.map(|place| &self.entries[place].1))
    }

    /// The value of a key that is a string.
    pub(crate) fn get_str(&self, key: &str, budget: &Budget) -> Result<Option<&Value>> {
        if self.entries.len() > SEARCHED {
            return self.get(&Value::Text(Text::own(key)), budget);
        }
        budget.step(1)?;
        budget.work(Work::Copy, key.len())?;
        let entry = self.entries.iter().find(|(other, _)| matches!(other, Value::Text(t) if t.as_str() == key));
        Ok(entry.map(|(_, value)| value))
    }

    /// `keys()`, `values()`, `items()`.
    pub(crate) fn pairs(&self, budget: &Budget) -> Result<Vec<Value>> {
        budget.make_many(self.len(), size_of::<Value>())?;
        self.entries.iter().map(|(key, value)| Seq::tuple(vec![key.clone(), value.clone()], budget)).collect()
    }
}
