//! The functions that a model may call.

use serde_json::Value;

/// A function that may be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// What it is called by. Any text: readers and grammars escape what their notation needs escaped.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// The JSON schema of its arguments, an object; `{}` if it has none.
    pub parameters: Value,
    /// Whether its arguments must follow the schema to the letter.
    pub strict: bool,
}

/// Which functions may or must be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// Any, or none.
    Auto,
    /// One at least.
    Required,
    /// This one.
    Named(&'a str),
}

impl Choice<'_> {
    /// Whether a function may be called by this choice.
    pub(crate) fn allows(&self, name: &str) -> bool {
        match self {
            Choice::Named(only) => *only == name,
            Choice::Auto | Choice::Required => true,
        }
    }
}
