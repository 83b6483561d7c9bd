//! An answer's text in pieces: thoughts, text, and calls of functions.

use std::sync::Arc;

use parkade_calls::{Piece, Reader, Reading};
use parkade_core::FinishReason;

use crate::generate::{Collected, bytes_of};

/// How an answer is read.
#[derive(Clone)]
pub(crate) struct Form {
    pub reading: Reading,
    /// Whether thoughts are sent.
    pub shows_thoughts: bool,
    /// Whether what follows the first call is left out.
    pub one_call: bool,
}

impl Form {
    /// Of an answer that is text alone.
    pub fn of_text() -> Self {
        let reading = Reading { style: None, reasoning: None, starts_inside: false, functions: Arc::default() };
        Self { reading, shows_thoughts: true, one_call: false }
    }

    /// About as many bytes as the functions take that calls are held to.
    pub fn bytes(&self) -> usize {
        self.reading.functions.iter().map(|function| bytes_of(&function.parameters)).sum()
    }
}

/// One answer while it is read, token by token.
pub struct Turn {
    /// None if text is all that an answer can be.
    reader: Option<Reader>,
    shows_thoughts: bool,
    one_call: bool,
    found: Vec<Piece>,
    calls: usize,
    /// Of the call that was read last.
    has_arguments: bool,
    /// Whether the answer was cut, so that something may be missing.
    is_cut: bool,
    thought_tokens: usize,
}

impl Turn {
    /// The beginning of an answer.
    pub(crate) fn new(form: &Form) -> Self {
        let Form { reading, shows_thoughts, one_call } = form;
        let is_text_alone = reading.style.is_none() && reading.reasoning.is_none();
        Self {
            reader: (!is_text_alone).then(|| Reader::new(reading.clone())),
            shows_thoughts: *shows_thoughts,
            one_call: *one_call,
            found: Vec::new(),
            calls: 0,
            has_arguments: false,
            is_cut: false,
            thought_tokens: 0,
        }
    }

    /// Reads the text of the next token.
    pub fn token(&mut self, text: &str, pieces: &mut Vec<Piece>) {
        let Some(reader) = &mut self.reader else {
            return pass(text, pieces);
        };
        let was_inside = reader.is_thinking();
        reader.push(text, &mut self.found);
        if was_inside || reader.is_thinking() {
            self.thought_tokens += 1;
        }
        self.take(pieces);
    }

    /// Reads the rest of the text.
    pub fn finish(&mut self, text: &str, reason: FinishReason, pieces: &mut Vec<Piece>) {
        self.is_cut = reason == FinishReason::Length;
        let Some(reader) = &mut self.reader else {
            return pass(text, pieces);
        };
        reader.push(text, &mut self.found);
        reader.finish(&mut self.found);
        self.take(pieces);
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// How many tokens thoughts had, their markers included.
    pub fn thought_tokens(&self) -> usize {
        self.thought_tokens
    }

    fn take(&mut self, pieces: &mut Vec<Piece>) {
        for piece in std::mem::take(&mut self.found) {
            match piece {
                Piece::Reasoning(_) if !self.shows_thoughts => {}
                Piece::Text(_) if self.one_call && self.calls > 0 => {}
                Piece::Call { index, .. } | Piece::Arguments { index, .. } | Piece::End { index }
                    if self.one_call && index > 0 => {}
                Piece::Reasoning(_) | Piece::Text(_) => pieces.push(piece),
                Piece::Call { .. } => {
                    (self.calls, self.has_arguments) = (self.calls + 1, false);
                    pieces.push(piece);
                }
                Piece::Arguments { .. } => {
                    self.has_arguments = true;
                    pieces.push(piece);
                }
                Piece::End { index } => {
                    if !self.has_arguments && !self.is_cut {
                        pieces.push(Piece::Arguments { index, text: "{}".to_owned() });
                    }
                    pieces.push(piece);
                }
            }
        }
    }
}

fn pass(text: &str, pieces: &mut Vec<Piece>) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// A call of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The function's name.
    pub name: String,
    /// JSON, unless the answer was cut in it.
    pub arguments: String,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// What was thought.
    Thoughts(String),
    /// What was said.
    Text(String),
    /// A call of a function.
    Call(Call),
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Its parts in order; no two texts or thoughts stand side by side.
    pub parts: Vec<Part>,
    /// How many tokens thoughts had, their markers included.
    pub thought_tokens: usize,
}

impl Answered {
    /// Reads one answer that was collected to its end.
    pub(crate) fn of(form: &Form, choice: &Collected) -> Self {
        Self::read(form, &choice.text, &choice.token_ends, choice.reason.unwrap_or(FinishReason::Stop))
    }

    /// Reads a text whose tokens end at these places.
    fn read(form: &Form, text: &str, token_ends: &[usize], reason: FinishReason) -> Self {
        let (mut turn, mut pieces, mut from) = (Turn::new(form), Vec::new(), 0);
        for &end in token_ends {
            turn.token(&text[from..end], &mut pieces);
            from = end;
        }
        turn.finish(&text[from..], reason, &mut pieces);
        let mut answered = Answered { parts: Vec::new(), thought_tokens: turn.thought_tokens() };
        pieces.into_iter().for_each(|piece| answered.add(piece));
        answered
    }

    /// Adds what was read next.
    pub fn add(&mut self, piece: Piece) {
        match (piece, self.parts.last_mut()) {
            (Piece::Reasoning(more), Some(Part::Thoughts(text))) | (Piece::Text(more), Some(Part::Text(text))) => {
                *text += &more
            }
            (Piece::Reasoning(text), _) => self.parts.push(Part::Thoughts(text)),
            (Piece::Text(text), _) => self.parts.push(Part::Text(text)),
            (Piece::Call { name, .. }, _) => self.parts.push(Part::Call(Call { name, arguments: String::new() })),
            (Piece::Arguments { text, .. }, Some(Part::Call(call))) => call.arguments += &text,
            (Piece::Arguments { .. } | Piece::End { .. }, _) => {}
        }
    }

    /// All that was said.
    pub fn text(&self) -> String {
        self.parts
            .iter()
            .filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
            .collect()
    }

    /// All that was thought.
    pub fn thoughts(&self) -> String {
        let thoughts = self
            .parts
            .iter()
            .filter_map(|part| if let Part::Thoughts(text) = part { Some(text.as_str()) } else { None });
        thoughts.collect::<Vec<_>>().join("\n")
    }

    /// The calls in order.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.parts.iter().filter_map(|part| if let Part::Call(call) = part { Some(call) } else { None })
    }
}
