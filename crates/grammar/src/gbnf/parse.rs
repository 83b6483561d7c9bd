//! The parts of a GBNF grammar.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::iter::Peekable;
use std::str::Chars;

use crate::GrammarError;

/// The most repetitions that a grammar may ask for by number.
const MOST_TIMES: usize = 10_000;

/// A part of a rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// A character, as a regular expression.
    Class(String),
    /// A rule, by its number.
    Reference(usize),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    /// So many times at least, and at most.
    Repeat(Box<Node>, usize, Option<usize>),
}

impl Node {
    /// Calls `found` for each reference.
    pub(super) fn references(&self, found: &mut impl FnMut(usize)) {
        match self {
            Node::Text(_) | Node::Class(_) => {}
            Node::Reference(rule) => found(*rule),
            Node::Sequence(parts) | Node::Choice(parts) => parts.iter().for_each(|part| part.references(found)),
            Node::Repeat(part, ..) => part.references(found),
        }
    }
}

/// A rule with its name.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) body: Node,
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    /// Brackets that are open, and how many may be.
    depth: usize,
    deepest: usize,
    /// The numbers of rules, and the line on which each was named first.
    numbers: HashMap<String, (usize, usize)>,
    bodies: HashMap<usize, Node>,
}

/// All rules by their numbers.
pub(super) fn parse(text: &str, deepest: usize) -> Result<Vec<Rule>, GrammarError> {
    let rest = text.chars().peekable();
    let mut parser = Parser { rest, line: 1, depth: 0, deepest, numbers: HashMap::new(), bodies: HashMap::new() };
    parser.space(true);
    while parser.rest.peek().is_some() {
        parser.rule()?;
        parser.space(true);
    }
    let mut names: Vec<(String, (usize, usize))> = parser.numbers.into_iter().collect();
    names.sort_by_key(|&(_, (number, _))| number);
    let mut rules = Vec::with_capacity(names.len());
    for (name, (number, line)) in names {
        let body = parser.bodies.remove(&number);
        let body = body.ok_or_else(|| GrammarError::on_line(line, format!("there is no rule `{name}`")))?;
        rules.push(Rule { name, body });
    }
    Ok(rules)
}

impl Parser<'_> {
    fn error(&self, reason: impl Into<String>) -> GrammarError {
        GrammarError::on_line(self.line, reason)
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    /// Takes a character, if it is the next one.
    fn take(&mut self, wanted: char) -> bool {
        let is_next = self.rest.peek() == Some(&wanted);
        if is_next {
            self.next();
        }
        is_next
    }

    /// Takes white space and comments, and the ends of lines if it may.
    fn space(&mut self, lines: bool) {
        while let Some(&c) = self.rest.peek() {
            match c {
                '#' => {
                    while self.rest.peek().is_some_and(|&c| c != '\n') {
                        self.next();
                    }
                }
                ' ' | '\t' => _ = self.next(),
                '\n' | '\r' if lines => _ = self.next(),
                _ => return,
            }
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(&c) = self.rest.peek().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            name.push(c);
            self.next();
        }
        name
    }

    fn number_of(&mut self, name: String) -> usize {
        let next = self.numbers.len();
        self.numbers.entry(name).or_insert((next, self.line)).0
    }

    fn rule(&mut self) -> Result<(), GrammarError> {
        let line = self.line;
        let name = self.name();
        if name.is_empty() {
            return Err(self.error("a rule begins with its name"));
        }
        let number = self.number_of(name.clone());
        self.space(false);
        if !(self.take(':') && self.take(':') && self.take('=')) {
            return Err(self.error("`::=` is missing after the rule's name"));
        }
        self.space(true);
        let body = self.choice()?;
        if let Some(&c) = self.rest.peek().filter(|&&c| !matches!(c, '\n' | '\r')) {
            return Err(self.error(format!("{c:?} is not expected here")));
        }
        match self.bodies.entry(number) {
            Entry::Occupied(_) => Err(GrammarError::on_line(line, format!("the rule `{name}` is there twice"))),
            Entry::Vacant(place) => {
                place.insert(body);
                Ok(())
            }
        }
    }

    fn choice(&mut self) -> Result<Node, GrammarError> {
        let mut branches = vec![self.sequence()?];
        while self.take('|') {
            self.space(true);
            branches.push(self.sequence()?);
        }
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Choice(branches) })
    }

    fn sequence(&mut self) -> Result<Node, GrammarError> {
        let mut parts: Vec<Node> = Vec::new();
        while let Some(&c) = self.rest.peek() {
            let part = match c {
                '"' => self.text()?,
                '[' => self.class()?,
                '.' => {
                    self.next();
                    Node::Class("(?s:.)".to_owned())
                }
                '(' => self.group()?,
                '*' | '+' | '?' | '{' => {
                    let Some(part) = parts.pop() else { return Err(self.error(format!("{c:?} follows nothing"))) };
                    self.repeat(part)?
                }
                c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') => {
                    let name = self.name();
                    Node::Reference(self.number_of(name))
                }
                '<' | '!' => return Err(self.error("tokens by name or number are not supported")),
                _ => break,
            };
            parts.push(part);
            self.space(self.depth > 0);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Sequence(parts) })
    }

    fn group(&mut self) -> Result<Node, GrammarError> {
        self.next();
        self.depth += 1;
        if self.depth > self.deepest {
            return Err(self.error(format!("brackets are nested more than {} levels deep", self.deepest)));
        }
        self.space(true);
        let inside = self.choice()?;
        self.depth -= 1;
        if self.take(')') { Ok(inside) } else { Err(self.error("a bracket is not closed")) }
    }

    fn repeat(&mut self, part: Node) -> Result<Node, GrammarError> {
        let (least, most) = match self.next() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            _ => {
                self.space(self.depth > 0);
                let least = self.times()?;
                self.space(self.depth > 0);
                let mut most = least;
                if self.take(',') {
                    self.space(self.depth > 0);
                    most = if self.rest.peek() == Some(&'}') { None } else { self.times()? };
                    self.space(self.depth > 0);
                }
                if !self.take('}') {
                    return Err(self.error("a number of times is not closed"));
                }
                (least.unwrap_or(0), most)
            }
        };
        match most {
            Some(most) if most < least => Err(self.error(format!("{least} to {most} times is no number of times"))),
            _ => Ok(Node::Repeat(Box::new(part), least, most)),
        }
    }

    fn times(&mut self) -> Result<Option<usize>, GrammarError> {
        let digits = self.name();
        let times = digits.parse().ok().filter(|&times| times <= MOST_TIMES);
        times.map(Some).ok_or_else(|| self.error(format!("{digits:?} must be a number up to {MOST_TIMES}")))
    }

    fn text(&mut self) -> Result<Node, GrammarError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(Node::Text(text)),
                Some('\\') => text.push(self.escaped()?),
                None | Some('\n') => {
                    // The line that began it, not the next one.
                    self.line -= usize::from(self.rest.peek().is_some());
                    return Err(self.error("a string is not closed"));
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn class(&mut self) -> Result<Node, GrammarError> {
        self.next();
        let mut class = "[".to_owned();
        if self.take('^') {
            class.push('^');
        }
        let before = class.len();
        loop {
            match self.next() {
                // An empty class has no character.
                Some(']') if class.len() == before => return Err(self.error("a class is empty")),
                Some(']') => {
                    class.push(']');
                    return Ok(Node::Class(class));
                }
                Some('\\') => {
                    let c = self.escaped()?;
                    push_class(&mut class, c);
                }
                Some('-') if class.len() > before && self.rest.peek() != Some(&']') => class.push('-'),
                None => return Err(self.error("a class is not closed")),
                Some(c) => push_class(&mut class, c),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, GrammarError> {
        let digits = match self.next() {
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some(c @ ('\\' | '"' | '[' | ']' | '-' | '^' | '/')) => return Ok(c),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            other => return Err(self.error(format!("\\{} is no escape", other.unwrap_or(' ')))),
        };
        let mut code = 0u32;
        for _ in 0..digits {
            let digit = self.next().and_then(|c| c.to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.error("an escape has too few hexadecimal digits"))?;
        }
        char::from_u32(code).ok_or_else(|| self.error(format!("{code:#x} is no character")))
    }
}

/// Adds a character to a class as a regular expression has it.
fn push_class(class: &mut String, c: char) {
    match c {
        '\\' | ']' | '[' | '^' | '-' | '/' | '&' | '~' => {
            class.push('\\');
            class.push(c);
        }
        c if c.is_control() || c.is_whitespace() => class.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        c => class.push(c),
    }
}
