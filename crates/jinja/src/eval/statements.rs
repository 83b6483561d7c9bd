//! Statements.

use std::rc::Rc;
use std::sync::Arc;

use super::objects::LoopState;
use super::{Interpreter, Object};
use crate::error::{Error, Result};
use crate::syntax::ast::{Block, CallBlock, Expr, For, Link, Statement, Target};
use crate::value::lookup::{Items, truth};
use crate::value::text::TextBuilder;
use crate::value::{ObjectKind, Seq, Value};

/// What comes after a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    Break,
    Continue,
}

impl Interpreter<'_> {
    /// Runs statements one after another.
    pub(crate) fn exec(&mut self, body: &[Statement], out: &mut TextBuilder<'_>) -> Result<Flow> {
        self.enter()?;
        for statement in body {
            self.budget.step(1)?;
            match self.exec_one(statement, out)? {
                Flow::Next => {}
                flow => {
                    self.leave();
                    return Ok(flow);
                }
            }
        }
        self.leave();
        Ok(Flow::Next)
    }

    fn exec_one(&mut self, statement: &Statement, out: &mut TextBuilder<'_>) -> Result<Flow> {
        match statement {
            Statement::Text(text) => out.push_text(text)?,
            Statement::Print { value, line } => self.exec_print(value, out).map_err(|e| e.at(*line))?,
            Statement::If { arms, otherwise, line } => {
                return self.exec_if(arms, otherwise, out).map_err(|e| e.at(*line));
            }
            Statement::For(definition) => {
                self.exec_for(definition, out).map_err(|e| e.at(definition.line))?;
            }
            Statement::Set { target, value, line } => self.exec_set(target, value).map_err(|e| e.at(*line))?,
            Statement::SetBlock { target, filters, body, line } => {
                self.exec_set_block(target, filters, body).map_err(|e| e.at(*line))?;
            }
            Statement::Macro(definition) => {
                let value = self.macro_value(definition);
                self.set(&definition.name, value)?;
            }
            Statement::Call(call) => self.exec_call(call, out).map_err(|e| e.at(call.line))?,
            Statement::Filter { filters, body, line } => {
                self.exec_filter(filters, body, out).map_err(|e| e.at(*line))?;
            }
            Statement::With { bindings, body, line } => {
                return self.exec_with(bindings, body, out).map_err(|e| e.at(*line));
            }
            Statement::Scope(body) => return self.exec_scope(body, out),
            Statement::Block(block) => self.exec_block(block, out)?,
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    #[inline(never)]
    fn exec_print(&mut self, value: &Expr, out: &mut TextBuilder<'_>) -> Result<()> {
        let value = self.eval(value)?;
        self.write_str(&value, out)
    }

    #[inline(never)]
    fn exec_if(
        &mut self,
        arms: &[(Expr, Vec<Statement>)],
        otherwise: &[Statement],
        out: &mut TextBuilder<'_>,
    ) -> Result<Flow> {
        for (test, body) in arms {
            if truth(&self.eval(test)?) {
                return self.exec(body, out);
            }
        }
        self.exec(otherwise, out)
    }

    #[inline(never)]
    fn exec_for(&mut self, definition: &Arc<For>, out: &mut TextBuilder<'_>) -> Result<()> {
        let iterable = self.eval(&definition.iterable)?;
        self.run_loop(definition, &iterable, 0, out)
    }

    pub(super) fn run_loop(
        &mut self,
        definition: &Arc<For>,
        iterable: &Value,
        depth: usize,
        out: &mut TextBuilder<'_>,
    ) -> Result<()> {
        let mut items = self.iterate(iterable)?;
        if let Some(filter) = &definition.filter {
            items = self.filtered(definition, filter, &items)?;
        }
        if items.len() == 0 {
            return self.exec_scope(&definition.otherwise, out).map(drop);
        }
        let object = if definition.uses_loop { Some(self.new_loop(definition, items.clone(), depth)?) } else { None };
        for (index, item) in items.iter().enumerate() {
            self.budget.step(1)?;
            let around = self.push_scope();
            if let Some((id, value)) = &object {
                if let Object::Loop(state) = &mut self.objects[*id] {
                    state.index = index;
                }
                self.set(&"loop".into(), value.clone())?;
            }
            self.assign(&definition.target, item)?;
            let flow = self.exec(&definition.body, out)?;
            self.scope = around;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn new_loop(&mut self, definition: &Arc<For>, items: Items, depth: usize) -> Result<(usize, Value)> {
        let id = self.objects.len();
        let recursive = definition.recursive.then(|| (Arc::clone(definition), Rc::downgrade(&self.scope)));
        let state = LoopState { items, index: 0, depth, last_changed: None, recursive };
        Ok((id, self.new_object(ObjectKind::Loop, Object::Loop(state))?))
    }

    /// The items for which the condition of `for ... if ...` holds.
    fn filtered(&mut self, definition: &For, filter: &Expr, items: &Items) -> Result<Items> {
        let mut kept = Vec::new();
        for item in items.iter() {
            let around = self.push_scope();
            self.assign(&definition.target, item.clone())?;
            if truth(&self.eval(filter)?) {
                self.budget.make_many(1, size_of::<Value>())?;
                kept.push(item);
            }
            self.scope = around;
        }
        let kept = Seq::list(kept)?;
        self.iterate(&kept)
    }

    #[inline(never)]
    fn exec_set(&mut self, target: &Target, value: &Expr) -> Result<()> {
        let value = self.eval(value)?;
        self.assign(target, value)
    }

    #[inline(never)]
    fn exec_set_block(&mut self, target: &Target, filters: &[Link], body: &[Statement]) -> Result<()> {
        let around = self.push_scope();
        let mut value = Value::Text(self.capture(body)?);
        for filter in filters {
            value = self.follow(value, filter)?;
        }
        self.scope = around;
        self.assign(target, value)
    }

    #[inline(never)]
    fn exec_call(&mut self, call: &CallBlock, out: &mut TextBuilder<'_>) -> Result<()> {
        let callee = self.eval(&call.callee)?;
        let mut args = self.eval_arguments(&call.arguments)?;
        args.named.push(("caller".into(), self.macro_value(&call.caller)));
        let value = self.call(&callee, args)?;
        self.write_str(&value, out)
    }

    #[inline(never)]
    fn exec_filter(&mut self, filters: &[Link], body: &[Statement], out: &mut TextBuilder<'_>) -> Result<()> {
        let around = self.push_scope();
        let mut value = Value::Text(self.capture(body)?);
        for filter in filters {
            value = self.follow(value, filter)?;
        }
        self.scope = around;
        self.write_str(&value, out)
    }

    #[inline(never)]
    fn exec_with(
        &mut self,
        bindings: &[(Target, Expr)],
        body: &[Statement],
        out: &mut TextBuilder<'_>,
    ) -> Result<Flow> {
        // All values are those of the scope around, as in Jinja.
        let values = bindings.iter().map(|(_, value)| self.eval(value)).collect::<Result<Vec<_>>>()?;
        let around = self.push_scope();
        for ((target, _), value) in bindings.iter().zip(values) {
            self.assign(target, value)?;
        }
        let flow = self.exec(body, out)?;
        self.scope = around;
        Ok(flow)
    }

    #[inline(never)]
    fn exec_scope(&mut self, body: &[Statement], out: &mut TextBuilder<'_>) -> Result<Flow> {
        let around = self.push_scope();
        let flow = self.exec(body, out)?;
        self.scope = around;
        Ok(flow)
    }

    #[inline(never)]
    pub(super) fn exec_block(&mut self, block: &Block, out: &mut TextBuilder<'_>) -> Result<()> {
        let scope = if block.scoped { Rc::clone(&self.scope) } else { Rc::clone(&self.root) };
        let around = std::mem::replace(&mut self.scope, scope);
        self.exec_scope(&block.body, out)?;
        self.scope = around;
        Ok(())
    }

    fn assign(&mut self, target: &Target, value: Value) -> Result<()> {
        match target {
            Target::Name(name) => self.set(name, value),
            Target::Attribute { namespace, attribute } => {
                let Value::Object(id, ObjectKind::Namespace) = self.variable(namespace)? else {
                    return Err(Error::failed("cannot assign attribute on non-namespace object"));
                };
                let budget = self.budget;
                let Object::Namespace(attributes) = &mut self.objects[id] else { return Ok(()) };
                attributes.insert(Value::own(&**attribute), value, budget)
            }
            Target::Tuple(targets) => {
                let items = self.iterate(&value)?;
                let (expected, found) = (targets.len(), items.len());
                if found > expected {
                    return Err(Error::failed(format!("too many values to unpack (expected {expected})")));
                }
                if found < expected {
                    let message = format!("not enough values to unpack (expected {expected}, got {found})");
                    return Err(Error::failed(message));
                }
                targets.iter().zip(items.iter()).try_for_each(|(target, item)| self.assign(target, item))
            }
        }
    }
}
