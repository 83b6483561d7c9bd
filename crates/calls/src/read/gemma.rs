//! Calls as `call:NAME{key:value}` between markers.

use super::Step;
use super::json::At;
use super::literal::{Literal, Notation};
use super::markers::Markers;
use super::names::{Found, Name};
use super::sink::Sink;
use crate::forms;

#[derive(Debug)]
pub(super) struct Gemma {
    form: forms::Gemma,
    state: State,
}

#[derive(Debug)]
enum State {
    Begin(Markers),
    Name(Name),
    Arguments(Literal),
    Behind(Markers),
}

impl Gemma {
    pub(super) fn new(form: &forms::Gemma) -> Self {
        Gemma { form: *form, state: State::Begin(Markers::new(["call:"])) }
    }

    pub(super) fn step(&mut self, c: char, sink: &mut Sink) -> Step {
        match &mut self.state {
            State::Begin(markers) | State::Behind(markers) if c.is_whitespace() && !markers.is_holding() => {}
            State::Begin(markers) => match markers.only(c) {
                Err(()) => return Step::Back,
                Ok(Some(_)) => self.state = State::Name(Name::new(&["{"])),
                Ok(None) => {}
            },
            State::Name(name) => match name.function(c, sink, |name| name) {
                Found::Name(name, _) => {
                    sink.call(name);
                    sink.argument('{');
                    self.state = State::Arguments(Literal::inside_of_object(Notation::Gemma(self.form.quote)));
                }
                Found::More => {}
                Found::None => return Step::Back,
            },
            State::Arguments(literal) => {
                let mut text = String::new();
                let at = literal.step(c, &mut text);
                sink.arguments(&text);
                match at {
                    Ok(At::Inside) => {}
                    Ok(_) => {
                        sink.end_call();
                        self.state = State::Behind(Markers::new([self.form.close]));
                    }
                    Err(_) => return Step::Back,
                }
            }
            State::Behind(markers) => match markers.only(c) {
                Err(()) => return Step::Back,
                Ok(Some(_)) => return Step::Done,
                Ok(None) => {}
            },
        }
        Step::More
    }
}
