//! What `parkade run` holds its answers to.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parkade_core::{Engine, Format, Grammar};
use parkade_server::read_text;

use super::RunError;
use crate::args::FormArgs;

/// Compiles the form that the flags ask for, if they do.
pub(super) fn compiled(args: &FormArgs, engine: &Engine) -> Result<Option<Arc<Grammar>>, RunError> {
    let Some((flag, format)) = asked(args)? else { return Ok(None) };
    let grammar = engine.compile(&format).map_err(|error| RunError::Form { flag, reason: error.to_string() })?;
    Ok(Some(grammar))
}

/// The flag that is set, and what it says.
fn asked(args: &FormArgs) -> Result<Option<(&'static str, Format)>, RunError> {
    if let Some(given) = &args.json_schema {
        let flag = "json-schema";
        let schema = serde_json::from_str(&file_or_text(given)?).map_err(|error| {
            let reason = format!("{given:.80} is neither a file nor a schema in JSON: {error}");
            RunError::Form { flag, reason }
        })?;
        return Ok(Some((flag, Format::JsonSchema { schema, strict: false })));
    }
    if let Some(given) = &args.grammar {
        let text = file_or_text(given)?;
        let format = if text.contains("::=") { Format::Gbnf(text) } else { Format::Lark(text) };
        return Ok(Some(("grammar", format)));
    }
    if let Some(pattern) = &args.regex {
        return Ok(Some(("regex", Format::Regex(pattern.clone()))));
    }
    Ok((!args.choice.is_empty()).then(|| ("choice", Format::Choice(args.choice.clone()))))
}

/// The text of a file, if there is one of that name; else what was given.
fn file_or_text(given: &str) -> Result<String, RunError> {
    let path = Path::new(given);
    if !path.is_file() {
        return Ok(given.to_owned());
    }
    fs::File::open(path).and_then(read_text).map_err(|source| RunError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_form_is_a_file_or_stands_in_the_flag() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "{\"type\": \"integer\"}").unwrap();
        for given in [file.path().to_str().unwrap(), "{\"type\": \"integer\"}"] {
            let args = FormArgs { json_schema: Some(given.to_owned()), ..FormArgs::default() };
            let schema = json!({ "type": "integer" });
            assert_eq!(asked(&args).unwrap(), Some(("json-schema", Format::JsonSchema { schema, strict: false })));
        }
        let gbnf = FormArgs { grammar: Some("root ::= \"a\"".to_owned()), ..FormArgs::default() };
        assert!(matches!(asked(&gbnf), Ok(Some(("grammar", Format::Gbnf(_))))));
        let lark = FormArgs { grammar: Some("start: \"a\"".to_owned()), ..FormArgs::default() };
        assert!(matches!(asked(&lark), Ok(Some(("grammar", Format::Lark(_))))));
        let none = FormArgs { json_schema: Some("schema.json".to_owned()), ..FormArgs::default() };
        let error = asked(&none).unwrap_err().to_string();
        assert!(error.starts_with("--json-schema: schema.json is neither a file nor a schema"), "{error}");
        assert_eq!(asked(&FormArgs::default()).unwrap(), None);
    }
}
