//! Values that ask for nothing.

use std::fmt;

use serde_json::Value;

/// A value that asks for nothing, which is what this server does anyway. `null` always is one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Nothing {
    False,
    True,
    Number(f64),
    AtMost(f64),
    AtLeast(f64),
    EmptyText,
    EmptyList,
    EmptyObject,
    Word(&'static str),
    /// A list with no other word in it.
    OnlyWord(&'static str),
    /// An object with this `type`.
    TypeIs(&'static str),
}

impl Nothing {
    pub(super) fn is(self, value: &Value) -> bool {
        match self {
            Self::False => value == &Value::Bool(false),
            Self::True => value == &Value::Bool(true),
            Self::Number(number) => value.as_f64() == Some(number),
            Self::AtMost(most) => value.as_f64().is_some_and(|number| number <= most),
            Self::AtLeast(least) => value.as_f64().is_some_and(|number| number >= least),
            Self::EmptyText => value == "",
            Self::EmptyList => value.as_array().is_some_and(Vec::is_empty),
            Self::EmptyObject => value.as_object().is_some_and(serde_json::Map::is_empty),
            Self::Word(word) => value == word,
            Self::OnlyWord(word) => value.as_array().is_some_and(|list| list.iter().all(|item| item == word)),
            Self::TypeIs(word) => value.get("type").is_some_and(|kind| kind == word),
        }
    }
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::False => f.write_str("false"),
            Self::True => f.write_str("true"),
            Self::Number(number) => write!(f, "{number}"),
            Self::AtMost(most) => write!(f, "{most} or less"),
            Self::AtLeast(least) => write!(f, "{least} or more"),
            Self::EmptyText => f.write_str("an empty string"),
            Self::EmptyList => f.write_str("an empty list"),
            Self::EmptyObject => f.write_str("an empty object"),
            Self::Word(word) => write!(f, "'{word}'"),
            Self::OnlyWord(word) => write!(f, "['{word}']"),
            Self::TypeIs(word) => write!(f, "an object of type '{word}'"),
        }
    }
}
