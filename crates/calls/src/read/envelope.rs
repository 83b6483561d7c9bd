//! A call that is a JSON object with the function's name and its arguments.

use super::Step;
use super::json::{At, Scan, Unescape, escape};
use super::sink::Sink;

/// Keys of the name and of the arguments, as families have them: Llama has `parameters`, Cohere `tool_name`.
const NAMES: [&str; 3] = ["name", "tool_name", "function"];
const ARGUMENTS: [&str; 2] = ["arguments", "parameters"];
/// Other keys that calls may have.
const OTHERS: [&str; 3] = ["type", "id", "tool_call_id"];

/// What a string of arguments has inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    Json,
    Text,
}

/// Reads such an object from behind its first brace.
#[derive(Debug)]
pub(super) struct Envelope {
    state: State,
    /// The key that is read, then that whose value is read.
    key: String,
    name: String,
    /// Arguments that came before the name, or that are not known to be an object.
    held: String,
    has_arguments: bool,
    /// Whether nothing but a call may be such an object: then another key is allowed only behind the name.
    is_marked: bool,
    /// Whether keys are names, and their values arguments.
    has_names_for_keys: bool,
}

#[derive(Debug)]
enum State {
    /// Before a key; the object may end here.
    Key,
    InKey(Unescape),
    Colon,
    Value,
    Name(Unescape),
    /// Arguments as an object or an array: they are put out as they are.
    Arguments(Scan),
    /// Arguments that are JSON inside of a string; what is none stays a string.
    Quoted(Unescape, Inside),
    /// Arguments that are neither.
    Scalar(Scan),
    Skip(Scan),
    /// Behind a value.
    Next,
}

impl Envelope {
    /// `is_marked` says that a marker of calls came before; else the object may be an answer in JSON.
    pub(super) fn new(is_marked: bool) -> Self {
        Envelope {
            state: State::Key,
            key: String::new(),
            name: String::new(),
            held: String::new(),
            has_arguments: false,
            is_marked,
            has_names_for_keys: false,
        }
    }

    /// An object in which a name is the key of its arguments.
    pub(super) fn of_names() -> Self {
        Envelope { has_names_for_keys: true, ..Envelope::new(true) }
    }

    /// Takes the next character; done at the brace that ends the object.
    pub(super) fn step(&mut self, c: char, sink: &mut Sink) -> Step {
        match &mut self.state {
            State::Key | State::Colon | State::Value | State::Next if c.is_whitespace() => {}
            State::Key => match c {
                '"' => {
                    self.key.clear();
                    self.state = State::InKey(Unescape::default());
                }
                '}' => return self.end(sink),
                _ => return Step::Back,
            },
            State::InKey(reader) => {
                if reader.step(c, &mut self.key) {
                    if self.has_names_for_keys {
                        self.state = State::Colon;
                        self.name = std::mem::replace(&mut self.key, ARGUMENTS[0].to_owned());
                        return self.named(sink);
                    }
                    if !self.is_key_of_call() {
                        return Step::Back;
                    }
                    self.state = State::Colon;
                }
            }
            State::Colon if c == ':' => self.state = State::Value,
            State::Colon => return Step::Back,
            State::Value => return self.value(c, sink),
            State::Name(reader) => {
                if reader.step(c, &mut self.name) {
                    self.state = State::Next;
                    return self.named(sink);
                }
            }
            State::Arguments(scan) => {
                let at = scan.step(c);
                self.put(c, sink);
                if at == At::End {
                    self.state = State::Next;
                }
            }
            State::Quoted(..) => self.quoted(c, sink),
            State::Scalar(scan) => match scan.step(c) {
                At::Behind => return self.scalar(c, sink),
                _ => self.held.push(c),
            },
            State::Skip(scan) => match scan.step(c) {
                At::Inside => {}
                At::End => self.state = State::Next,
                At::Behind => {
                    self.state = State::Next;
                    return self.step(c, sink);
                }
            },
            State::Next => match c {
                ',' if self.has_names_for_keys => {
                    sink.end_call();
                    *self = Envelope::of_names();
                }
                ',' => self.state = State::Key,
                '}' => return self.end(sink),
                _ => return Step::Back,
            },
        }
        Step::More
    }

    /// Without a marker, an object whose first keys are others is an answer in JSON.
    fn is_key_of_call(&self) -> bool {
        let key = self.key.as_str();
        let is_known = NAMES.contains(&key) || ARGUMENTS.contains(&key) || OTHERS.contains(&key);
        self.is_marked || is_known || !self.name.is_empty()
    }

    /// The first character of a value.
    fn value(&mut self, c: char, sink: &mut Sink) -> Step {
        if self.name.is_empty() && NAMES.contains(&self.key.as_str()) {
            if c == '"' {
                self.state = State::Name(Unescape::default());
                return Step::More;
            }
            // The other notation has the name and the arguments inside of `function`.
            if c == '{' && self.key == "function" && self.held.is_empty() {
                *self = Envelope { has_arguments: self.has_arguments, ..Envelope::new(self.is_marked) };
                return Step::More;
            }
            return Step::Back;
        }
        let is_arguments = !self.has_arguments && ARGUMENTS.contains(&self.key.as_str());
        let mut scan = Scan::default();
        let at = scan.step(c);
        if is_arguments {
            self.has_arguments = true;
            self.state = match c {
                '{' | '[' => State::Arguments(scan),
                '"' => State::Quoted(Unescape::default(), Inside::Nothing),
                ',' | '}' | ']' | ':' => return Step::Back,
                _ => State::Scalar(scan),
            };
            match c {
                '"' => {}
                '{' | '[' => self.put(c, sink),
                _ => self.held.push(c),
            }
        } else if at == At::End || matches!(c, ',' | ':') {
            return Step::Back;
        } else {
            self.state = State::Skip(scan);
        }
        Step::More
    }

    /// A character of arguments inside of a string.
    fn quoted(&mut self, c: char, sink: &mut Sink) {
        let State::Quoted(reader, inside) = &mut self.state else { return };
        let (mut read, mut text) = (String::new(), String::new());
        let is_over = reader.step(c, &mut read);
        for c in read.chars() {
            if *inside == Inside::Nothing && !c.is_whitespace() {
                *inside = if c == '{' { Inside::Json } else { Inside::Text };
                text.push_str(if c == '{' { "" } else { "\"" });
            }
            match inside {
                Inside::Nothing => {}
                Inside::Json => text.push(c),
                Inside::Text => escape(c, &mut text),
            }
        }
        if is_over {
            text.push_str(if *inside == Inside::Text { "\"" } else { "" });
            self.has_arguments = *inside != Inside::Nothing;
            self.state = State::Next;
        }
        text.chars().for_each(|c| self.put(c, sink));
    }

    /// A number or a word is over. `null` is no arguments.
    fn scalar(&mut self, c: char, sink: &mut Sink) -> Step {
        if self.held == "null" {
            self.held.clear();
            self.has_arguments = false;
        } else if sink.is_open() {
            sink.arguments(&std::mem::take(&mut self.held));
        }
        self.state = State::Next;
        self.step(c, sink)
    }

    /// More of the arguments.
    fn put(&mut self, c: char, sink: &mut Sink) {
        if sink.is_open() { sink.argument(c) } else { self.held.push(c) }
    }

    /// The name is known.
    fn named(&mut self, sink: &mut Sink) -> Step {
        // Some models write the namespace too.
        let names = [self.name.as_str(), self.name.trim().trim_start_matches("functions.")];
        let Some(name) = names.into_iter().find(|name| sink.knows(name)) else { return Step::Back };
        sink.call(name.to_owned());
        sink.arguments(&std::mem::take(&mut self.held));
        Step::More
    }

    fn end(&mut self, sink: &mut Sink) -> Step {
        if !sink.is_open() {
            return Step::Back;
        }
        sink.end_call();
        Step::Done
    }
}
