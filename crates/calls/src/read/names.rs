//! Names that stand in front of a marker.

use super::markers::Markers;
use super::sink::Sink;

/// The longest name, in bytes. What is longer is text.
const LONGEST: usize = 1024;

/// Reads a name up to one of some markers.
#[derive(Debug)]
pub(super) struct Name {
    read: String,
    ends: Markers,
}

/// What a character says of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It goes on.
    More,
    /// It is whole, and its marker, by its number, has been read.
    Name(String, usize),
    /// It is none that there is.
    None,
}

impl Name {
    pub(super) fn new(ends: &[&str]) -> Self {
        Name { read: String::new(), ends: Markers::new(ends.iter().copied()) }
    }

    /// Takes a character of a function's name. `inner` takes away what a family writes around it. Markers inside of a name that is known are a part of it.
    pub(super) fn function(&mut self, c: char, sink: &Sink, inner: impl Fn(&str) -> &str) -> Found {
        let Some(end) = self.step(c) else { return self.goes_on() };
        for name in [self.read.as_str(), self.read.trim()].map(&inner) {
            if sink.knows(name) {
                return Found::Name(name.to_owned(), end);
            }
        }
        self.read.push_str(self.ends.marker(end));
        let so_far = inner(self.read.trim_start());
        if sink.begins(so_far) { Found::More } else { Found::None }
    }

    /// Takes a character of another name.
    pub(super) fn any(&mut self, c: char) -> Found {
        match self.step(c) {
            Some(end) => Found::Name(std::mem::take(&mut self.read), end),
            None => self.goes_on(),
        }
    }

    /// Whether what has been read may be the beginning of a function's name.
    pub(super) fn may_be_function(&self, sink: &Sink) -> bool {
        let read = self.read.trim_start();
        let is_identifier = || read.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | ' '));
        if sink.knows_all() { is_identifier() } else { sink.begins(read.trim_end()) || sink.begins(&self.read) }
    }

    fn step(&mut self, c: char) -> Option<usize> {
        let read = &mut self.read;
        self.ends.step(c, |c| read.push(c))
    }

    fn goes_on(&self) -> Found {
        if self.read.len() > LONGEST { Found::None } else { Found::More }
    }
}
