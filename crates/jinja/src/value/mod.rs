//! What a template computes with: Python's values, as far as templates meet them.
//!
//! Lists and dictionaries never change once they are made (Hugging Face renders in Jinja's immutable sandbox), so they
//! cannot contain themselves, and each knows how deep it is nested. What does change (namespaces, loops, cyclers) lives in
//! the [`Interpreter`](crate::eval::Interpreter) and is named by an [`ObjectId`]: no cycle of reference counts is possible.

pub(crate) mod compare;
pub(crate) mod dict;
pub(crate) mod json;
pub(crate) mod lookup;
pub(crate) mod number;
pub(crate) mod print;
pub(crate) mod text;

use std::rc::Rc;
use std::sync::Arc;

use self::dict::Dict;
use self::text::{Origin, Text};
use crate::budget::{Budget, MAX_VALUE_DEPTH};
use crate::error::{Error, Result, shown};
use crate::eval::macros::MacroValue;
use crate::globals::Builtin;
use crate::syntax::ast::Const;

/// Which of the things that change.
pub(crate) type ObjectId = usize;

/// A value. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing, and why.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Text),
    Seq(Rc<Seq>),
    Dict(Rc<Dict>),
    Range(Rc<Range>),
    /// A thing that changes.
    Object(ObjectId, ObjectKind),
    Macro(Rc<MacroValue>),
    Builtin(Builtin),
    /// A method and the value that it is of.
    Method(Rc<Method>),
    /// `self` in a template with blocks, and the block that was taken from it.
    Blocks(Option<Arc<str>>),
}

#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) receiver: Value,
    pub(crate) name: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Namespace,
    Loop,
    Cycler,
    Joiner,
    /// What can be iterated over once, as `map` and `select` give it.
    Generator,
}

/// Which sequence of Python's it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeqKind {
    List,
    Tuple,
    /// What `groupby` gives: a tuple with names.
    Group,
    Keys,
    Values,
    Items,
}

/// A list, a tuple, or a view of a dictionary.
#[derive(Debug)]
pub(crate) struct Seq {
    pub(crate) kind: SeqKind,
    pub(crate) items: Vec<Value>,
    depth: usize,
}

/// `range(start, stop, step)`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: i128,
    pub(crate) stop: i128,
    pub(crate) step: i128,
}

impl Range {
    pub(crate) fn len(&self) -> usize {
        let span = if self.step > 0 { self.stop - self.start } else { self.start - self.stop };
        if span <= 0 { 0 } else { usize::try_from((span - 1) / self.step.abs() + 1).unwrap_or(usize::MAX) }
    }

    pub(crate) fn get(&self, index: usize) -> Value {
        Value::Int(self.start + self.step * index as i128)
    }
}

impl Seq {
    /// A sequence of values; the vector itself must have been charged.
    ///
    /// # Errors
    /// If it becomes too deep.
    pub(crate) fn of(kind: SeqKind, items: Vec<Value>) -> Result<Value> {
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
        if depth > MAX_VALUE_DEPTH {
            return Err(Error::too_deep("values", MAX_VALUE_DEPTH));
        }
        Ok(Value::Seq(Rc::new(Seq { kind, items, depth })))
    }

    pub(crate) fn list(items: Vec<Value>) -> Result<Value> {
        Seq::of(SeqKind::List, items)
    }

    /// A small tuple, charged here.
    pub(crate) fn tuple(items: Vec<Value>, budget: &Budget) -> Result<Value> {
        budget.make_many(items.len() + 1, size_of::<Value>())?;
        Seq::of(SeqKind::Tuple, items)
    }

    pub(crate) fn is_tuple(&self) -> bool {
        matches!(self.kind, SeqKind::Tuple | SeqKind::Group)
    }

    /// Whether it is a list or a tuple, which have an order and indices.
    pub(crate) fn is_indexed(&self) -> bool {
        matches!(self.kind, SeqKind::List | SeqKind::Tuple | SeqKind::Group)
    }
}

impl Value {
    pub(crate) fn undefined(why: impl Into<Rc<str>>) -> Value {
        Value::Undefined(why.into())
    }

    /// A text of the template's own, not charged.
    pub(crate) fn own(text: impl Into<String>) -> Value {
        Value::Text(Text::own(text))
    }

    /// A text that was made outside of the budget, charged now.
    pub(crate) fn made(text: String, origin: Origin, budget: &Budget) -> Result<Value> {
        budget.make(text.len())?;
        Ok(Value::Text(Text::new(text, origin)))
    }

    /// How deep the values within are nested.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Value::Seq(seq) => seq.depth,
            Value::Dict(dict) => dict.depth(),
            Value::Method(method) => 1 + method.receiver.depth(),
            _ => 0,
        }
    }

    /// Python's name of its type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(text) if text.is_markup() => "Markup",
            Value::Text(_) => "str",
            Value::Seq(seq) => match seq.kind {
                SeqKind::List => "list",
                SeqKind::Tuple => "tuple",
                SeqKind::Group => "_GroupTuple",
                SeqKind::Keys => "dict_keys",
                SeqKind::Values => "dict_values",
                SeqKind::Items => "dict_items",
            },
            Value::Dict(_) => "dict",
            Value::Range(_) => "range",
            Value::Object(_, kind) => match kind {
                ObjectKind::Namespace => "Namespace",
                ObjectKind::Loop => "LoopContext",
                ObjectKind::Cycler => "Cycler",
                ObjectKind::Joiner => "Joiner",
                ObjectKind::Generator => "generator",
            },
            Value::Macro(_) => "Macro",
            Value::Builtin(_) => "function",
            Value::Method(_) => "builtin_function_or_method",
            Value::Blocks(None) => "TemplateReference",
            Value::Blocks(Some(_)) => "BlockReference",
        }
    }

    /// How Jinja speaks of it in messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Value::None => "None".to_owned(),
            other => format!("{} object", other.type_name()),
        }
    }

    /// The error of whoever needs a value and gets nothing.
    pub(crate) fn defined(&self) -> Result<()> {
        match self {
            Value::Undefined(why) => Err(Error::failed(&**why)),
            _ => Ok(()),
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Whole numbers, also `True` and `False`.
    pub(crate) fn as_int(&self) -> Option<i128> {
        match self {
            Value::Int(i) => Some(*i),
            Value::Bool(b) => Some(i128::from(*b)),
            _ => None,
        }
    }

    /// A whole number as an argument.
    pub(crate) fn int(&self, what: &str) -> Result<i128> {
        self.defined()?;
        self.as_int().ok_or_else(|| Error::failed(format!("{what} must be an integer, not {}", self.type_name())))
    }

    /// A text as an argument.
    pub(crate) fn text(&self, what: &str) -> Result<&Text> {
        self.defined()?;
        match self {
            Value::Text(text) => Ok(text),
            other => Err(Error::failed(format!("{what} must be str, not {}", other.type_name()))),
        }
    }
}

impl From<&Const> for Value {
    fn from(constant: &Const) -> Value {
        match constant {
            Const::None => Value::None,
            Const::Bool(b) => Value::Bool(*b),
            Const::Int(i) => Value::Int(*i),
            Const::Float(f) => Value::Float(*f),
            Const::Text(text) => Value::Text(text.clone()),
        }
    }
}

/// The error of an attribute or item that is not there, as a value.
pub(crate) fn missing(of: &Value, name: &Value) -> Value {
    Value::undefined(match name {
        Value::Text(name) => format!("'{}' has no attribute '{}'", of.describe(), shown(name.as_str())),
        Value::Int(index) => format!("{} has no element {index}", of.describe()),
        other => format!("{} has no element of type {}", of.describe(), other.type_name()),
    })
}
