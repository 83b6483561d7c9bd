//! `include` and `stream_options`: what an answer is to say besides. Nothing of it changes an answer here, but what is sent is checked.

use serde_json::Value;

use crate::dialects::fields::{Fields, wrong_type};
use crate::generate::IgnoredFields;
use crate::http::{ApiError, quote};

const INCLUDE: &str = "include";
const STREAM_OPTIONS: &str = "stream_options";

/// What `include` may name. All but thoughts belong to tools and contents that are not here; thoughts are sent as they are.
pub(super) const INCLUDABLE: &[&str] = &[
    "reasoning.encrypted_content",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "message.input_image.image_url",
];

/// What `include` may name elsewhere, and what to do here instead.
const LOGPROBS: &str = "message.output_text.logprobs";

/// Members of `stream_options`.
const OPTIONS: &[&str] = &["include_obfuscation", "include_usage"];

/// Checks both.
pub(super) fn check(fields: &Fields<'_>, ignored: &mut IgnoredFields) -> Result<(), ApiError> {
    for (i, value) in fields.list(INCLUDE)?.into_iter().flatten().enumerate() {
        includable(value, format!("{INCLUDE}[{i}]"))?;
    }
    let Some(options) = fields.get(STREAM_OPTIONS) else { return Ok(()) };
    let options = Fields::at(options, fields.name(STREAM_OPTIONS))?;
    for name in OPTIONS {
        options.boolean(name)?;
    }
    let unknown = options.members().filter(|(name, _)| !OPTIONS.contains(name));
    unknown.for_each(|(name, _)| ignored.add(|| options.name(name)));
    Ok(())
}

fn includable(value: &Value, path: String) -> Result<(), ApiError> {
    match value.as_str() {
        Some(name) if INCLUDABLE.contains(&name) => Ok(()),
        Some(LOGPROBS) => {
            let message =
                format!("{path} is {LOGPROBS}, which is not supported here; use /v1/chat/completions with logprobs");
            Err(ApiError::unsupported(&path, message))
        }
        Some(other) => {
            let message = format!("{path} is {}; allowed: {}", quote(other), INCLUDABLE.join(", "));
            Err(ApiError::invalid_value(path, message))
        }
        None => Err(wrong_type(path, value, "a string")),
    }
}
