//! Harmony, the notation of gpt-oss: an answer is several messages, each with a channel and perhaps a recipient.
//!
//! `<|channel|>analysis<|message|>…<|end|>` is thoughts, `<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>…<|call|>` a call, and
//! `<|channel|>final<|message|>…` text. Further messages begin with `<|start|>assistant`.

use super::json::{At, Scan};
use super::markers::Markers;
use super::sink::Sink;
use crate::forms::CHANNEL_MARKERS;

const START: &str = "<|start|>";
const MESSAGE: &str = "<|message|>";
const RECIPIENT: &str = "to=functions.";

/// The longest head of a message, in bytes. What is longer is text.
const LONGEST: usize = 2048;

/// How much is held back at the beginning of an answer, in bytes, until it is a recipient.
const LONGEST_START: usize = 32;

#[derive(Debug)]
pub(super) struct Channels {
    state: State,
    markers: Markers,
    /// The head of the message, with its markers.
    head: String,
}

#[derive(Debug)]
enum State {
    /// At the beginning of an answer, where the recipient may stand: the prompt ends with the marker of a message.
    Start,
    /// Outside of messages: nothing stands here, and what does is text.
    Outside,
    Head,
    Reasoning,
    Text,
    /// Before the arguments of a call, in them, and behind them.
    Before,
    Arguments(Scan),
    Behind,
}

impl Channels {
    pub(super) fn new(starts_inside: bool) -> Self {
        let state = if starts_inside { State::Reasoning } else { State::Start };
        Channels { state, markers: Markers::new(CHANNEL_MARKERS), head: String::new() }
    }

    pub(super) fn is_thinking(&self) -> bool {
        matches!(self.state, State::Reasoning)
    }

    pub(super) fn step(&mut self, c: char, sink: &mut Sink) {
        let (state, head) = (&mut self.state, &mut self.head);
        let found = self.markers.step(c, |c| put(state, head, c, sink));
        let Some(found) = found else {
            if self.head.len() > LONGEST {
                self.give_back(sink);
            }
            return;
        };
        let marker = self.markers.marker(found).to_owned();
        match self.state {
            State::Head if marker == MESSAGE => self.message(sink),
            State::Head if marker != "<|end|>" => self.head.push_str(&marker),
            _ => {
                self.end(sink);
                let begins = marker == START || marker == "<|channel|>";
                self.state = if begins { State::Head } else { State::Outside };
                if begins {
                    self.head.push_str(&marker);
                }
            }
        }
    }

    pub(super) fn finish(&mut self, sink: &mut Sink) {
        let held = self.markers.take();
        held.chars().for_each(|c| put(&mut self.state, &mut self.head, c, sink));
        self.end(sink);
    }

    /// The head is whole: what it says of the message.
    fn message(&mut self, sink: &mut Sink) {
        let head = std::mem::take(&mut self.head);
        let channel = head.split("<|channel|>").nth(1).unwrap_or_default().trim_start();
        let recipient = head.split_once(RECIPIENT).map(|(_, from)| from);
        self.state = match recipient.and_then(|from| named(from, sink)) {
            Some(name) => {
                sink.call(name);
                State::Before
            }
            None if channel.starts_with("analysis") => State::Reasoning,
            None if recipient.is_some() => {
                // A call of a function that is not there.
                head.chars().chain(MESSAGE.chars()).for_each(|c| sink.text(c));
                State::Text
            }
            None => State::Text,
        };
    }

    /// The message is over.
    fn end(&mut self, sink: &mut Sink) {
        match self.state {
            State::Reasoning => sink.end_thought(),
            State::Start => std::mem::take(&mut self.head).chars().for_each(|c| sink.text(c)),
            State::Before | State::Arguments(_) | State::Behind => sink.end_call(),
            State::Outside | State::Head | State::Text => {}
        }
        self.head.clear();
        self.state = State::Outside;
    }

    fn give_back(&mut self, sink: &mut Sink) {
        let head = std::mem::take(&mut self.head);
        head.chars().for_each(|c| sink.text(c));
        self.state = State::Text;
    }
}

/// A character that is in no marker.
fn put(state: &mut State, head: &mut String, c: char, sink: &mut Sink) {
    match state {
        State::Start => {
            head.push(c);
            let read = head.trim_start();
            if read.starts_with(RECIPIENT) {
                *state = State::Head;
            } else if !RECIPIENT.starts_with(read) || head.len() > LONGEST_START {
                std::mem::take(head).chars().for_each(|c| sink.text(c));
                *state = State::Outside;
            }
        }
        State::Outside | State::Text => sink.text(c),
        State::Head => head.push(c),
        State::Reasoning => sink.reasoning(c),
        State::Before if c.is_whitespace() => {}
        State::Before => {
            *state = State::Arguments(Scan::default());
            put(state, head, c, sink);
        }
        State::Arguments(scan) => match scan.step(c) {
            At::Inside => sink.argument(c),
            At::End => {
                sink.argument(c);
                *state = State::Behind;
            }
            At::Behind => *state = State::Behind,
        },
        State::Behind => {}
    }
}

/// The function's name at the beginning of what stands behind `to=functions.`, up to a space or a marker; of several that are known the longest.
fn named(from: &str, sink: &Sink) -> Option<String> {
    let is_end = |c: char| c.is_whitespace() || c == '<';
    let ends = from.char_indices().filter(|(_, c)| is_end(*c)).map(|(at, _)| at).chain([from.len()]);
    let mut names = ends.map(|end| &from[..end]).filter(|name| sink.knows(name));
    let name = if sink.knows_all() { names.next() } else { names.next_back() };
    name.map(str::to_owned)
}
