//! Source text to a tree: tokens, statements, expressions, and the names that exist nowhere.

pub(crate) mod ast;
mod expressions;
mod lexer;
mod names;
mod statements;

use std::collections::HashMap;
use std::sync::Arc;

use self::ast::{Block, Body};
use self::lexer::{Tok, Token};
use self::names::{Names, Spoken};
use crate::error::{Error, Result};

/// Brackets and blocks within each other. Everything that walks over a tree recurses this deep, and the parser, which takes the
/// most stack of them, several times as deep.
pub(crate) const MAX_NESTING: usize = 100;

/// A template as it is run.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) body: Body,
    pub(crate) blocks: HashMap<Arc<str>, Arc<Block>>,
    pub(crate) spoken: Spoken,
}

/// Compiles a template.
///
/// # Errors
/// [`ErrorKind::Syntax`](crate::ErrorKind::Syntax), with the line.
pub(crate) fn parse(source: &str) -> Result<Program> {
    let tokens = lexer::tokenize(source)?;
    let mut parser = Parser {
        tokens,
        next: 0,
        nesting: 0,
        loops: 0,
        names: Names::default(),
        blocks: HashMap::new(),
        open: Vec::new(),
    };
    let body = parser.template()?;
    parser.names.check()?;
    Ok(Program { body, blocks: parser.blocks, spoken: parser.names.spoken() })
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    nesting: usize,
    /// Loops around that `break` can leave.
    loops: usize,
    names: Names,
    blocks: HashMap<Arc<str>, Arc<Block>>,
    /// The tags that wait for their end, for messages.
    open: Vec<&'static str>,
}

impl Parser {
    fn peek(&self) -> &Tok {
        // The last token is the end, which is never taken.
        &self.tokens[self.next.min(self.tokens.len() - 1)].what
    }

    /// The token after the next one.
    fn peek_second(&self) -> &Tok {
        &self.tokens[(self.next + 1).min(self.tokens.len() - 1)].what
    }

    fn line(&self) -> usize {
        self.tokens[self.next.min(self.tokens.len() - 1)].line
    }

    fn advance(&mut self) -> Tok {
        let at = self.next.min(self.tokens.len() - 1);
        self.next += 1;
        match &mut self.tokens[at].what {
            Tok::End => Tok::End,
            taken => std::mem::replace(taken, Tok::Op("")),
        }
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Error::syntax(self.line(), message))
    }

    fn at_op(&self, op: &str) -> bool {
        matches!(self.peek(), Tok::Op(other) if *other == op)
    }

    fn at_word(&self, word: &str) -> bool {
        matches!(self.peek(), Tok::Name(name) if **name == *word)
    }

    fn skip_op(&mut self, op: &str) -> bool {
        let there = self.at_op(op);
        self.next += usize::from(there);
        there
    }

    fn skip_word(&mut self, word: &str) -> bool {
        let there = self.at_word(word);
        self.next += usize::from(there);
        there
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T> {
        match self.peek() {
            Tok::End => self.fail(format!("unexpected end of template, expected '{expected}'.")),
            other => {
                self.fail(format!("expected token '{expected}', got '{}'", crate::error::shown(&other.describe())))
            }
        }
    }

    fn expect_op(&mut self, op: &str) -> Result<()> {
        if self.skip_op(op) { Ok(()) } else { self.unexpected(op) }
    }

    fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.skip_word(word) { Ok(()) } else { self.unexpected(word) }
    }

    fn expect(&mut self, token: &Tok) -> Result<()> {
        if self.peek() == token {
            self.next += 1;
            return Ok(());
        }
        self.unexpected(&token.describe())
    }

    fn name(&mut self) -> Result<Arc<str>> {
        match self.peek() {
            Tok::Name(name) => {
                let name = Arc::clone(name);
                self.next += 1;
                Ok(name)
            }
            _ => self.unexpected("name"),
        }
    }

    /// Parses something within something: only so deep.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Parser) -> Result<T>) -> Result<T> {
        if self.nesting == MAX_NESTING {
            return self.fail(format!("brackets and blocks are nested more than {MAX_NESTING} levels deep"));
        }
        self.nesting += 1;
        let parsed = parse(self)?;
        self.nesting -= 1;
        Ok(parsed)
    }
}
