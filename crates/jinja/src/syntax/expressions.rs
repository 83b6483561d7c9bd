//! Expressions, by precedence. Chains of one precedence are read in a loop, so that only brackets make the parser recurse.

use super::Parser;
use super::ast::{Arguments, Arithmetic, Comparison, Const, Expr, Link, LinkKind, Sign, Slice};
use super::lexer::Tok;
use crate::error::Result;
use crate::value::text::Text;
use crate::{filters, tests};

/// Inline conditions without an `else` in a row, which nest to the left.
const MAX_OPEN_CONDITIONS: usize = 5;

impl Parser {
    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.nested(Parser::conditional)
    }

    /// `a if b else c if d else e`
    fn conditional(&mut self) -> Result<Expr> {
        let mut arms = Vec::new();
        let mut value = self.or()?;
        let mut open = 0;
        let line = self.line();
        loop {
            if !self.skip_word("if") {
                break;
            }
            let test = self.or()?;
            if self.skip_word("else") {
                arms.push((value, test));
                value = self.or()?;
            } else {
                open += 1;
                if open > MAX_OPEN_CONDITIONS {
                    return self.fail(format!("more than {MAX_OPEN_CONDITIONS} inline conditions without an else"));
                }
                value = Expr::Cond { arms: vec![(value, test)], otherwise: None, line };
            }
        }
        if arms.is_empty() {
            return Ok(value);
        }
        Ok(Expr::Cond { arms, otherwise: Some(Box::new(value)), line })
    }

    /// Expressions with commas between them are a tuple; `ends` are words that may follow a trailing comma.
    pub(super) fn tuple(&mut self, conditions: bool, ends: &[&str]) -> Result<Expr> {
        self.tuple_in(conditions, ends, false)
    }

    fn tuple_in(&mut self, conditions: bool, ends: &[&str], brackets: bool) -> Result<Expr> {
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            let ended = matches!(self.peek(), Tok::PrintEnd | Tok::TagEnd | Tok::Op(")"))
                || ends.iter().any(|word| self.at_word(word));
            if ended {
                break;
            }
            items.push(if conditions { self.expression()? } else { self.nested(Parser::or)? });
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
        }
        match items.pop() {
            Some(only) if !is_tuple => Ok(only),
            Some(last) => {
                items.push(last);
                Ok(Expr::Tuple(items))
            }
            None if brackets => Ok(Expr::Tuple(items)),
            None => self.fail(format!("Expected an expression, got '{}'", self.peek().describe())),
        }
    }

    fn or(&mut self) -> Result<Expr> {
        let first = self.and()?;
        if !self.at_word("or") {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.skip_word("or") {
            operands.push(self.and()?);
        }
        Ok(Expr::Or(operands))
    }

    fn and(&mut self) -> Result<Expr> {
        let first = self.not()?;
        if !self.at_word("and") {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.skip_word("and") {
            operands.push(self.not()?);
        }
        Ok(Expr::And(operands))
    }

    fn not(&mut self) -> Result<Expr> {
        let mut count = 0;
        while self.skip_word("not") {
            count += 1;
        }
        let value = self.compare()?;
        if count == 0 {
            return Ok(value);
        }
        Ok(Expr::Truth { negated: count % 2 == 1, value: Box::new(value) })
    }

    fn compare(&mut self) -> Result<Expr> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let comparison = match self.peek() {
                Tok::Op("==") => Comparison::Eq,
                Tok::Op("!=") => Comparison::Ne,
                Tok::Op("<") => Comparison::Lt,
                Tok::Op("<=") => Comparison::Le,
                Tok::Op(">") => Comparison::Gt,
                Tok::Op(">=") => Comparison::Ge,
                Tok::Name(name) if &**name == "in" => Comparison::In,
                Tok::Name(name) if &**name == "not" && matches!(self.peek_second(), Tok::Name(n) if &**n == "in") => {
                    self.next += 1;
                    Comparison::NotIn
                }
                _ => break,
            };
            self.next += 1;
            rest.push((comparison, self.sum()?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expr::Compare(Box::new(first), rest))
    }

    /// A chain of operators of one precedence.
    fn arithmetic(
        &mut self,
        operand: fn(&mut Parser) -> Result<Expr>,
        operators: &[(&str, Arithmetic)],
    ) -> Result<Expr> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Some((_, op)) = operators.iter().find(|(symbol, _)| self.at_op(symbol)) {
            self.next += 1;
            rest.push((*op, operand(self)?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expr::Arithmetic(Box::new(first), rest))
    }

    fn sum(&mut self) -> Result<Expr> {
        self.arithmetic(Parser::concat, &[("+", Arithmetic::Add), ("-", Arithmetic::Sub)])
    }

    fn concat(&mut self) -> Result<Expr> {
        let first = self.product()?;
        if !self.at_op("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.skip_op("~") {
            parts.push(self.product()?);
        }
        Ok(Expr::Concat(parts))
    }

    fn product(&mut self) -> Result<Expr> {
        use Arithmetic::{Div, FloorDiv, Mod, Mul};
        self.arithmetic(Parser::power, &[("*", Mul), ("/", Div), ("//", FloorDiv), ("%", Mod)])
    }

    /// From left to right in Jinja, other than in Python.
    fn power(&mut self) -> Result<Expr> {
        self.arithmetic(Parser::unary, &[("**", Arithmetic::Pow)])
    }

    fn unary(&mut self) -> Result<Expr> {
        let mut signs = Vec::new();
        loop {
            match self.peek() {
                Tok::Op("-") => signs.push(Sign::Minus),
                Tok::Op("+") => signs.push(Sign::Plus),
                _ => break,
            }
            self.next += 1;
        }
        let base = self.primary()?;
        let base = self.chain(base, Parser::postfix)?;
        let base = if signs.is_empty() { base } else { Expr::Signs(signs, Box::new(base)) };
        self.chain(base, Parser::filter_or_test)
    }

    /// As many links as there are.
    fn chain(&mut self, base: Expr, next: fn(&mut Parser) -> Result<Option<Link>>) -> Result<Expr> {
        let (base, mut links) = match base {
            Expr::Chain(base, links) => (base, links),
            base => (Box::new(base), Vec::new()),
        };
        while let Some(link) = next(self)? {
            links.push(link);
        }
        Ok(if links.is_empty() { *base } else { Expr::Chain(base, links) })
    }

    fn postfix(&mut self) -> Result<Option<Link>> {
        let line = self.line();
        let what = match self.peek() {
            Tok::Op(".") => {
                self.next += 1;
                match self.advance() {
                    Tok::Name(name) => {
                        if self.at_op("(") {
                            self.names.method(&name, line);
                        } else {
                            self.names.attribute(&name);
                        }
                        LinkKind::Attribute(name)
                    }
                    Tok::Int(index) => LinkKind::Item(Box::new(Expr::Const(Const::Int(index)))),
                    _ => return self.fail("expected name or number"),
                }
            }
            Tok::Op("[") => {
                self.next += 1;
                self.subscript()?
            }
            Tok::Op("(") => LinkKind::Call(Box::new(self.arguments()?)),
            _ => return Ok(None),
        };
        Ok(Some(Link { line, what }))
    }

    fn subscript(&mut self) -> Result<LinkKind> {
        let mut items = Vec::new();
        let mut slice = None;
        while !self.at_op("]") {
            if !items.is_empty() || slice.is_some() {
                self.expect_op(",")?;
            }
            if self.at_op(":") {
                slice = Some(self.slice(None)?);
                continue;
            }
            let item = self.expression()?;
            if self.at_op(":") {
                slice = Some(self.slice(Some(item))?);
            } else {
                items.push(item);
            }
        }
        self.expect_op("]")?;
        match (slice, items.pop()) {
            (Some(slice), None) => Ok(LinkKind::Slice(Box::new(slice))),
            (None, Some(only)) if items.is_empty() => Ok(LinkKind::Item(Box::new(only))),
            (None, Some(last)) => {
                items.push(last);
                Ok(LinkKind::Item(Box::new(Expr::Tuple(items))))
            }
            (None, None) => Ok(LinkKind::Item(Box::new(Expr::Tuple(items)))),
            (Some(_), Some(_)) => self.fail("a slice among several indices is not supported"),
        }
    }

    fn slice(&mut self, from: Option<Expr>) -> Result<Slice> {
        self.expect_op(":")?;
        let bound = |parser: &mut Parser| -> Result<Option<Expr>> {
            let none = parser.at_op(":") || parser.at_op("]") || parser.at_op(",");
            if none { Ok(None) } else { parser.expression().map(Some) }
        };
        let to = bound(self)?;
        let step = if self.skip_op(":") { bound(self)? } else { None };
        Ok(Slice { from, to, step })
    }

    fn filter_or_test(&mut self) -> Result<Option<Link>> {
        let line = self.line();
        match self.peek() {
            Tok::Op("|") => {
                self.next += 1;
                self.filter().map(Some)
            }
            Tok::Op("(") => {
                let what = LinkKind::Call(Box::new(self.arguments()?));
                Ok(Some(Link { line, what }))
            }
            Tok::Name(name) if &**name == "is" => {
                self.next += 1;
                self.test().map(Some)
            }
            _ => Ok(None),
        }
    }

    /// `|`s and filters behind them; `begun`: the first one has no `|`.
    pub(super) fn filters(&mut self, begun: bool) -> Result<Vec<Link>> {
        let mut filters = Vec::new();
        if begun {
            filters.push(self.filter()?);
        }
        while self.skip_op("|") {
            filters.push(self.filter()?);
        }
        Ok(filters)
    }

    /// Names with dots between them.
    fn dotted_name(&mut self) -> Result<std::sync::Arc<str>> {
        let mut name = self.name()?;
        while self.skip_op(".") {
            name = format!("{name}.{}", self.name()?).into();
        }
        Ok(name)
    }

    fn filter(&mut self) -> Result<Link> {
        let line = self.line();
        let name = self.dotted_name()?;
        let filter = filters::find(&name);
        if filter.is_none() {
            self.names.unknown("filter", &name, line);
        }
        let arguments = if self.at_op("(") { Some(Box::new(self.arguments()?)) } else { None };
        Ok(Link { line, what: LinkKind::Filter { name, filter, arguments } })
    }

    fn test(&mut self) -> Result<Link> {
        let negated = self.skip_word("not");
        let line = self.line();
        let name = self.dotted_name()?;
        let test = tests::find(&name);
        if test.is_none() {
            self.names.unknown("test", &name, line);
        }
        let takes_one = match self.peek() {
            Tok::Name(name) => !matches!(&**name, "else" | "or" | "and"),
            Tok::Text(_) | Tok::Int(_) | Tok::Float(_) | Tok::Op("[" | "{") => true,
            _ => false,
        };
        let arguments = if self.at_op("(") {
            Some(Box::new(self.arguments()?))
        } else if takes_one {
            if self.at_word("is") {
                return self.fail("You cannot chain multiple tests with is");
            }
            let base = self.nested(Parser::primary)?;
            let argument = self.chain(base, Parser::postfix)?;
            Some(Box::new(Arguments { positional: vec![argument], ..Arguments::default() }))
        } else {
            None
        };
        Ok(Link { line, what: LinkKind::Test { name, test, arguments, negated } })
    }

    fn arguments(&mut self) -> Result<Arguments> {
        self.expect_op("(")?;
        let mut arguments = Arguments::default();
        let mut first = true;
        while !self.at_op(")") {
            if !first {
                self.expect_op(",")?;
                if self.at_op(")") {
                    break;
                }
            }
            first = false;
            let in_order = arguments.more_positional.is_none() && arguments.more_named.is_none();
            if self.at_op("*") && in_order {
                self.next += 1;
                arguments.more_positional = Some(self.expression()?);
            } else if self.at_op("**") && arguments.more_named.is_none() {
                self.next += 1;
                arguments.more_named = Some(self.expression()?);
            } else if let (Tok::Name(name), Tok::Op("=")) = (self.peek(), self.peek_second()) {
                let name = std::sync::Arc::clone(name);
                if arguments.more_named.is_some() {
                    return self.fail("invalid syntax for function call expression");
                }
                self.next += 2;
                self.names.word(&name);
                let value = self.expression()?;
                arguments.named.push((name, value));
            } else if in_order && arguments.named.is_empty() {
                let value = self.expression()?;
                arguments.positional.push(value);
            } else {
                return self.fail("invalid syntax for function call expression");
            }
        }
        self.expect_op(")")?;
        Ok(arguments)
    }

    fn primary(&mut self) -> Result<Expr> {
        let line = self.line();
        match self.peek() {
            Tok::Name(_) => {
                let name = self.name()?;
                Ok(match &*name {
                    "true" | "True" => Expr::Const(Const::Bool(true)),
                    "false" | "False" => Expr::Const(Const::Bool(false)),
                    "none" | "None" => Expr::Const(Const::None),
                    _ => {
                        self.names.variable(&name, self.at_op("("), line);
                        Expr::Name(name)
                    }
                })
            }
            Tok::Text(_) => {
                let mut text = String::new();
                while let Tok::Text(part) = self.peek() {
                    text.push_str(part);
                    self.next += 1;
                }
                self.names.word(&text);
                Ok(Expr::Const(Const::Text(Text::own(text))))
            }
            Tok::Int(number) => {
                let number = *number;
                self.next += 1;
                Ok(Expr::Const(Const::Int(number)))
            }
            Tok::Float(number) => {
                let number = *number;
                self.next += 1;
                Ok(Expr::Const(Const::Float(number)))
            }
            Tok::Op("(") => {
                self.next += 1;
                let inner = self.tuple_in(true, &[], true)?;
                self.expect_op(")")?;
                Ok(inner)
            }
            Tok::Op("[") => {
                self.next += 1;
                self.list()
            }
            Tok::Op("{") => {
                self.next += 1;
                self.dict()
            }
            other => self.fail(format!("unexpected '{}'", crate::error::shown(&other.describe()))),
        }
    }

    fn list(&mut self) -> Result<Expr> {
        let mut items = Vec::new();
        while !self.at_op("]") {
            items.push(self.expression()?);
            if !self.skip_op(",") {
                break;
            }
        }
        self.expect_op("]")?;
        Ok(Expr::List(items))
    }

    fn dict(&mut self) -> Result<Expr> {
        let mut entries = Vec::new();
        while !self.at_op("}") {
            let key = self.expression()?;
            self.expect_op(":")?;
            entries.push((key, self.expression()?));
            if !self.skip_op(",") {
                break;
            }
        }
        self.expect_op("}")?;
        Ok(Expr::Dict(entries))
    }
}
