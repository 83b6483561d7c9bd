//! Expressions.

use std::rc::Rc;

use super::Interpreter;
use super::args::Args;
use crate::error::{Error, Result};
use crate::filters::html;
use crate::format::printf;
use crate::syntax::ast::{Arithmetic, Comparison, Expr, Link, LinkKind, Sign, Slice};
use crate::value::compare::{equal, less, less_or_equal};
use crate::value::dict::Dict;
use crate::value::lookup::truth;
use crate::value::number::{self, Number};
use crate::value::text::TextBuilder;
use crate::value::{Seq, SeqKind, Value};

impl Interpreter<'_> {
    pub(crate) fn eval(&mut self, expr: &Expr) -> Result<Value> {
        self.enter()?;
        let value = match expr {
            Expr::Const(constant) => Value::from(constant),
            Expr::Name(name) => self.variable(name)?,
            Expr::List(items) => self.eval_sequence(SeqKind::List, items)?,
            Expr::Tuple(items) => self.eval_sequence(SeqKind::Tuple, items)?,
            Expr::Dict(entries) => self.eval_dict(entries)?,
            Expr::Chain(base, links) => self.eval_chain(base, links)?,
            Expr::Signs(signs, value) => self.eval_signs(signs, value)?,
            Expr::Truth { negated, value } => Value::Bool(truth(&self.eval(value)?) != *negated),
            Expr::Arithmetic(first, rest) => self.eval_arithmetic(first, rest)?,
            Expr::Concat(parts) => self.eval_concat(parts)?,
            Expr::Compare(first, rest) => self.eval_compare(first, rest)?,
            Expr::And(operands) => self.eval_logic(operands, false)?,
            Expr::Or(operands) => self.eval_logic(operands, true)?,
            Expr::Cond { arms, otherwise, line } => self.eval_cond(arms, otherwise.as_deref(), *line)?,
        };
        self.leave();
        Ok(value)
    }

    #[inline(never)]
    fn eval_sequence(&mut self, kind: SeqKind, items: &[Expr]) -> Result<Value> {
        self.budget.make_many(items.len(), size_of::<Value>())?;
        Seq::of(kind, items.iter().map(|item| self.eval(item)).collect::<Result<_>>()?)
    }

    #[inline(never)]
    fn eval_dict(&mut self, entries: &[(Expr, Expr)]) -> Result<Value> {
        let mut dict = Dict::new();
        for (key, value) in entries {
            let key = self.eval(key)?;
            let value = self.eval(value)?;
            dict.insert(key, value, self.budget)?;
        }
        Ok(Value::Dict(Rc::new(dict)))
    }

    #[inline(never)]
    fn eval_chain(&mut self, base: &Expr, links: &[Link]) -> Result<Value> {
        let mut value = self.eval(base)?;
        for link in links {
            value = self.follow(value, link)?;
        }
        Ok(value)
    }

    /// One link of a chain.
    pub(super) fn follow(&mut self, value: Value, link: &Link) -> Result<Value> {
        self.budget.step(1)?;
        let result = match &link.what {
            LinkKind::Attribute(name) => self.attribute(&value, name),
            LinkKind::Item(key) => self.follow_item(&value, key),
            LinkKind::Slice(slice) => self.follow_slice(&value, slice),
            LinkKind::Call(arguments) => {
                self.eval_arguments(arguments).and_then(|arguments| self.call(&value, arguments))
            }
            LinkKind::Filter { name, filter, arguments } => {
                let arguments = arguments.as_ref().map_or_else(|| Ok(Args::default()), |a| self.eval_arguments(a));
                match filter {
                    Some(filter) => arguments.and_then(|arguments| filter(self, value, arguments)),
                    None => Err(Error::failed(format!("there is no filter named '{name}'"))),
                }
            }
            LinkKind::Test { name, test, arguments, negated } => {
                let arguments = arguments.as_ref().map_or_else(|| Ok(Args::default()), |a| self.eval_arguments(a));
                match test {
                    Some(test) => arguments.and_then(|a| test(self, &value, a)).map(|is| Value::Bool(is != *negated)),
                    None => Err(Error::failed(format!("there is no test named '{name}'"))),
                }
            }
        };
        result.map_err(|error| error.at(link.line))
    }

    #[inline(never)]
    fn follow_item(&mut self, value: &Value, key: &Expr) -> Result<Value> {
        let key = self.eval(key)?;
        self.item(value, &key)
    }

    #[inline(never)]
    fn follow_slice(&mut self, value: &Value, slice: &Slice) -> Result<Value> {
        let mut bounds = [None; 3];
        for (bound, expr) in bounds.iter_mut().zip([&slice.from, &slice.to, &slice.step]) {
            let Some(expr) = expr else { continue };
            *bound = match self.eval(expr)? {
                Value::None => None,
                index => Some(index.int("slice indices")?),
            };
        }
        self.slice(value, bounds)
    }

    #[inline(never)]
    fn eval_signs(&mut self, signs: &[Sign], value: &Expr) -> Result<Value> {
        let value = self.eval(value)?;
        value.defined()?;
        let Some(number) = Number::of(&value) else {
            let sign = if signs.last() == Some(&Sign::Minus) { '-' } else { '+' };
            return Err(Error::failed(format!("bad operand type for unary {sign}: '{}'", value.type_name())));
        };
        let negative = signs.iter().filter(|sign| **sign == Sign::Minus).count() % 2 == 1;
        Ok(match number {
            Number::Int(i) if negative => Value::Int(i.checked_neg().ok_or_else(number::too_large)?),
            Number::Float(f) if negative => Value::Float(-f),
            other => other.into(),
        })
    }

    #[inline(never)]
    fn eval_arithmetic(&mut self, first: &Expr, rest: &[(Arithmetic, Expr)]) -> Result<Value> {
        let mut value = self.eval(first)?;
        for (op, operand) in rest {
            let operand = self.eval(operand)?;
            self.budget.step(1)?;
            value = self.arithmetic(*op, value, operand)?;
        }
        Ok(value)
    }

    /// `a op b`
    pub(crate) fn arithmetic(&mut self, op: Arithmetic, a: Value, b: Value) -> Result<Value> {
        if let (Some(a), Some(b)) = (Number::of(&a), Number::of(&b)) {
            return number::arithmetic(op, a, b);
        }
        if let (Arithmetic::Mod, Value::Text(format)) = (op, &a) {
            return Ok(Value::Text(printf::format(self, format, &b)?));
        }
        a.defined()?;
        b.defined()?;
        match op {
            Arithmetic::Add => self.add(a, b),
            Arithmetic::Mul => self.repeat(a, b),
            _ => Err(unsupported(op, &a, &b)),
        }
    }

    fn add(&mut self, a: Value, b: Value) -> Result<Value> {
        let budget = self.budget;
        match (a, b) {
            (Value::Text(a), Value::Text(b)) if a.is_markup() || b.is_markup() => {
                let (a, b) = (html::escape(&a, budget)?, html::escape(&b, budget)?);
                Ok(Value::Text(a.append(&b, budget)?.with_markup(budget)?))
            }
            (Value::Text(a), Value::Text(b)) => Ok(Value::Text(a.append(&b, budget)?)),
            (Value::Seq(a), Value::Seq(b)) if a.is_indexed() && b.is_indexed() && a.is_tuple() == b.is_tuple() => {
                budget.make_many(a.items.len() + b.items.len(), size_of::<Value>())?;
                let kind = if a.is_tuple() { SeqKind::Tuple } else { SeqKind::List };
                Seq::of(kind, a.items.iter().chain(&b.items).cloned().collect())
            }
            (Value::Text(_), other) => {
                Err(Error::failed(format!("can only concatenate str (not \"{}\") to str", other.type_name())))
            }
            (Value::Seq(a), other) if a.kind == SeqKind::List => {
                Err(Error::failed(format!("can only concatenate list (not \"{}\") to list", other.type_name())))
            }
            (a, b) => Err(unsupported(Arithmetic::Add, &a, &b)),
        }
    }

    fn repeat(&mut self, a: Value, b: Value) -> Result<Value> {
        let budget = self.budget;
        let (what, times) = match (a.as_int(), b.as_int()) {
            (None, Some(times)) => (&a, times),
            (Some(times), None) => (&b, times),
            _ => return Err(unsupported(Arithmetic::Mul, &a, &b)),
        };
        let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
        match what {
            Value::Text(text) => {
                let mut out = TextBuilder::new(budget);
                out.push_repeated(text, times)?;
                Ok(Value::Text(out.finish()))
            }
            Value::Seq(seq) if seq.is_indexed() => {
                let count = seq.items.len().saturating_mul(times);
                budget.make_many(count, size_of::<Value>())?;
                let kind = if seq.is_tuple() { SeqKind::Tuple } else { SeqKind::List };
                let rounds = if seq.items.is_empty() { 0 } else { times };
                Seq::of(kind, (0..rounds).flat_map(|_| seq.items.iter().cloned()).collect())
            }
            _ => Err(unsupported(Arithmetic::Mul, &a, &b)),
        }
    }

    #[inline(never)]
    fn eval_concat(&mut self, parts: &[Expr]) -> Result<Value> {
        let mut out = TextBuilder::new(self.budget);
        for part in parts {
            let value = self.eval(part)?;
            self.write_str(&value, &mut out)?;
        }
        Ok(Value::Text(out.finish()))
    }

    #[inline(never)]
    fn eval_compare(&mut self, first: &Expr, rest: &[(Comparison, Expr)]) -> Result<Value> {
        let mut left = self.eval(first)?;
        for (comparison, operand) in rest {
            let right = self.eval(operand)?;
            if !self.compare(*comparison, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    pub(crate) fn compare(&mut self, comparison: Comparison, a: &Value, b: &Value) -> Result<bool> {
        let budget = self.budget;
        match comparison {
            Comparison::Eq => equal(a, b, budget),
            Comparison::Ne => equal(a, b, budget).map(|equal| !equal),
            Comparison::Lt => less(a, b, "<", budget),
            Comparison::Gt => less(b, a, ">", budget),
            Comparison::Le => less_or_equal(a, b, "<=", budget),
            Comparison::Ge => less_or_equal(b, a, ">=", budget),
            Comparison::In => self.contains(b, a),
            Comparison::NotIn => self.contains(b, a).map(|is| !is),
        }
    }

    /// `and`, `or`: the first operand that decides, or the last one.
    #[inline(never)]
    fn eval_logic(&mut self, operands: &[Expr], decides: bool) -> Result<Value> {
        let mut value = Value::None;
        for operand in operands {
            value = self.eval(operand)?;
            if truth(&value) == decides {
                break;
            }
        }
        Ok(value)
    }

    #[inline(never)]
    fn eval_cond(&mut self, arms: &[(Expr, Expr)], otherwise: Option<&Expr>, line: usize) -> Result<Value> {
        for (value, test) in arms {
            if truth(&self.eval(test)?) {
                return self.eval(value);
            }
        }
        match otherwise {
            Some(otherwise) => self.eval(otherwise),
            None => Ok(Value::undefined(format!(
                "the inline if-expression on line {line} evaluated to false and no else section was defined."
            ))),
        }
    }
}

fn unsupported(op: Arithmetic, a: &Value, b: &Value) -> Error {
    let (symbol, a, b) = (op.symbol(), a.type_name(), b.type_name());
    Error::failed(format!("unsupported operand type(s) for {symbol}: '{a}' and '{b}'"))
}
