//! Where the pieces of an answer come together.

use std::sync::Arc;

use serde_json::Value;

use super::Piece;
use crate::Function;

/// What the last piece was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Nothing,
    Reasoning,
    Call,
    Text,
}

/// Joins characters to pieces, numbers calls, and leaves out the white space that frames thoughts and calls.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) pieces: Vec<Piece>,
    functions: Arc<[Function]>,
    after: After,
    /// Whether anything but text may come, so that white space around it belongs to its markup.
    is_framed: bool,
    /// White space that is text if more text follows, or nothing after text.
    space: String,
    /// White space that is a thought if more thought follows.
    thought_space: String,
    in_thought: bool,
    /// How many calls have begun.
    calls: usize,
    is_open: bool,
    has_arguments: bool,
}

impl Sink {
    /// If nothing frames the text, all of it is text, white space too.
    pub(super) fn new(functions: Arc<[Function]>, is_framed: bool) -> Self {
        Sink {
            pieces: Vec::new(),
            functions,
            after: if is_framed { After::Nothing } else { After::Text },
            is_framed,
            space: String::new(),
            thought_space: String::new(),
            in_thought: false,
            calls: 0,
            is_open: false,
            has_arguments: false,
        }
    }

    /// Whether no text has come yet, or none since the last call or thought.
    pub(super) fn is_at_beginning(&self) -> bool {
        self.after != After::Text
    }

    /// How many calls have begun.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Whether a call has begun and not ended.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether a function may have this name.
    pub(super) fn knows(&self, name: &str) -> bool {
        !name.is_empty() && (self.knows_all() || self.place(name).is_some())
    }

    /// Whether any name may be called.
    pub(super) fn knows_all(&self) -> bool {
        self.functions.is_empty()
    }

    /// Whether the name of a function that is known begins like this.
    pub(super) fn begins(&self, name: &str) -> bool {
        self.functions.iter().any(|function| function.name.starts_with(name))
    }

    /// The place of a function among those that are known.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.functions.iter().position(|function| function.name == name)
    }

    /// The schema of a function's arguments, by its place.
    pub(super) fn parameters(&self, place: usize) -> &Value {
        self.functions.get(place).map_or(&Value::Null, |function| &function.parameters)
    }

    pub(super) fn text(&mut self, c: char) {
        if self.is_framed && c.is_whitespace() {
            self.space.push(c);
            return;
        }
        let space = std::mem::take(&mut self.space);
        if self.after != After::Reasoning {
            space.chars().for_each(|c| self.put_text(c));
        }
        self.after = After::Text;
        self.put_text(c);
    }

    fn put_text(&mut self, c: char) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.pieces.push(Piece::Text(c.into())),
        }
    }

    pub(super) fn reasoning(&mut self, c: char) {
        if c.is_whitespace() {
            self.thought_space.push(c);
            return;
        }
        let space = std::mem::take(&mut self.thought_space);
        self.space.clear();
        self.after = After::Reasoning;
        if !matches!(self.pieces.last(), Some(Piece::Reasoning(_))) {
            self.pieces.push(Piece::Reasoning(String::new()));
        }
        if let Some(Piece::Reasoning(text)) = self.pieces.last_mut() {
            if self.in_thought {
                text.push_str(&space);
            }
            text.push(c);
        }
        self.in_thought = true;
    }

    /// Whether something of this thought has been put out.
    pub(super) fn in_thought(&self) -> bool {
        self.in_thought
    }

    /// A thought is over; so is the text before it.
    pub(super) fn end_thought(&mut self) {
        self.thought_space.clear();
        self.in_thought = false;
        self.space.clear();
        self.after = After::Reasoning;
    }

    /// A call begins, of a function that may be called.
    pub(super) fn call(&mut self, name: String) {
        self.space.clear();
        self.after = After::Call;
        self.pieces.push(Piece::Call { index: self.calls, name });
        self.calls += 1;
        self.is_open = true;
        self.has_arguments = false;
    }

    /// More of the arguments of the call that is open.
    pub(super) fn arguments(&mut self, more: &str) {
        let index = self.calls.saturating_sub(1);
        self.has_arguments |= !more.is_empty();
        match self.pieces.last_mut() {
            _ if more.is_empty() => {}
            Some(Piece::Arguments { text, .. }) => text.push_str(more),
            _ => self.pieces.push(Piece::Arguments { index, text: more.to_owned() }),
        }
    }

    pub(super) fn argument(&mut self, c: char) {
        self.arguments(c.encode_utf8(&mut [0; 4]));
    }

    /// The call that is open ends; one without arguments has none of them.
    pub(super) fn end_call(&mut self) {
        if !self.has_arguments {
            self.arguments("{}");
        }
        self.pieces.push(Piece::End { index: self.calls.saturating_sub(1) });
        self.is_open = false;
    }

    /// The answer is over: white space alone, or behind text, is a part of it, behind calls and thoughts it is none.
    pub(super) fn finish(&mut self) {
        if matches!(self.after, After::Nothing | After::Text) {
            let space = std::mem::take(&mut self.space);
            space.chars().for_each(|c| self.put_text(c));
        }
        // Whether it had more arguments to come, who has read the answer's end knows.
        if std::mem::take(&mut self.is_open) {
            self.pieces.push(Piece::End { index: self.calls.saturating_sub(1) });
        }
    }
}
