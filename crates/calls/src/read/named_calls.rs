//! Calls as a name and a JSON object, with markers around both.

use super::Step;
use super::json::{At, Scan};
use super::markers::Markers;
use super::names::{Found, Name};
use super::sink::Sink;
use crate::forms::Named;

#[derive(Debug)]
pub(super) struct NamedCalls {
    form: Named,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before a call, or the end of all.
    Begin(Markers),
    Name(Name),
    /// Between the name and the arguments, where an id may stand.
    Before {
        name: String,
        id: Option<Markers>,
    },
    Arguments(Scan),
    /// Behind the arguments.
    Behind(Markers),
}

impl NamedCalls {
    pub(super) fn new(form: &Named) -> Self {
        let mut calls = NamedCalls { form: *form, state: State::Name(Name::new(form.middle)) };
        if !form.open.is_empty() {
            calls.begin();
        }
        calls
    }

    fn begin(&mut self) {
        self.state = State::Begin(Markers::new([self.form.open, self.form.end]));
    }

    pub(super) fn step(&mut self, c: char, sink: &mut Sink) -> Step {
        match &mut self.state {
            State::Begin(markers) | State::Behind(markers) if c.is_whitespace() && !markers.is_holding() => {}
            State::Begin(markers) => match markers.only(c) {
                Err(()) => return Step::Back,
                Ok(Some(found)) if markers.marker(found) == self.form.end => return Step::Done,
                Ok(Some(_)) => self.state = State::Name(Name::new(self.form.middle)),
                Ok(None) => {}
            },
            State::Name(name) => match name.function(c, sink, |text| self.form.name(text)) {
                Found::More => {}
                Found::None => return Step::Back,
                Found::Name(name, end) => return self.named(name, end, sink),
            },
            State::Before { id, .. } if id.is_some() => {
                if id.as_mut().and_then(|markers| markers.step(c, |_| {})).is_some() {
                    *id = None;
                }
            }
            State::Before { name, .. } if c == '{' => {
                let name = std::mem::take(name);
                return self.open(name, sink);
            }
            State::Before { .. } if c.is_whitespace() => {}
            State::Before { .. } => return Step::Back,
            State::Arguments(scan) => {
                sink.argument(c);
                if scan.step(c) == At::End {
                    sink.end_call();
                    if self.form.close.is_empty() {
                        return Step::Done;
                    }
                    self.state = State::Behind(Markers::new([self.form.close, self.form.end, self.form.open]));
                }
            }
            // The fence ends here.
            State::Behind(markers) if c == '`' && !markers.is_holding() => {}
            State::Behind(markers) => match markers.only(c) {
                Err(()) => return Step::Back,
                Ok(Some(found)) if markers.marker(found) == self.form.end => return Step::Done,
                Ok(Some(found)) if markers.marker(found) == self.form.open => {
                    self.state = State::Name(Name::new(self.form.middle));
                }
                Ok(Some(_)) => self.begin(),
                Ok(None) => {}
            },
        }
        Step::More
    }

    /// A name is whole, and so is what stands behind it.
    fn named(&mut self, name: String, end: usize, sink: &mut Sink) -> Step {
        let id = match self.form.middle.get(end).copied() {
            Some("{") => return self.open(name, sink),
            Some("[CALL_ID]") => Some(Markers::new(["[ARGS]"])),
            _ => None,
        };
        self.state = State::Before { name, id };
        Step::More
    }

    /// The brace with which arguments begin.
    fn open(&mut self, name: String, sink: &mut Sink) -> Step {
        sink.call(name);
        sink.argument('{');
        let mut scan = Scan::default();
        scan.step('{');
        self.state = State::Arguments(scan);
        Step::More
    }
}
