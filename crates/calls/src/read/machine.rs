//! Which machine reads the calls of which style.

use super::Step;
use super::json_calls::{Form, JsonCalls};
use super::sink::Sink;
use crate::{Style, generic};

/// What reads calls from behind a marker on.
#[derive(Debug)]
pub(super) enum Machine {
    Json(JsonCalls),
}

impl Machine {
    pub(super) fn step(&mut self, c: char, sink: &mut Sink) -> Step {
        match self {
            Machine::Json(machine) => machine.step(c, sink),
        }
    }

    /// The answer ends here.
    pub(super) fn finish(&mut self, _sink: &mut Sink) {}
}

/// The markers behind which calls begin.
pub(super) fn openers(style: Style) -> &'static [&'static str] {
    match style {
        Style::Hermes | Style::Generic => &[generic::OPEN],
    }
}

/// Markers that frame answers and say nothing.
pub(super) fn frames(_style: Style) -> &'static [&'static str] {
    &[]
}

/// The machine behind a marker.
pub(super) fn behind(style: Style, _marker: &str) -> Machine {
    match style {
        Style::Hermes | Style::Generic => {
            Machine::Json(JsonCalls::new(&Form { open: generic::OPEN, close: generic::CLOSE }))
        }
    }
}

/// The machine of calls without a marker, if one may begin with this character. It takes that character.
pub(super) fn bare(_style: Style, _c: char) -> Option<Machine> {
    None
}
