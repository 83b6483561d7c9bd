//! Statements.

use std::sync::Arc;

use super::Parser;
use super::ast::{Block, Body, CallBlock, Expr, For, Link, LinkKind, Macro, Statement, Target};
use super::lexer::Tok;
use crate::error::{Error, Result};
use crate::value::text::Text;

/// What an assignment may stand before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Targets {
    /// `set`, which may also set an attribute of a namespace.
    Set,
    /// `for` and `with`.
    Names,
}

impl Parser {
    /// The whole template.
    pub(super) fn template(&mut self) -> Result<Body> {
        self.body(&[])
    }

    /// Statements up to the tag with one of these names, which is next afterwards, behind `{%`.
    fn body(&mut self, ends: &[&str]) -> Result<Body> {
        let mut body = Vec::new();
        loop {
            match self.peek() {
                Tok::Data(_) => {
                    if let Tok::Data(text) = self.advance() {
                        body.push(Statement::Text(Text::own(text)));
                    }
                }
                Tok::PrintBegin => {
                    self.next += 1;
                    let line = self.line();
                    let value = self.tuple(true, &[])?;
                    self.expect(&Tok::PrintEnd)?;
                    body.push(Statement::Print { value, line });
                }
                Tok::TagBegin => {
                    self.next += 1;
                    if let Tok::Name(name) = self.peek()
                        && ends.contains(&&**name)
                    {
                        return Ok(body);
                    }
                    let statement = self.nested(Parser::statement)?;
                    self.expect(&Tok::TagEnd)?;
                    body.extend(statement);
                }
                Tok::End if ends.is_empty() => return Ok(body),
                Tok::End => {
                    let open = self.open.last().copied().unwrap_or_default();
                    let ends = ends.join("' or '");
                    return self.fail(format!(
                        "Unexpected end of template. Jinja was looking for the following tags: '{ends}'. The innermost \
                         block that needs to be closed is '{open}'."
                    ));
                }
                _ => return self.unexpected("text or a tag"),
            }
        }
    }

    /// The rest of an opening tag, and the statements up to its end tag.
    fn block_body(&mut self, tag: &'static str, ends: &[&str]) -> Result<Body> {
        self.skip_op(":");
        self.expect(&Tok::TagEnd)?;
        self.open.push(tag);
        let body = self.body(ends)?;
        self.open.pop();
        Ok(body)
    }

    /// As [`Parser::block_body`], and the end tag's name.
    fn closed_body(&mut self, tag: &'static str, end: &str) -> Result<Body> {
        let body = self.block_body(tag, &[end])?;
        self.expect_word(end)?;
        Ok(body)
    }

    /// A tag, behind `{%` and up to `%}`.
    fn statement(&mut self) -> Result<Vec<Statement>> {
        let line = self.line();
        let tag = match self.peek() {
            Tok::Name(name) => Arc::clone(name),
            _ => return self.fail("tag name expected"),
        };
        self.next += 1;
        let statement = match &*tag {
            "if" => self.if_statement(line)?,
            "for" => self.for_statement(line)?,
            "set" => self.set_statement(line)?,
            "macro" => self.macro_statement()?,
            "call" => self.call_statement(line)?,
            "filter" => {
                let filters = self.filters(true)?;
                Statement::Filter { filters, body: self.closed_body("filter", "endfilter")?, line }
            }
            "with" => self.with_statement(line)?,
            "block" => self.block_statement()?,
            "print" => return self.print_statement(line),
            "generation" => Statement::Scope(self.closed_body("generation", "endgeneration")?),
            "autoescape" => {
                if !self.skip_word("false") && !self.skip_word("False") {
                    return self.fail("autoescape is not supported: a prompt is no HTML");
                }
                Statement::Scope(self.closed_body("autoescape", "endautoescape")?)
            }
            "break" | "continue" if self.loops == 0 => {
                return Err(Error::syntax(line, format!("'{tag}' outside of a loop")));
            }
            "break" => Statement::Break,
            "continue" => Statement::Continue,
            "include" | "import" | "from" | "extends" => {
                let message =
                    format!("'{tag}' is not supported: a chat template stands alone, and there are no others");
                return Err(Error::syntax(line, message));
            }
            _ => return Err(Error::syntax(line, self.unknown_tag(&tag))),
        };
        Ok(vec![statement])
    }

    fn unknown_tag(&self, tag: &str) -> String {
        let mut message = format!("Encountered unknown tag '{}'.", crate::error::shown(tag));
        if let Some(open) = self.open.last() {
            message.push_str(&format!(" The innermost block that needs to be closed is '{open}'."));
        }
        message
    }

    fn if_statement(&mut self, line: usize) -> Result<Statement> {
        let mut arms = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let test = self.tuple(false, &[])?;
            let body = self.block_body("if", &["elif", "else", "endif"])?;
            arms.push((test, body));
            if self.skip_word("elif") {
                continue;
            }
            if self.skip_word("else") {
                otherwise = self.block_body("if", &["endif"])?;
            }
            self.expect_word("endif")?;
            return Ok(Statement::If { arms, otherwise, line });
        }
    }

    fn for_statement(&mut self, line: usize) -> Result<Statement> {
        let target = self.targets(Targets::Names, Some("in"))?;
        if matches!(&target, Target::Name(name) if &**name == "loop") {
            return self.fail("Can't assign to special loop variable in for-loop target");
        }
        self.expect_word("in")?;
        let iterable = self.tuple(false, &["recursive"])?;
        let filter = if self.skip_word("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_word("recursive");
        let before = self.names.special();
        self.loops += 1;
        let body = self.block_body("for", &["endfor", "else"])?;
        self.loops -= 1;
        let uses_loop = recursive || self.names.uses_loop(before);
        let otherwise = if self.skip_word("else") { self.block_body("for", &["endfor"])? } else { Vec::new() };
        self.expect_word("endfor")?;
        let definition = For { target, iterable, filter, body, otherwise, recursive, uses_loop, line };
        Ok(Statement::For(Arc::new(definition)))
    }

    fn set_statement(&mut self, line: usize) -> Result<Statement> {
        let target = self.targets(Targets::Set, None)?;
        if self.skip_op("=") {
            return Ok(Statement::Set { target, value: self.tuple(true, &[])?, line });
        }
        let filters = self.filters(false)?;
        let body = self.closed_body("set", "endset")?;
        Ok(Statement::SetBlock { target, filters, body, line })
    }

    fn with_statement(&mut self, line: usize) -> Result<Statement> {
        let mut bindings = Vec::new();
        while *self.peek() != Tok::TagEnd {
            if !bindings.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.target(Targets::Names)?;
            self.expect_op("=")?;
            bindings.push((target, self.expression()?));
        }
        Ok(Statement::With { bindings, body: self.closed_body("with", "endwith")?, line })
    }

    fn block_statement(&mut self) -> Result<Statement> {
        let name = self.name()?;
        let scoped = self.skip_word("scoped");
        if self.at_word("required") {
            return self
                .fail("a required block is not supported: a chat template stands alone, and nothing can fill it");
        }
        if self.blocks.contains_key(&name) {
            return self.fail(format!("block '{}' defined twice", crate::error::shown(&name)));
        }
        let loops = std::mem::take(&mut self.loops);
        let body = self.closed_body("block", "endblock")?;
        self.loops = loops;
        self.skip_word(&name);
        self.names.word(&name);
        let block = Arc::new(Block { name: Arc::clone(&name), scoped, body });
        self.blocks.insert(name, Arc::clone(&block));
        Ok(Statement::Block(block))
    }

    fn print_statement(&mut self, line: usize) -> Result<Vec<Statement>> {
        let mut statements = Vec::new();
        while *self.peek() != Tok::TagEnd {
            if !statements.is_empty() {
                self.expect_op(",")?;
            }
            statements.push(Statement::Print { value: self.expression()?, line });
        }
        Ok(statements)
    }

    fn macro_statement(&mut self) -> Result<Statement> {
        let name = self.name()?;
        self.names.assign(&name);
        let parameters = self.parameters()?;
        let definition = self.macro_body(name, parameters, ("macro", "endmacro"))?;
        Ok(Statement::Macro(Arc::new(definition)))
    }

    fn call_statement(&mut self, line: usize) -> Result<Statement> {
        let parameters = if self.at_op("(") { self.parameters()? } else { Vec::new() };
        let call = self.expression()?;
        let Expr::Chain(base, mut links) = call else { return Err(Error::syntax(line, "expected call")) };
        let Some(Link { what: LinkKind::Call(arguments), .. }) = links.pop() else {
            return Err(Error::syntax(line, "expected call"));
        };
        let caller = Arc::new(self.macro_body("caller".into(), parameters, ("call", "endcall"))?);
        Ok(Statement::Call(Box::new(CallBlock { callee: Expr::Chain(base, links), arguments, caller, line })))
    }

    fn macro_body(
        &mut self,
        name: Arc<str>,
        parameters: Vec<(Arc<str>, Option<Expr>)>,
        (tag, end): (&'static str, &str),
    ) -> Result<Macro> {
        let before = self.names.special();
        let loops = std::mem::take(&mut self.loops);
        let body = self.closed_body(tag, end)?;
        self.loops = loops;
        Ok(Macro { name, parameters, body, uses: self.names.macro_uses(before) })
    }

    fn parameters(&mut self) -> Result<Vec<(Arc<str>, Option<Expr>)>> {
        let mut parameters: Vec<(Arc<str>, Option<Expr>)> = Vec::new();
        self.expect_op("(")?;
        while !self.at_op(")") {
            if !parameters.is_empty() {
                self.expect_op(",")?;
            }
            let name = self.name()?;
            self.names.assign(&name);
            let default = if self.skip_op("=") { Some(self.expression()?) } else { None };
            if default.is_none() && parameters.last().is_some_and(|(_, default)| default.is_some()) {
                return self.fail("non-default argument follows default argument");
            }
            parameters.push((name, default));
        }
        self.expect_op(")")?;
        Ok(parameters)
    }

    /// One target, or several with commas between them.
    fn targets(&mut self, allowed: Targets, end: Option<&str>) -> Result<Target> {
        let first = self.target(allowed)?;
        if !self.at_op(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.skip_op(",") {
            if self.at_op("=") || self.at_op(")") || *self.peek() == Tok::TagEnd || end.is_some_and(|e| self.at_word(e))
            {
                break;
            }
            targets.push(self.target(allowed)?);
        }
        Ok(Target::Tuple(targets))
    }

    fn target(&mut self, allowed: Targets) -> Result<Target> {
        if self.skip_op("(") {
            let target = self.nested(|parser| parser.targets(allowed, None))?;
            self.expect_op(")")?;
            return Ok(target);
        }
        let name = self.name()?;
        if matches!(&*name, "true" | "True" | "false" | "False" | "none" | "None") {
            return self.fail("can't assign to 'const'");
        }
        if allowed == Targets::Set && self.skip_op(".") {
            let attribute = self.name()?;
            self.names.word(&attribute);
            return Ok(Target::Attribute { namespace: name, attribute });
        }
        self.names.assign(&name);
        Ok(Target::Name(name))
    }
}
