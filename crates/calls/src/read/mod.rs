//! An answer as it is written, told apart into thoughts, text and calls.
//!
//! All machines here take one character at a time and look at nothing else, so how an answer was cut makes no difference. What may become a call is
//! held back until the function's name is known, and is text if it becomes none.

mod channels;
mod envelope;
mod gemma;
mod json;
mod json_calls;
mod literal;
mod machine;
mod markers;
mod named_calls;
mod names;
mod pythonic;
mod sink;
mod tagged;

use std::sync::Arc;

use crate::forms::Form;
use crate::{Function, Reasoning, Style};
use channels::Channels;
use machine::Machine;
use markers::Markers;
use sink::Sink;

/// One step of an answer as it is read. Two of a kind in a row go on each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// More of the thoughts.
    Reasoning(String),
    /// More of the text.
    Text(String),
    /// A call begins. It is the one that is open until its end.
    Call {
        /// Its number, from 0.
        index: usize,
        /// The function, one of those that are known if any are.
        name: String,
    },
    /// More of the open call's arguments, which are JSON text.
    Arguments {
        /// The call's number.
        index: usize,
        /// What comes next of them.
        text: String,
    },
    /// A call is over. If the answer was cut, its arguments may be cut too.
    End {
        /// The call's number.
        index: usize,
    },
}

/// How an answer is to be read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// How calls are written; `None` if there are none.
    pub style: Option<Style>,
    /// What thoughts stand between; `None` if there are none.
    pub reasoning: Option<Reasoning>,
    /// Whether the answer begins inside of thoughts.
    pub starts_inside: bool,
    /// The functions that may be called; what calls another one is text. If there are none, any name may be called.
    pub functions: Arc<[Function]>,
}

/// Reads an answer. Control tokens are to be spelled as text, but for the one that ends the answer.
#[derive(Debug)]
pub struct Reader {
    sink: Sink,
    style: Option<Style>,
    state: State,
    /// Markers in text, and what begins behind each.
    markers: Markers,
    begins: Vec<Begin>,
    thought_markers: Markers,
    /// What was read since a call began to be possible, or since the last one of several.
    raw: String,
    /// How many calls there were when `raw` began with a marker.
    calls_before: usize,
}

#[derive(Debug)]
enum State {
    Text,
    Reasoning,
    Call(Box<Machine>),
    /// The whole answer is messages in channels.
    Channels(Channels),
}

/// What begins behind a marker.
#[derive(Clone, Copy, Debug)]
enum Begin {
    Thought,
    Call(Style, Form),
    /// The marker frames the answer and says nothing.
    Nothing,
}

/// What a machine says of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It was taken.
    More,
    /// It was taken, and all that was read so far is whole: none of it will be text.
    Whole,
    /// It was taken, and no more calls come.
    Done,
    /// It is none of the machine's: it is to be read as text, and so is what no call was made of.
    Back,
}

/// What thoughts of Command R begin with.
const COMMAND_R_THINKS: &str = "<|START_THINKING|>";

impl Reader {
    /// A reader at the beginning of an answer.
    pub fn new(reading: Reading) -> Self {
        let Reading { style, reasoning, starts_inside, functions } = reading;
        let mut markers: Vec<(&str, Begin)> = Vec::new();
        if let Some(reasoning) = &reasoning {
            markers.push((&reasoning.start, Begin::Thought));
        }
        if let Some(style) = style {
            markers.extend(style.openers().into_iter().map(|(marker, form)| (marker, Begin::Call(style, form))));
        }
        // Command R frames its text if it may think, also where it has no tools.
        let is_framed =
            style.is_none() && reasoning.as_ref().is_some_and(|reasoning| reasoning.start == COMMAND_R_THINKS);
        let frames = style.or(is_framed.then_some(Style::CommandR)).map(Style::frames).unwrap_or_default();
        markers.extend(frames.iter().map(|marker| (*marker, Begin::Nothing)));
        let thought_markers = reasoning.iter().flat_map(|reasoning| [&reasoning.end, &reasoning.start]);
        let is_inside = starts_inside && reasoning.is_some();
        let has_channels = reasoning.as_ref().is_some_and(|reasoning| reasoning.start.starts_with("<|channel|>"));
        let state = match style {
            Some(Style::Harmony) => State::Channels(Channels::new(is_inside)),
            None if has_channels => State::Channels(Channels::new(is_inside)),
            _ if is_inside => State::Reasoning,
            _ => State::Text,
        };
        Reader {
            sink: Sink::new(functions, !markers.is_empty() || style.is_some()),
            style,
            state,
            begins: markers.iter().map(|(_, begin)| *begin).collect(),
            markers: Markers::new(markers.into_iter().map(|(marker, _)| marker)),
            thought_markers: Markers::new(thought_markers),
            raw: String::new(),
            calls_before: 0,
        }
    }

    /// Reads on, and puts out what is known by now.
    pub fn push(&mut self, text: &str, pieces: &mut Vec<Piece>) {
        for c in text.chars() {
            self.step(c);
        }
        pieces.append(&mut self.sink.pieces);
    }

    /// Whether what comes next is a thought, unless it is the marker of their end.
    pub fn is_thinking(&self) -> bool {
        match &self.state {
            State::Reasoning => true,
            State::Channels(channels) => channels.is_thinking(),
            State::Text | State::Call(_) => false,
        }
    }

    /// The answer is over: puts out what was held back.
    pub fn finish(&mut self, pieces: &mut Vec<Piece>) {
        let held = self.markers.take();
        held.chars().for_each(|c| self.sink.text(c));
        let held = self.thought_markers.take();
        held.chars().for_each(|c| self.sink.reasoning(c));
        if let State::Channels(channels) = &mut self.state {
            channels.finish(&mut self.sink);
        }
        self.give_back();
        self.sink.finish();
        self.state = State::Text;
        pieces.append(&mut self.sink.pieces);
    }

    fn step(&mut self, c: char) {
        match &mut self.state {
            State::Text => self.step_text(c),
            State::Channels(channels) => channels.step(c, &mut self.sink),
            State::Reasoning => {
                let sink = &mut self.sink;
                match self.thought_markers.step(c, |c| sink.reasoning(c)) {
                    Some(0) => {
                        sink.end_thought();
                        self.state = State::Text;
                    }
                    // Some models open thoughts that the prompt has opened.
                    Some(_) if sink.in_thought() => {
                        let again = self.thought_markers.marker(1).to_owned();
                        again.chars().for_each(|c| sink.reasoning(c));
                    }
                    _ => {}
                }
            }
            State::Call(machine) => {
                let calls = self.sink.calls();
                let was_open = self.sink.is_open();
                match machine.step(c, &mut self.sink) {
                    Step::More if was_open || self.sink.is_open() || self.sink.calls() > calls => self.raw.clear(),
                    Step::More => self.raw.push(c),
                    Step::Whole => self.raw.clear(),
                    Step::Done => {
                        // Markers without a call between them are text.
                        if self.sink.calls() == self.calls_before {
                            self.raw.push(c);
                            self.give_back();
                        }
                        self.raw.clear();
                        self.state = State::Text;
                    }
                    Step::Back => {
                        if self.sink.is_open() {
                            self.sink.end_call();
                        }
                        self.give_back();
                        self.state = State::Text;
                        self.step_text(c);
                    }
                }
            }
        }
    }

    fn step_text(&mut self, c: char) {
        if !self.markers.is_holding()
            && self.sink.is_at_beginning()
            && let Some(style) = self.style.filter(|style| style.bare() == Some(c))
            && let Some(machine) = Machine::new(style, style.form(), "")
        {
            self.state = State::Call(Box::new(machine));
            self.calls_before = self.sink.calls();
            return self.step(c);
        }
        let sink = &mut self.sink;
        let Some(found) = self.markers.step(c, |c| sink.text(c)) else { return };
        match self.begins.get(found) {
            Some(Begin::Thought) => self.state = State::Reasoning,
            Some(Begin::Call(style, form)) => {
                self.raw = self.markers.marker(found).to_owned();
                self.calls_before = self.sink.calls();
                if let Some(machine) = Machine::new(*style, *form, &self.raw) {
                    self.state = State::Call(Box::new(machine));
                }
            }
            Some(Begin::Nothing) | None => {}
        }
    }

    /// What no call was made of is text.
    fn give_back(&mut self) {
        let raw = std::mem::take(&mut self.raw);
        raw.chars().for_each(|c| self.sink.text(c));
    }
}
