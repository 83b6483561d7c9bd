//! Running a template: statements and expressions, scopes and calls.

pub(crate) mod args;
mod calls;
mod expressions;
pub(crate) mod macros;
pub(crate) mod objects;
mod statements;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

pub(crate) use self::objects::Object;
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::globals::{self, Builtin};
use crate::syntax::Program;
use crate::value::text::{Text, TextBuilder};
use crate::value::{ObjectKind, Value};

/// Expressions, blocks and calls within each other. Each level takes some of the stack: up to here, with the deepest values to
/// walk over at the end, it is well below the 2 MiB that a thread has.
pub(crate) const MAX_DEPTH: usize = 500;

/// The variables of a loop's turn, a macro's call, or the whole template.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    variables: RefCell<HashMap<Arc<str>, Value>>,
    parent: Option<Rc<Scope>>,
}

/// One rendering.
#[derive(Debug)]
pub(crate) struct Interpreter<'a> {
    pub(crate) budget: &'a Budget,
    pub(crate) template: &'a Program,
    /// What the template was given.
    given: HashMap<&'a str, Value>,
    root: Rc<Scope>,
    scope: Rc<Scope>,
    /// All that changes: see [`crate::value`].
    pub(crate) objects: Vec<Object>,
    depth: usize,
    /// How often something was chosen by `random`.
    pub(crate) choices: u64,
}

impl<'a> Interpreter<'a> {
    pub(crate) fn new(template: &'a Program, given: HashMap<&'a str, Value>, budget: &'a Budget) -> Interpreter<'a> {
        let root = Rc::new(Scope::default());
        let scope = Rc::clone(&root);
        Interpreter { budget, template, given, root, scope, objects: Vec::new(), depth: 0, choices: 0 }
    }

    /// All that the template writes.
    pub(crate) fn run(&mut self) -> Result<Text> {
        let mut out = TextBuilder::for_output(self.budget);
        self.exec(&self.template.body, &mut out)?;
        Ok(out.finish())
    }

    /// One level deeper; whoever calls it goes up again with [`Interpreter::leave`].
    fn enter(&mut self) -> Result<()> {
        self.budget.step(1)?;
        if self.depth == MAX_DEPTH {
            return Err(Error::too_deep("calls and blocks", MAX_DEPTH));
        }
        self.depth += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    /// A new scope within the present one; gives back the present one, to return to.
    fn push_scope(&mut self) -> Rc<Scope> {
        let inner = Scope { parent: Some(Rc::clone(&self.scope)), ..Scope::default() };
        std::mem::replace(&mut self.scope, Rc::new(inner))
    }

    fn set(&self, name: &Arc<str>, value: Value) -> Result<()> {
        // No memory is charged: a scope has no more variables than the source has names, and goes soon.
        self.budget.step(1)?;
        self.scope.variables.borrow_mut().insert(Arc::clone(name), value);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<Option<Value>> {
        let mut scope = Some(&self.scope);
        while let Some(current) = scope {
            self.budget.step(1)?;
            if let Some(value) = current.variables.borrow().get(name) {
                return Ok(Some(value.clone()));
            }
            scope = current.parent.as_ref();
        }
        if let Some(value) = self.given.get(name) {
            return Ok(Some(value.clone()));
        }
        if name == "self" {
            return Ok(Some(Value::Blocks(None)));
        }
        Ok(globals::BUILTINS.iter().find(|(known, _)| *known == name).map(|(_, builtin)| Value::Builtin(*builtin)))
    }

    fn variable(&self, name: &str) -> Result<Value> {
        Ok(self.find(name)?.unwrap_or_else(|| Value::undefined(format!("'{name}' is undefined"))))
    }

    /// A thing that changes.
    pub(crate) fn new_object(&mut self, kind: ObjectKind, object: Object) -> Result<Value> {
        self.budget.make(size_of::<Object>())?;
        self.objects.push(object);
        Ok(Value::Object(self.objects.len() - 1, kind))
    }

    /// What can be iterated over once.
    pub(crate) fn generator(&mut self, items: Vec<Value>) -> Result<Value> {
        let list = crate::value::Seq::list(items)?;
        let items = self.iterate(&list)?;
        self.new_object(ObjectKind::Generator, Object::Generator { items, next: 0 })
    }
}

impl Builtin {
    /// Whether a name is that of a function that every template has.
    pub(crate) fn exists(name: &str) -> bool {
        globals::BUILTINS.iter().any(|(known, _)| *known == name)
    }
}
