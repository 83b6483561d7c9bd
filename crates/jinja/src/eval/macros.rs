//! Macros and the bodies of `{% call %}`.

use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::args::Args;
use super::{Interpreter, Scope};
use crate::error::{Error, Result};
use crate::syntax::ast::Macro;
use crate::value::dict::Dict;
use crate::value::text::{Text, TextBuilder};
use crate::value::{Seq, Value};

/// A macro and where it was defined: it sees the variables there. It does not keep them alive, so that a variable can hold the
/// macro; whoever takes a macro out of its scope finds only the variables at the top.
#[derive(Debug)]
pub(crate) struct MacroValue {
    pub(crate) definition: Arc<Macro>,
    pub(crate) scope: Weak<Scope>,
}

impl Interpreter<'_> {
    pub(crate) fn macro_value(&self, definition: &Arc<Macro>) -> Value {
        let scope = Rc::downgrade(&self.scope);
        Value::Macro(Rc::new(MacroValue { definition: Arc::clone(definition), scope }))
    }

    /// What a macro writes.
    pub(super) fn call_macro(&mut self, of: &MacroValue, args: Args) -> Result<Value> {
        self.enter()?;
        let around = of.scope.upgrade().unwrap_or_else(|| Rc::clone(&self.root));
        let caller = std::mem::replace(&mut self.scope, around);
        self.push_scope();
        self.bind_parameters(&of.definition, args)?;
        let text = self.capture(&of.definition.body)?;
        self.scope = caller;
        self.leave();
        Ok(Value::Text(text))
    }

    /// What statements write, as a text.
    pub(super) fn capture(&mut self, body: &[crate::syntax::ast::Statement]) -> Result<Text> {
        let mut out = TextBuilder::new(self.budget);
        self.exec(body, &mut out)?;
        Ok(out.finish())
    }

    fn bind_parameters(&mut self, definition: &Macro, args: Args) -> Result<()> {
        let name = &definition.name;
        let Args { positional, mut named } = args;
        let mut positional = positional.into_iter();
        let (budget, given) = (self.budget, named.len());
        let mut take = |parameter: &str| {
            let index = named.iter().position(|(known, _)| **known == *parameter)?;
            Some(named.remove(index).1)
        };
        let mut bound = Vec::with_capacity(definition.parameters.len());
        for (parameter, _) in &definition.parameters {
            let value = match positional.next() {
                Some(value) => Some(value),
                None => {
                    budget.step(given)?;
                    take(parameter)
                }
            };
            bound.push(value);
        }
        let explicit_caller = definition.parameters.iter().any(|(parameter, _)| &**parameter == "caller");
        if definition.uses.caller && !explicit_caller {
            let caller = take("caller").unwrap_or_else(|| Value::undefined("No caller defined"));
            self.set(&"caller".into(), caller)?;
        }
        if definition.uses.kwargs {
            let mut kwargs = Dict::new();
            for (key, value) in named {
                kwargs.insert(Value::own(&*key), value, self.budget)?;
            }
            self.set(&"kwargs".into(), Value::Dict(Rc::new(kwargs)))?;
        } else if let Some((unknown, _)) = named.first() {
            return Err(Error::failed(format!("macro '{name}' takes no keyword argument '{unknown}'")));
        }
        let rest: Vec<Value> = positional.collect();
        if definition.uses.varargs {
            self.set(&"varargs".into(), Seq::tuple(rest, self.budget)?)?;
        } else if !rest.is_empty() {
            let count = definition.parameters.len();
            return Err(Error::failed(format!("macro '{name}' takes not more than {count} argument(s)")));
        }
        // Defaults come last: they may speak of the parameters before them.
        for ((parameter, default), value) in definition.parameters.iter().zip(bound) {
            let value = match (value, default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.eval(default)?,
                (None, None) => Value::undefined(format!("parameter '{parameter}' was not provided")),
            };
            self.set(parameter, value)?;
        }
        Ok(())
    }
}
