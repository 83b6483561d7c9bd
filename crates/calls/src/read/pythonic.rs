//! Calls in Python: a list of them, `[f(a=1, b="x"), g()]`, or one in each line.

use serde_json::json;

use super::Step;
use super::json::At;
use super::literal::{Literal, Notation};
use super::markers::Markers;
use super::names::{Found, Name};
use super::sink::Sink;
use crate::forms::Python;

#[derive(Debug)]
pub(super) struct Pythonic {
    state: State,
    form: &'static Python,
    /// Whether a bracket is open, also where lines are usual.
    in_list: bool,
    /// How many arguments the open call has so far.
    arguments: usize,
}

#[derive(Debug)]
enum State {
    /// Before all calls.
    Begin,
    Name(Name),
    /// Before an argument, or the end of them.
    Argument,
    Key(Name),
    Value(Literal),
    /// Behind an argument.
    Next,
    /// Behind a call.
    Between,
    /// Behind all calls.
    Behind(Markers),
}

impl Pythonic {
    pub(super) fn new(form: &'static Python) -> Self {
        Pythonic { state: State::Begin, form, in_list: false, arguments: 0 }
    }

    pub(super) fn step(&mut self, c: char, sink: &mut Sink) -> Step {
        match &mut self.state {
            State::Begin | State::Argument | State::Next | State::Between if c.is_whitespace() => {}
            // A name may begin like a list.
            State::Begin if c == '[' && !(self.form.in_lines && sink.begins("[")) => {
                self.in_list = true;
                self.state = State::Name(Name::new(&["("]));
            }
            State::Begin if self.form.in_lines => return self.line(c, sink),
            State::Name(name) => match name.function(c, sink, str::trim_start) {
                Found::Name(name, _) => {
                    sink.call(name);
                    self.arguments = 0;
                    self.state = State::Argument;
                }
                Found::More if name.may_be_function(sink) => {}
                _ => return Step::Back,
            },
            State::Argument if c == ')' => self.end(sink),
            State::Argument => {
                self.state = State::Key(Name::new(&["="]));
                return self.step(c, sink);
            }
            State::Key(name) => match name.any(c) {
                Found::Name(key, _) => {
                    sink.arguments(if self.arguments == 0 { "{" } else { ", " });
                    sink.arguments(&format!("{}: ", json!(key.trim())));
                    self.arguments += 1;
                    self.state = State::Value(Literal::new(Notation::Python));
                }
                Found::More if !matches!(c, ')' | ',') => {}
                _ => return self.broken(sink),
            },
            State::Value(literal) => {
                let mut text = String::new();
                let at = literal.step(c, &mut text);
                sink.arguments(&text);
                match at {
                    Ok(At::Inside) => {}
                    Ok(At::End) => self.state = State::Next,
                    Ok(At::Behind) => {
                        self.state = State::Next;
                        return self.step(c, sink);
                    }
                    Err(_) => return Step::Back,
                }
            }
            State::Next if c == ',' => self.state = State::Argument,
            State::Next if c == ')' => self.end(sink),
            State::Next => return self.broken(sink),
            State::Between => return self.between(c, sink),
            State::Behind(markers) if c.is_whitespace() && !markers.is_holding() => {}
            State::Behind(markers) => match markers.only(c) {
                Err(()) => return Step::Back,
                Ok(Some(_)) => return Step::Done,
                Ok(None) => {}
            },
            State::Begin => return Step::Back,
        }
        Step::More
    }

    /// What stands behind a call is another one, or the end of all.
    fn between(&mut self, c: char, sink: &mut Sink) -> Step {
        if !self.in_list {
            self.state = State::Behind(Markers::new([self.form.close]));
            return match self.step(c, sink) {
                Step::Back => self.line(c, sink),
                step => step,
            };
        }
        match c {
            ',' => self.state = State::Name(Name::new(&["("])),
            ']' if self.form.close.is_empty() => return Step::Done,
            ']' => {
                self.state = State::Behind(Markers::new([self.form.close]));
                return Step::Whole;
            }
            _ => return Step::Back,
        }
        Step::More
    }

    /// The first character of a call in a line.
    fn line(&mut self, c: char, sink: &mut Sink) -> Step {
        self.state = State::Name(Name::new(&["("]));
        self.step(c, sink)
    }

    /// The bracket behind the arguments.
    fn end(&mut self, sink: &mut Sink) {
        sink.arguments(if self.arguments == 0 { "{}" } else { "}" });
        sink.end_call();
        self.state = State::Between;
    }

    /// Between arguments stands what is none.
    fn broken(&self, sink: &mut Sink) -> Step {
        sink.arguments(if self.arguments == 0 { "{}" } else { "}" });
        Step::Back
    }
}
