//! The template engine, set up for the dialect of Hugging Face.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};
use regex::Regex;

use super::error::RaisedByTemplate;
use super::{Limits, TemplateError, date, json, python};

/// Calls of macros within calls; templates nest two or three.
const MAX_RECURSION: usize = 100;

pub(super) fn new(limits: Limits) -> Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|e| TemplateError::from_engine(&e, limits.fuel, limits.output_bytes))?);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(limits.fuel));
    environment.set_recursion_limit(MAX_RECURSION);
    environment.set_formatter(python::format);
    environment.set_unknown_method_callback(python::method);
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("string", |state: &State, value: &Value| python::to_str(state, value));
    // Python calls strings and mappings sequences and iterables too.
    environment.add_test("sequence", |value: &Value| is_collection(value) && value.kind() != ValueKind::Iterable);
    environment.add_test("iterable", is_collection);
    environment.add_function("raise_exception", |message: &Value| -> Result<Value, Error> {
        let message = message.to_string();
        Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(RaisedByTemplate(message)))
    });
    environment.add_function("strftime_now", |format: &str| date::strftime_now(format));
    Ok(environment)
}

fn is_collection(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Undefined
    )
}

/// Turns `{% generation %}` blocks, which mark the assistant's words for training, into blocks that do nothing.
pub(super) fn without_generation_tags(source: &str) -> String {
    let tag = |word: &str| {
        Regex::new(&format!(r"\{{%([-+]?)(\s*){word}(\s*)([-+]?)%\}}")).expect("a constant pattern, compiled by tests")
    };
    let opened = tag("generation").replace_all(source, "{%$1$2 if true $3$4%}");
    tag("endgeneration").replace_all(&opened, "{%$1$2 endif $3$4%}").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_tags_become_blocks_with_the_same_white_space_rules() {
        let source = "a{%- generation %}b{% endgeneration -%}\nc{% set generation = 1 %}";
        assert_eq!(without_generation_tags(source), "a{%-  if true  %}b{%  endif  -%}\nc{% set generation = 1 %}");
    }
}
