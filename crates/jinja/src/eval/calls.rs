//! Calls of whatever can be called, and of filters and tests by their names.

use std::rc::Rc;
use std::sync::Arc;

use super::args::Args;
use super::{Interpreter, Object};
use crate::error::{Error, Result, shown};
use crate::filters::{self, Filter};
use crate::syntax::ast::Arguments;
use crate::tests::{self, Test};
use crate::value::text::{Text, TextBuilder};
use crate::value::{ObjectId, ObjectKind, Value};
use crate::{globals, methods};

impl Interpreter<'_> {
    pub(super) fn eval_arguments(&mut self, arguments: &Arguments) -> Result<Args> {
        let count = arguments.positional.len() + arguments.named.len();
        self.budget.make_many(count, size_of::<Value>())?;
        let mut args = Args::default();
        for argument in &arguments.positional {
            args.positional.push(self.eval(argument)?);
        }
        for (name, argument) in &arguments.named {
            if args.named.iter().any(|(known, _)| known == name) {
                return Err(Error::failed(format!("keyword argument repeated: {name}")));
            }
            self.budget.step(args.named.len())?;
            let value = self.eval(argument)?;
            args.named.push((Arc::clone(name), value));
        }
        if let Some(more) = &arguments.more_positional {
            let more = self.eval(more)?;
            args.positional.extend(self.collect(&more)?);
        }
        if let Some(more) = &arguments.more_named {
            let Value::Dict(more) = self.eval(more)? else {
                return Err(Error::failed("argument after ** must be a mapping"));
            };
            self.budget.make_many(more.len(), size_of::<(Arc<str>, Value)>())?;
            for (name, value) in more.entries() {
                let name = name.text("keywords")?.as_str();
                self.budget.step(args.named.len())?;
                if args.named.iter().any(|(known, _)| **known == *name) {
                    return Err(Error::failed(format!("got multiple values for keyword argument '{}'", shown(name))));
                }
                args.named.push((name.into(), value.clone()));
            }
        }
        Ok(args)
    }

    pub(crate) fn call(&mut self, callee: &Value, args: Args) -> Result<Value> {
        match callee {
            Value::Macro(of) => self.call_macro(&Rc::clone(of), args),
            Value::Builtin(builtin) => globals::call(self, *builtin, args),
            Value::Method(method) => methods::call(self, &Rc::clone(method), args),
            Value::Object(id, ObjectKind::Loop) => self.call_loop(*id, args),
            Value::Object(id, ObjectKind::Joiner) => {
                args.none("joiner")?;
                self.call_joiner(*id)
            }
            Value::Blocks(Some(name)) => {
                args.none(name)?;
                let Some(block) = self.template.blocks.get(name).cloned() else { return Ok(Value::own("")) };
                self.enter()?;
                let mut out = TextBuilder::new(self.budget);
                self.exec_block(&block, &mut out)?;
                self.leave();
                Ok(Value::Text(out.finish()))
            }
            other => {
                other.defined()?;
                Err(Error::failed(format!("'{}' object is not callable", other.type_name())))
            }
        }
    }

    /// `loop(...)` in a recursive loop: the loop again, over other items.
    fn call_loop(&mut self, id: ObjectId, args: Args) -> Result<Value> {
        let iterable = args.one("loop", "iterable")?;
        let Object::Loop(state) = &self.objects[id] else { return Err(Error::failed("this is no loop")) };
        let Some((definition, scope)) = state.recursive.clone() else {
            return Err(Error::failed("The loop must have the 'recursive' marker to be called recursively."));
        };
        let depth = state.depth + 1;
        self.enter()?;
        let around = scope.upgrade().unwrap_or_else(|| Rc::clone(&self.root));
        let caller = std::mem::replace(&mut self.scope, around);
        let mut out = TextBuilder::new(self.budget);
        self.run_loop(&definition, &iterable, depth, &mut out)?;
        self.scope = caller;
        self.leave();
        Ok(Value::Text(out.finish()))
    }

    fn call_joiner(&mut self, id: ObjectId) -> Result<Value> {
        let Object::Joiner { separator, used } = &mut self.objects[id] else {
            return Err(Error::failed("this is no joiner"));
        };
        let text = if std::mem::replace(used, true) { separator.clone() } else { Text::own("") };
        Ok(Value::Text(text))
    }

    /// A filter by the name that the template computed.
    pub(crate) fn filter_named(&self, name: &Value) -> Result<Filter> {
        let name = name.text("the name of a filter")?.as_str();
        filters::find(name).ok_or_else(|| Error::failed(format!("there is no filter named '{}'", shown(name))))
    }

    /// A test by the name that the template computed.
    pub(crate) fn test_named(&self, name: &Value) -> Result<Test> {
        let name = name.text("the name of a test")?.as_str();
        tests::find(name).ok_or_else(|| Error::failed(format!("there is no test named '{}'", shown(name))))
    }
}
