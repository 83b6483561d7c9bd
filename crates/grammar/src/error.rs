//! Why something cannot be a grammar.

use std::fmt;

/// Why a format cannot be compiled, and where in it the reason lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrammarError {
    /// What is wrong, and what to do about it.
    pub reason: String,
    /// Where, if it is known.
    pub place: Option<Place>,
    /// Whether it only took too long, which depends on what else the machine does.
    pub is_late: bool,
}

/// A place in a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A JSON pointer into a schema (RFC 6901); empty for the schema itself.
    Pointer(String),
    /// A line of a text, from 1.
    Line(usize),
}

impl GrammarError {
    /// An error that concerns the format as a whole.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        GrammarError { reason: reason.into(), place: None, is_late: false }
    }

    pub(crate) fn at(pointer: &str, reason: impl Into<String>) -> Self {
        GrammarError { reason: reason.into(), place: Some(Place::Pointer(pointer.to_owned())), is_late: false }
    }

    /// What the parser says, as far as it is about the format: what comes behind is about the parser's inside. Places are `LINE(COLUMN): ` there.
    pub(crate) fn said(error: impl fmt::Display) -> Self {
        let text = format!("{error:#}");
        if text.contains("oneOf constraints are not supported") {
            return GrammarError::new("`oneOf` has branches that cannot be told apart; make them `anyOf`");
        }
        if text.starts_with("NoExtensionBias") {
            return GrammarError::new("no text has this format, or none that the model's tokens can write");
        }
        let first = text.lines().next().unwrap_or_default();
        let of_regex = text.lines().find_map(|line| line.strip_prefix("error: "));
        let place = first.trim_start_matches("at ").split_once("): ").and_then(|(place, said)| {
            let (line, column) = place.split_once('(')?;
            Some((line.parse().ok().zip(column.parse::<usize>().ok())?.0, said))
        });
        match place {
            Some((line, said)) => GrammarError::on_line(line, of_regex.unwrap_or(said)),
            None => GrammarError::new(of_regex.unwrap_or(first)),
        }
    }

    /// The same, of one of several schemas: its place is in the list of them.
    pub(crate) fn of_schema(mut self, number: usize) -> Self {
        let inside = match self.place.take() {
            Some(Place::Pointer(pointer)) => pointer,
            _ => String::new(),
        };
        self.place = Some(Place::Pointer(format!("/{number}{inside}")));
        self
    }

    pub(crate) fn on_line(line: usize, reason: impl Into<String>) -> Self {
        GrammarError { reason: reason.into(), place: Some(Place::Line(line)), is_late: false }
    }
}

impl std::error::Error for GrammarError {}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(Place::Pointer(pointer)) if !pointer.is_empty() => write!(f, "at {pointer}: {}", self.reason),
            Some(Place::Line(line)) => write!(f, "line {line}: {}", self.reason),
            _ => f.write_str(&self.reason),
        }
    }
}
