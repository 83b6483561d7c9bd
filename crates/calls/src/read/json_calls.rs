//! Calls as JSON objects, one or a list of them, behind a marker.

use super::Step;
use super::envelope::Envelope;
use super::markers::Markers;
use super::sink::Sink;
use crate::forms::Json;

#[derive(Debug)]
pub(super) struct JsonCalls {
    state: State,
    in_list: bool,
    form: Json,
    /// What may stand between calls: the end of them, and the beginning of more.
    markers: Markers,
}

#[derive(Debug)]
enum State {
    /// Before the first object or list.
    Begin,
    Call(Envelope),
    Between,
    /// Behind the list.
    Behind,
}

impl JsonCalls {
    /// Reads from behind the marker on, or from the beginning if there is no marker.
    pub(super) fn new(form: &Json) -> Self {
        JsonCalls { state: State::Begin, in_list: false, form: *form, markers: Markers::new([form.close, form.open]) }
    }

    pub(super) fn step(&mut self, c: char, sink: &mut Sink) -> Step {
        match &mut self.state {
            State::Call(envelope) => match envelope.step(c, sink) {
                Step::Done => {
                    self.state = State::Between;
                    Step::More
                }
                step => step,
            },
            _ if c.is_whitespace() && !self.markers.is_holding() => Step::More,
            State::Begin | State::Between if c == '{' => {
                self.state = State::Call(match self.form.keys {
                    Some(_) => Envelope::new(!self.form.open.is_empty()),
                    None => Envelope::of_names(),
                });
                Step::More
            }
            State::Begin if c == '[' && !self.in_list => {
                self.in_list = true;
                Step::More
            }
            State::Begin => Step::Back,
            State::Between if c == ']' && self.in_list => {
                self.in_list = false;
                self.state = State::Behind;
                if self.form.close.is_empty() { Step::Done } else { Step::Whole }
            }
            // A brace too many is a slip of small models.
            State::Between if matches!(c, ',' | ';' | '}') && !self.markers.is_holding() => Step::More,
            State::Between | State::Behind => self.marker(c),
        }
    }

    /// Behind a call, where a marker may stand.
    fn marker(&mut self, c: char) -> Step {
        match self.markers.only(c) {
            Err(()) => Step::Back,
            Ok(None) => Step::More,
            Ok(Some(found)) if self.markers.marker(found) == self.form.close => Step::Done,
            Ok(Some(_)) => {
                (self.state, self.in_list) = (State::Begin, false);
                Step::More
            }
        }
    }
}
