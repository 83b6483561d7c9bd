//! What an answer may be: OpenAI's `response_format`, and what vLLM, llama.cpp and SGLang call the same.

use parkade_core::Format;
use serde_json::Value;

use crate::dialects::fields::{Fields, wrong_type};
use crate::generate::WantedFormat;
use crate::http::{ApiError, json_fault, quote};

/// Fields that hold a format by themselves, and how it is read.
const FIELDS: [(&str, Read); 13] = [
    ("guided_json", schema),
    ("json_schema", schema),
    ("guided_regex", regex),
    ("regex", regex),
    ("guided_choice", choice),
    ("choice", choice),
    ("guided_grammar", grammar),
    ("grammar", grammar),
    ("ebnf", grammar),
    ("guided_json_object", json_object),
    ("json_mode", json_object),
    ("structured_outputs", structured_outputs),
    ("response_format", response_format),
];

/// Members of vLLM's `structured_outputs`.
const STRUCTURED: [(&str, Read); 5] =
    [("json", schema), ("regex", regex), ("choice", choice), ("grammar", grammar), ("json_object", json_object)];

type Read = fn(&Value, &str) -> Result<Option<WantedFormat>, ApiError>;

/// The one format that a body asks for, if any.
pub(crate) fn read(fields: &Fields<'_>) -> Result<Option<WantedFormat>, ApiError> {
    only_one(fields, &FIELDS)
}

fn only_one(fields: &Fields<'_>, known: &[(&str, Read)]) -> Result<Option<WantedFormat>, ApiError> {
    let mut found: Option<WantedFormat> = None;
    for (name, read) in known {
        let Some(value) = fields.get(name) else { continue };
        let path = fields.name(name);
        let Some(format) = read(value, &path)? else { continue };
        if let Some(before) = found {
            let message = format!("{path} and {} both say what the answer may be; send one of them", before.param);
            return Err(ApiError::invalid_value(path, message));
        }
        found = Some(format);
    }
    Ok(found)
}

fn wanted(format: Format, param: &str) -> Result<Option<WantedFormat>, ApiError> {
    Ok(Some(WantedFormat::new(format, param)))
}

/// A schema, as such or as text. An empty text is none.
fn schema(value: &Value, path: &str) -> Result<Option<WantedFormat>, ApiError> {
    schema_as(value, path, false)
}

fn schema_as(value: &Value, path: &str, strict: bool) -> Result<Option<WantedFormat>, ApiError> {
    let schema = match value {
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => serde_json::from_str(text)
            .map_err(|error| ApiError::invalid_value(path, format!("{path} is no JSON: {}", json_fault(&error))))?,
        Value::Object(_) | Value::Bool(_) => value.clone(),
        _ => return Err(wrong_type(path.to_owned(), value, "a JSON schema")),
    };
    wanted(Format::JsonSchema { schema, strict }, path)
}

fn text<'a>(value: &'a Value, path: &str) -> Result<Option<&'a str>, ApiError> {
    let text = value.as_str().ok_or_else(|| wrong_type(path.to_owned(), value, "a string"))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn regex(value: &Value, path: &str) -> Result<Option<WantedFormat>, ApiError> {
    match text(value, path)? {
        Some(pattern) => wanted(Format::Regex(pattern.to_owned()), path),
        None => Ok(None),
    }
}

fn choice(value: &Value, path: &str) -> Result<Option<WantedFormat>, ApiError> {
    let texts = value.as_array().ok_or_else(|| wrong_type(path.to_owned(), value, "a list of strings"))?;
    let text = |(at, text): (usize, &Value)| match text.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(wrong_type(format!("{path}[{at}]"), text, "a string")),
    };
    let texts = texts.iter().enumerate().map(text).collect::<Result<Vec<_>, _>>()?;
    if texts.is_empty() { Ok(None) } else { wanted(Format::Choice(texts), path) }
}

/// A grammar in the notation that it is written in: only GBNF has `::=`. mistral.rs sends an object that says which.
fn grammar(value: &Value, path: &str) -> Result<Option<WantedFormat>, ApiError> {
    if value.is_object() {
        let fields = Fields::at(value, path.to_owned())?;
        let known = [("regex", regex as Read), ("lark", grammar), ("json_schema", schema)];
        let read = fields.word("type", &known)?.ok_or_else(|| ApiError::missing(path, "a member type"))?;
        let name = fields.name("value");
        return read(fields.get("value").ok_or_else(|| ApiError::missing(&name, "the grammar"))?, &name);
    }
    match text(value, path)? {
        Some(text) if text.contains("::=") => wanted(Format::Gbnf(text.to_owned()), path),
        Some(text) => wanted(Format::Lark(text.to_owned()), path),
        None => Ok(None),
    }
}

fn json_object(value: &Value, path: &str) -> Result<Option<WantedFormat>, ApiError> {
    match value.as_bool() {
        Some(true) => wanted(Format::JsonObject, path),
        Some(false) => Ok(None),
        None => Err(wrong_type(path.to_owned(), value, "true or false")),
    }
}

fn structured_outputs(value: &Value, path: &str) -> Result<Option<WantedFormat>, ApiError> {
    if value == &Value::Bool(false) {
        return Ok(None);
    }
    let fields = Fields::at(value, path.to_owned())?;
    only_one(&fields, &STRUCTURED)
}

/// OpenAI's form; llama.cpp and others put a schema next to the type.
fn response_format(value: &Value, path: &str) -> Result<Option<WantedFormat>, ApiError> {
    let fields = Fields::at(value, path.to_owned())?;
    let kind = fields.string("type")?.unwrap_or("text");
    let own_schema = fields.get("schema").map(|value| schema_as(value, &fields.name("schema"), false));
    match kind {
        "text" => Ok(None),
        "json_object" => own_schema.unwrap_or_else(|| wanted(Format::JsonObject, path)),
        "json_schema" => match fields.get("json_schema") {
            Some(inner) => {
                let inner = Fields::at(inner, fields.name("json_schema"))?;
                let strict = inner.boolean("strict")?.unwrap_or(false);
                let name = inner.name("schema");
                let schema = inner.get("schema").ok_or_else(|| ApiError::missing(&name, "a JSON schema"))?;
                schema_as(schema, &name, strict)
            }
            None => own_schema
                .unwrap_or_else(|| Err(ApiError::missing(&fields.name("json_schema"), "an object with a schema"))),
        },
        other => {
            let message = format!("{path}.type is {}; allowed: text, json_object, json_schema", quote(other));
            Err(ApiError::invalid_value(fields.name("type"), message))
        }
    }
}
