//! The functions that a model may call.

use std::collections::HashSet;
use std::sync::Arc;

use parkade_calls::Function;
use serde_json::{Map, Value, json};

use crate::http::{ApiError, quote};

/// The most functions in one request.
const MOST: usize = 1024;

/// The longest name of a function, in bytes. OpenAI allows 64.
const LONGEST_NAME: usize = 256;

/// Which of the functions are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// None: the model is not told of them.
    None,
    /// Those that the model chooses, or none.
    #[default]
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// What a request says of tools.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    functions: Vec<Described>,
    pub choice: Choice,
    /// Whether one answer may hold several calls.
    pub parallel: bool,
    /// The field that they came in.
    pub param: &'static str,
}

#[derive(Clone, Debug)]
struct Described {
    function: Function,
    /// As templates read it.
    tool: Value,
    /// Whether it may be called: only some of those that are described may be.
    allowed: bool,
}

impl Tools {
    /// None.
    pub fn none(param: &'static str) -> Self {
        Self { functions: Vec::new(), choice: Choice::Auto, parallel: true, param }
    }

    /// Adds a function. `tool` is how templates read it: an object with `type` and `function`.
    pub fn add(&mut self, function: Function, tool: Value, path: &str) -> Result<(), ApiError> {
        if self.functions.len() == MOST {
            let message = format!("{} has more than {MOST} functions; send fewer", self.param);
            return Err(ApiError::invalid_value(self.param, message));
        }
        check_function_name(&function.name, path)?;
        self.functions.push(Described { function, tool, allowed: true });
        Ok(())
    }

    /// Adds a function in the form of APIs that have no envelope around it.
    pub fn add_bare(&mut self, function: Function, path: &str) -> Result<(), ApiError> {
        let mut described = Map::new();
        described.insert("name".into(), function.name.as_str().into());
        described.extend(function.description.as_deref().map(|text| ("description".into(), text.into())));
        described.insert("parameters".into(), function.parameters.clone());
        let tool = json!({"type": "function", "function": described});
        self.add(function, tool, path)
    }

    /// Refuses functions of one name, and choices of functions that are not there.
    pub fn check(&self, choice_param: &str) -> Result<(), ApiError> {
        let mut names = HashSet::new();
        if let Some(twice) = self.functions.iter().find(|one| !names.insert(one.function.name.as_str())) {
            let message = format!("{} has two functions of the name {}", self.param, quote(&twice.function.name));
            return Err(ApiError::invalid_value(self.param, message));
        }
        match &self.choice {
            Choice::Named(name) if !names.contains(name.as_str()) => Err(self.unknown(name, choice_param)),
            Choice::Required if self.functions.is_empty() => {
                let message = format!("{choice_param} asks for a call, but there is no function in {}", self.param);
                Err(ApiError::invalid_value(choice_param, message))
            }
            _ => Ok(()),
        }
    }

    /// Lets only some of them be called; all stay described, so that the prompt stays the same.
    pub fn allow_only(&mut self, names: &[String], choice_param: &str) -> Result<(), ApiError> {
        if let Some(name) = names.iter().find(|name| self.functions.iter().all(|one| one.function.name != **name)) {
            return Err(self.unknown(name, choice_param));
        }
        for one in &mut self.functions {
            one.allowed = names.contains(&one.function.name);
        }
        Ok(())
    }

    fn unknown(&self, name: &str, choice_param: &str) -> ApiError {
        let known: Vec<_> = self.functions.iter().take(8).map(|one| quote(&one.function.name)).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message =
            format!("{choice_param} names {}, which is no function in {}; there: {known}", quote(name), self.param);
        ApiError::invalid_value(choice_param, message)
    }

    /// Whether the model is told of any.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty() || self.choice == Choice::None
    }

    /// As templates read them.
    pub fn described(&self) -> Option<Value> {
        let tools = || self.functions.iter().map(|one| one.tool.clone()).collect();
        (!self.is_empty()).then(|| Value::Array(tools()))
    }

    /// All that the model is told of.
    pub fn functions(&self) -> Vec<Function> {
        self.functions.iter().map(|one| one.function.clone()).collect()
    }

    /// Those that may be called.
    pub fn callable(&self) -> Arc<[Function]> {
        let allowed = self.functions.iter().filter(|one| one.allowed && self.choice != Choice::None);
        allowed.map(|one| one.function.clone()).collect()
    }
}

/// Refuses names that no model could write in one line.
fn check_function_name(name: &str, path: &str) -> Result<(), ApiError> {
    if !name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("{path} is {}; allowed: 1 to {LONGEST_NAME} bytes without control characters", quote(name));
    Err(ApiError::invalid_value(path, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(names: &[&str]) -> Tools {
        let mut tools = Tools::none("tools");
        for name in names {
            let function =
                Function { name: (*name).to_owned(), description: None, parameters: json!({}), strict: false };
            tools.add_bare(function, "tools[0].function.name").expect("a name");
        }
        tools
    }

    #[test]
    fn a_choice_is_of_what_is_there() {
        let mut tools = tools(&["a", "b"]);
        for choice in [Choice::None, Choice::Auto, Choice::Required, Choice::Named("b".into())] {
            tools.choice = choice;
            assert_eq!(tools.check("tool_choice"), Ok(()));
        }
        tools.choice = Choice::Named("c".into());
        let error = tools.check("tool_choice").expect_err("not there");
        assert_eq!(error.param(), Some("tool_choice"));
        assert!(error.message().contains("'a', 'b'"), "{}", error.message());
        assert!(tools.allow_only(&["c".into()], "tool_choice").is_err());
    }

    #[test]
    fn what_may_not_be_called_is_described_all_the_same() {
        let mut tools = tools(&["a", "b"]);
        assert_eq!(tools.allow_only(&["b".into()], "tool_choice"), Ok(()));
        assert_eq!(tools.callable().len(), 1);
        assert_eq!(tools.described().and_then(|tools| tools.as_array().map(Vec::len)), Some(2));
    }

    #[test]
    fn with_none_the_model_is_not_told() {
        let mut tools = tools(&["a"]);
        tools.choice = Choice::None;
        assert_eq!((tools.described(), tools.callable().len()), (None, 0));
    }

    #[test]
    fn names_are_refused_that_cannot_be_written() {
        assert!(tools(&["a", "a"]).check("tool_choice").is_err(), "twice");
        for name in ["", "a\nb", &"x".repeat(257)] {
            assert!(check_function_name(name, "tools[0].function.name").is_err(), "{name:?}");
        }
    }
}
