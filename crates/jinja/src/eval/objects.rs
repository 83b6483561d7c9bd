//! Things that change: namespaces, loops, cyclers, joiners, generators.

use std::rc::Weak;
use std::sync::Arc;

use super::Scope;
use crate::budget::Budget;
use crate::error::Result;
use crate::syntax::ast::For;
use crate::value::Value;
use crate::value::dict::Dict;
use crate::value::lookup::Items;
use crate::value::text::Text;

#[derive(Debug)]
pub(crate) enum Object {
    Namespace(Dict),
    Loop(LoopState),
    Cycler { items: Vec<Value>, next: usize },
    Joiner { separator: Text, used: bool },
    Generator { items: Items, next: usize },
}

/// `loop`
#[derive(Debug)]
pub(crate) struct LoopState {
    pub(crate) items: Items,
    /// The present turn, from 0.
    pub(crate) index: usize,
    /// How deep a recursive loop is in itself, from 0.
    pub(crate) depth: usize,
    /// What `changed` was called with last.
    pub(crate) last_changed: Option<Vec<Value>>,
    /// The loop itself and where it stands, if it is recursive.
    pub(crate) recursive: Option<(Arc<For>, Weak<Scope>)>,
}

impl Object {
    pub(crate) fn attribute(&self, name: &str, budget: &Budget) -> Result<Option<Value>> {
        match self {
            Object::Namespace(attributes) => Ok(attributes.get_str(name, budget)?.cloned()),
            Object::Loop(state) => Ok(state.attribute(name)),
            Object::Cycler { items, next } if name == "current" => Ok(items.get(*next).cloned()),
            _ => Ok(None),
        }
    }
}

impl LoopState {
    fn attribute(&self, name: &str) -> Option<Value> {
        let length = self.items.len();
        let number = |number: usize| Some(Value::Int(number as i128));
        match name {
            "index" => number(self.index + 1),
            "index0" => number(self.index),
            "revindex" => number(length.saturating_sub(self.index)),
            "revindex0" => number(length.saturating_sub(self.index + 1)),
            "first" => Some(Value::Bool(self.index == 0)),
            "last" => Some(Value::Bool(self.index + 1 >= length)),
            "length" => number(length),
            "depth" => number(self.depth + 1),
            "depth0" => number(self.depth),
            "previtem" => Some(match self.index.checked_sub(1).and_then(|index| self.items.get(index)) {
                Some(item) => item,
                None => Value::undefined("there is no previous item"),
            }),
            "nextitem" => {
                Some(self.items.get(self.index + 1).unwrap_or_else(|| Value::undefined("there is no next item")))
            }
            _ => None,
        }
    }
}
