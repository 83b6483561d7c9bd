//! Calls whose arguments stand one by one between tags.

use serde_json::{Value, json};

use super::Step;
use super::json::{Scan, escape};
use super::literal;
use super::markers::Markers;
use super::names::{Found, Name};
use super::sink::Sink;
use crate::forms::{Tags, Told};
use crate::schema::Kinds;

#[derive(Debug)]
pub(super) struct Tagged {
    form: Tags,
    state: State,
    /// The function that is called, by its place among those that are known.
    function: Option<usize>,
    /// How many arguments the open call has so far.
    arguments: usize,
}

#[derive(Debug)]
enum State {
    /// Before a call, or the end of all.
    Begin(Markers),
    Name(Name),
    /// Before an argument, or the end of them.
    Next(Markers),
    Key(Name),
    /// Between key and value.
    Before(Markers, Kinds),
    Value {
        kinds: Kinds,
        ends: Markers,
        held: String,
        is_first: bool,
        scan: Scan,
    },
}

impl Tagged {
    /// Reads from behind a marker on: that of all calls, or that of a call if the first was forgotten.
    pub(super) fn new(form: &Tags, marker: &str) -> Self {
        let mut tagged =
            Tagged { form: *form, state: State::Begin(Markers::new([""; 0])), function: None, arguments: 0 };
        if form.open.is_empty() || marker == form.open {
            tagged.name()
        } else {
            tagged.begin()
        }
        tagged
    }

    fn begin(&mut self) {
        self.state = State::Begin(Markers::new([self.form.open, self.form.end]));
    }

    fn name(&mut self) {
        self.state = State::Name(Name::new(self.form.named));
    }

    fn next(&mut self) {
        self.state = State::Next(Markers::new([self.form.key, self.form.close]));
    }

    pub(super) fn step(&mut self, c: char, sink: &mut Sink) -> Step {
        match &mut self.state {
            State::Begin(markers) | State::Next(markers) | State::Before(markers, _)
                if c.is_whitespace() && !markers.is_holding() => {}
            State::Begin(markers) => match markers.only(c) {
                Err(()) => return Step::Back,
                Ok(None) => {}
                Ok(Some(found)) if markers.marker(found) == self.form.end => return Step::Done,
                Ok(Some(_)) => self.name(),
            },
            State::Name(name) => match name.function(c, sink, str::trim_start) {
                Found::More => {}
                Found::None => return Step::Back,
                Found::Name(name, end) => {
                    self.function = sink.place(&name);
                    self.arguments = 0;
                    sink.call(name);
                    return self.named(self.form.named.get(end).copied().unwrap_or_default(), sink);
                }
            },
            State::Next(markers) => match markers.only(c) {
                Err(()) => {
                    sink.arguments(self.end_of_arguments());
                    return Step::Back;
                }
                Ok(None) => {}
                Ok(Some(found)) => {
                    let marker = markers.marker(found).to_owned();
                    return self.named(&marker, sink);
                }
            },
            State::Key(name) => match name.any(c) {
                Found::Name(key, end) => {
                    let told = self.form.key_end.get(end).map_or(Told::Nothing, |(_, told)| *told);
                    self.key(&key, told, sink);
                }
                Found::More => {}
                Found::None => {
                    sink.arguments(self.end_of_arguments());
                    return Step::Back;
                }
            },
            State::Before(markers, kinds) => match markers.only(c) {
                Err(()) => {
                    sink.arguments("null}");
                    return Step::Back;
                }
                Ok(None) => {}
                Ok(Some(_)) => {
                    let kinds = *kinds;
                    self.value(kinds, sink);
                }
            },
            State::Value { .. } => self.in_value(c, sink),
        }
        Step::More
    }

    /// What stands behind a name or an argument is the next key, or the end of the arguments.
    fn named(&mut self, marker: &str, sink: &mut Sink) -> Step {
        if marker == self.form.key {
            let ends: Vec<&str> = self.form.key_end.iter().map(|(end, _)| *end).collect();
            self.state = State::Key(Name::new(&ends));
        } else if marker == self.form.close {
            sink.arguments(self.end_of_arguments());
            sink.end_call();
            if self.form.end.is_empty() {
                return Step::Done;
            }
            self.begin();
        } else {
            self.next();
        }
        Step::More
    }

    fn end_of_arguments(&self) -> &'static str {
        if self.arguments == 0 { "{}" } else { "}" }
    }

    fn key(&mut self, key: &str, told: Told, sink: &mut Sink) {
        let parameters = self.function.map_or(&Value::Null, |place| sink.parameters(place));
        let property = |key: &str| parameters.get("properties")?.get(key);
        let key = if property(key).is_some() { key } else { key.trim() };
        let kinds = Kinds::of_schema(property(key).unwrap_or(&Value::Null), parameters);
        let kinds = match told {
            Told::Text if kinds.meets(Kinds::STRING) => Kinds::STRING,
            Told::Json if kinds != Kinds::STRING => kinds.without(Kinds::STRING),
            _ => kinds,
        };
        sink.arguments(if self.arguments == 0 { "{" } else { ", " });
        sink.arguments(&format!("{}: ", json!(key)));
        self.arguments += 1;
        if self.form.value.is_empty() {
            self.value(kinds, sink);
        } else {
            self.state = State::Before(Markers::new([self.form.value]), kinds);
        }
    }

    fn value(&mut self, kinds: Kinds, sink: &mut Sink) {
        if kinds == Kinds::STRING {
            sink.argument('"');
        }
        let ends = Markers::new(self.form.value_end.iter().copied());
        self.state =
            State::Value { kinds, ends, held: String::new(), is_first: self.form.breaks, scan: Scan::default() };
    }

    /// A character of a value, or of the tag behind it. Texts go on as they come; what may be of another kind is seen whole.
    fn in_value(&mut self, c: char, sink: &mut Sink) {
        let State::Value { kinds, ends, held, is_first, scan } = &mut self.state else { return };
        if std::mem::take(is_first) && c == '\n' {
            // The value may be empty: then this line break is that of the tag behind it.
            return;
        }
        let is_text = *kinds == Kinds::STRING;
        if !kinds.meets(Kinds::STRING) {
            // What looks like the tag inside of a string of JSON is none.
            let was_in_string = scan.is_in_string();
            scan.step(c);
            if was_in_string {
                held.push(c);
                return;
            }
        }
        let end = ends.step(c, |c| held.push(c));
        if is_text {
            let mut text = String::new();
            held.drain(..).for_each(|c| escape(c, &mut text));
            sink.arguments(&text);
        }
        if end.is_some() {
            if is_text {
                sink.argument('"');
            } else {
                sink.arguments(&literal::of_text(held, *kinds));
            }
            self.next();
        }
    }
}
