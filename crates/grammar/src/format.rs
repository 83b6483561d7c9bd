//! What an answer may be.

use serde_json::Value;

/// What an answer may be, as APIs ask for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Any JSON object.
    JsonObject,
    /// JSON by a schema (draft 2020-12 and before). The answer is written without white space, its properties in the order of the schema.
    JsonSchema {
        /// The schema.
        schema: Value,
        /// Whether `oneOf` must be enforced to the letter; if not, it is taken as `anyOf` where its branches cannot be told apart.
        strict: bool,
    },
    /// Text that matches a regular expression from its first to its last character.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A grammar in llama.cpp's notation; it begins at `root`.
    Gbnf(String),
    /// A grammar in Lark's notation, as llguidance has it; it begins at `start`.
    Lark(String),
    /// A grammar in Lark's notation, in which `@schemaK` stands for JSON by schema number K, written as [`Format::JsonSchema`] writes it. Places in
    /// errors are JSON pointers into the list of schemas.
    LarkWithJson {
        /// The grammar; it begins at `start`.
        lark: String,
        /// The schemas, by their numbers from 0.
        schemas: Vec<Value>,
        /// Whether each schema must be enforced to the letter. If not, what cannot be enforced of it is left out, `oneOf` is taken as `anyOf`
        /// where its branches cannot be told apart, and objects that list their properties have no others.
        strict: bool,
        /// Texts that only the model may write, as the names of functions: an answer that its limit cuts before one of them is not brought to an end,
        /// see [`Matcher::way_to_end`](crate::Matcher::way_to_end).
        chosen: Vec<String>,
    },
}

impl Format {
    /// A text that tells formats apart.
    pub(crate) fn key(&self) -> String {
        match self {
            Format::JsonObject => "object".to_owned(),
            Format::JsonSchema { schema, strict: true } => format!("strict schema {schema}"),
            Format::JsonSchema { schema, strict: false } => format!("schema {schema}"),
            Format::Regex(pattern) => format!("regex {pattern}"),
            Format::Choice(texts) => format!("choice {texts:?}"),
            Format::Gbnf(text) => format!("gbnf {text}"),
            Format::Lark(text) => format!("lark {text}"),
            Format::LarkWithJson { lark, schemas, strict, chosen } => {
                // Debug writes the texts in quotes, so they end where the schemas begin.
                format!("lark with json, strict {strict}: {lark:?} {chosen:?} {}", Value::from(schemas.clone()))
            }
        }
    }

    /// The grammar in Lark's notation, if it is one.
    pub(crate) fn lark(&self) -> Option<&str> {
        match self {
            Format::Lark(text) | Format::LarkWithJson { lark: text, .. } => Some(text),
            _ => None,
        }
    }

    /// The texts that only the model may write.
    pub(crate) fn chosen(&self) -> &[String] {
        match self {
            Format::LarkWithJson { chosen, .. } => chosen,
            _ => &[],
        }
    }

    /// The schemas in it.
    pub(crate) fn schemas(&self) -> &[Value] {
        match self {
            Format::JsonSchema { schema, .. } => std::slice::from_ref(schema),
            Format::LarkWithJson { schemas, .. } => schemas,
            _ => &[],
        }
    }

    /// Bytes of what came with the request.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Format::JsonObject => 0,
            Format::JsonSchema { schema, .. } => bytes_of(schema),
            Format::Regex(text) | Format::Gbnf(text) | Format::Lark(text) => text.len(),
            Format::Choice(texts) => texts.iter().map(|text| text.len() + 1).sum(),
            Format::LarkWithJson { lark, schemas, .. } => lark.len() + schemas.iter().map(bytes_of).sum::<usize>(),
        }
    }
}

/// About as many bytes as a value has when it is written, without writing it. What is nested deeper than serde_json reads is not asked of it.
fn bytes_of(value: &Value) -> usize {
    let mut bytes = 0;
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        bytes += 2;
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => bytes += 4,
            Value::String(text) => bytes += text.len(),
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => {
                bytes += members.keys().map(|key| key.len() + 3).sum::<usize>();
                rest.extend(members.values());
            }
        }
    }
    bytes
}
