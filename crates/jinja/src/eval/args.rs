//! The arguments of a call.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::value::Value;
use crate::value::lookup::truth;

/// The arguments of a call, evaluated.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) positional: Vec<Value>,
    pub(crate) named: Vec<(Arc<str>, Value)>,
}

impl Args {
    /// The arguments by the names of the parameters; those from `required` on may be left out.
    ///
    /// # Errors
    /// If there are too many or too few, or one that has no such name.
    pub(crate) fn bind<const N: usize>(
        self,
        callee: &str,
        names: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N]> {
        if self.positional.len() > N {
            let given = self.positional.len();
            return Err(Error::failed(format!("{callee}() takes at most {N} arguments ({given} given)")));
        }
        let mut bound = [const { None }; N];
        for (slot, value) in bound.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.named {
            let Some(index) = names.iter().position(|known| **known == *name) else {
                return Err(Error::failed(format!("{callee}() got an unexpected keyword argument '{name}'")));
            };
            if bound[index].replace(value).is_some() {
                return Err(Error::failed(format!("{callee}() got multiple values for argument '{name}'")));
            }
        }
        match bound.iter().take(required).position(Option::is_none) {
            Some(index) => {
                Err(Error::failed(format!("{callee}() missing 1 required positional argument: '{}'", names[index])))
            }
            None => Ok(bound),
        }
    }

    /// That there are none.
    pub(crate) fn none(self, callee: &str) -> Result<()> {
        self.bind(callee, [], 0).map(|[]| ())
    }

    /// The one argument that must be there.
    pub(crate) fn one(self, callee: &str, name: &str) -> Result<Value> {
        let [value] = self.bind(callee, [name], 1)?;
        Ok(value.unwrap_or(Value::None))
    }
}

/// An argument that is there and not `none`.
pub(crate) fn given(argument: Option<Value>) -> Option<Value> {
    argument.filter(|value| !matches!(value, Value::None))
}

/// An argument that is true or false.
pub(crate) fn flag(argument: Option<&Value>, default: bool) -> bool {
    argument.map_or(default, truth)
}

/// An argument that is a whole number.
pub(crate) fn int(argument: Option<&Value>, what: &str, default: i128) -> Result<i128> {
    argument.map_or(Ok(default), |value| value.int(what))
}
