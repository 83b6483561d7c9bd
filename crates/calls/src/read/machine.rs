//! Which machine reads calls in which form.

use super::Step;
use super::gemma::Gemma;
use super::json_calls::JsonCalls;
use super::named_calls::NamedCalls;
use super::pythonic::Pythonic;
use super::sink::Sink;
use super::tagged::Tagged;
use crate::Style;
use crate::forms::{Form, LFM, Python};

/// What reads calls from behind a marker on.
#[derive(Debug)]
pub(super) enum Machine {
    Json(JsonCalls),
    Named(NamedCalls),
    Tagged(Tagged),
    Pythonic(Pythonic),
    Gemma(Gemma),
    /// Mistral writes a list of objects, or a name and an object: the first character tells, if it is not that of a name in the style of names.
    Mistral(Style),
    /// LFM writes a list of calls in Python, or of objects: the character behind the bracket tells.
    Lfm {
        form: &'static Python,
        in_list: bool,
    },
}

impl Machine {
    /// The machine behind a marker of a style; without a marker, the one that takes the first character.
    pub(super) fn new(style: Style, form: Form, marker: &str) -> Option<Self> {
        Some(match form {
            _ if matches!(style, Style::Mistral | Style::MistralNamed) => Machine::Mistral(style),
            Form::Json(form) => Machine::Json(JsonCalls::new(form)),
            Form::Named(form) => Machine::Named(NamedCalls::new(form)),
            Form::Tagged(form) => Machine::Tagged(Tagged::new(form, marker)),
            Form::Pythonic(form) if style == Style::Lfm2 => Machine::Lfm { form, in_list: false },
            Form::Pythonic(form) => Machine::Pythonic(Pythonic::new(form)),
            Form::Gemma(form) => Machine::Gemma(Gemma::new(form)),
            Form::Channels => return None,
        })
    }

    /// Takes a character.
    pub(super) fn step(&mut self, c: char, sink: &mut Sink) -> Step {
        match self {
            Machine::Json(machine) => machine.step(c, sink),
            Machine::Named(machine) => machine.step(c, sink),
            Machine::Tagged(machine) => machine.step(c, sink),
            Machine::Pythonic(machine) => machine.step(c, sink),
            Machine::Gemma(machine) => machine.step(c, sink),
            Machine::Lfm { .. } if c.is_whitespace() => Step::More,
            Machine::Lfm { in_list, .. } if c == '[' && !*in_list => {
                *in_list = true;
                Step::More
            }
            Machine::Lfm { in_list: false, .. } => Step::Back,
            Machine::Lfm { form, .. } => {
                *self = match c {
                    '{' => Machine::Json(JsonCalls::new(&LFM)),
                    _ => Machine::Pythonic(Pythonic::new(form)),
                };
                // The bracket has been taken, and nothing comes of it alone.
                self.step('[', sink);
                self.step(c, sink)
            }
            Machine::Mistral(_) if c.is_whitespace() => Step::More,
            Machine::Mistral(style) => {
                let may_be_name = *style == Style::MistralNamed && sink.begins(c.encode_utf8(&mut [0; 4]));
                let is_name = may_be_name || !matches!(c, '[' | '{');
                let style = if is_name { Style::MistralNamed } else { Style::Mistral };
                *self = match style.form() {
                    Form::Named(form) => Machine::Named(NamedCalls::new(form)),
                    Form::Json(form) => Machine::Json(JsonCalls::new(form)),
                    _ => return Step::Back,
                };
                self.step(c, sink)
            }
        }
    }
}
