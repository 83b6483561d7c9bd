//! What a response repeats of its request.

use serde_json::{Map, Value, json};

use crate::dialects::fields::Fields;
use crate::dialects::metadata;
use crate::generate::bytes_of;
use crate::http::ApiError;

/// About as many bytes of a request are repeated in each of its responses and several of their events.
const MOST_BYTES: usize = 4 << 20;

/// The members of a response that are its request's, with what they are if it says nothing.
pub(super) fn read(fields: &Fields<'_>, model: &str) -> Result<Map<String, Value>, ApiError> {
    // They change no answer, but what is repeated must have its type.
    for name in ["safety_identifier", "prompt_cache_key"] {
        fields.string(name)?;
    }
    fields.limit("max_tool_calls", 1)?;
    let sent = |name: &str, otherwise: Value| (name.to_owned(), fields.get(name).cloned().unwrap_or(otherwise));
    let reasoning = fields.object("reasoning")?;
    let of_reasoning = |name: &str| reasoning.and_then(|reasoning| reasoning.get(name)).cloned().unwrap_or_default();
    let mut settings = Map::from_iter([
        sent("background", false.into()),
        sent("instructions", Value::Null),
        sent("max_output_tokens", Value::Null),
        sent("max_tool_calls", Value::Null),
        ("metadata".to_owned(), metadata::read(fields)?),
        ("model".to_owned(), model.into()),
        sent("parallel_tool_calls", true.into()),
        sent("previous_response_id", Value::Null),
        ("reasoning".to_owned(), json!({"effort": of_reasoning("effort"), "summary": of_reasoning("summary")})),
        sent("safety_identifier", Value::Null),
        sent("prompt_cache_key", Value::Null),
        sent("store", true.into()),
        sent("temperature", 1.0.into()),
        ("text".to_owned(), text(fields)?),
        sent("tool_choice", "auto".into()),
        sent("tools", json!([])),
        sent("top_logprobs", 0.into()),
        sent("top_p", 1.0.into()),
        sent("truncation", "disabled".into()),
        sent("user", Value::Null),
    ]);
    let bytes = bytes_of(&Value::Object(settings.clone()));
    if bytes > MOST_BYTES {
        let message = format!(
            "instructions, tools, text and metadata take about {bytes} bytes; a response repeats them, and up to {MOST_BYTES} are taken"
        );
        let has_tools = settings["tools"].as_array().is_some_and(|tools| !tools.is_empty());
        return Err(ApiError::invalid_value(if has_tools { "tools" } else { "instructions" }, message));
    }
    // Clients read these as lists and objects only.
    for tool in settings.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(tool) = tool.as_object_mut() {
            tool.entry("strict").or_insert(Value::Bool(false));
            tool.entry("parameters").or_insert_with(|| json!({}));
        }
    }
    Ok(settings)
}

fn text(fields: &Fields<'_>) -> Result<Value, ApiError> {
    let mut text = fields.object("text")?.cloned().unwrap_or_default();
    text.entry("format").or_insert_with(|| json!({"type": "text"}));
    Ok(text.into())
}
