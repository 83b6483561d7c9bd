//! The OpenAPI document of all operations.

use serde_json::{Map, Value, json};

use super::operation::Operation;
use super::shape::Shape;

/// A part of the document that others name.
pub(crate) type Component = (&'static str, Shape);

/// An operation at its path.
pub(crate) struct Described<'a> {
    /// In lower case.
    pub method: &'static str,
    /// As the router has it.
    pub path: &'a str,
    /// Other paths of the same.
    pub aliases: Vec<String>,
    /// Whose API it is.
    pub tag: &'static str,
    /// The component that its errors are.
    pub envelope: &'static str,
    pub operation: &'a Operation,
}

const ABOUT: &str = "Language models on this machine, behind the APIs of OpenAI, Anthropic and llama.cpp. A body's fields are \
                     those that are read; `x-parkade-refused` lists fields of other servers that are refused unless they ask for \
                     nothing, and `x-parkade-ignored` those that change no answer. What is not named is ignored, and the header \
                     `x-parkade-ignored-fields` says so. A field that is `null` counts as absent.";

/// The OpenAPI 3.1 document.
pub(crate) fn document<'a>(operations: impl IntoIterator<Item = Described<'a>>, components: &[&[Component]]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for Described { method, path, aliases, tag, envelope, operation } in operations {
        // A router's name for the rest of a path is a name like others here.
        let path = path.replace("{*", "{");
        let id = format!("{method} {path}").replace(['/', '{', '}', ' ', '-', '.'], "_");
        let mut described = operation.describe(&id, tag, envelope);
        if !aliases.is_empty() {
            described["x-parkade-aliases"] = json!(aliases);
        }
        paths.entry(path).or_insert_with(|| json!({}))[method] = described;
    }
    let schemas: Map<String, Value> =
        components.iter().copied().flatten().map(|(name, shape)| ((*name).to_owned(), shape.schema())).collect();
    let bearer = json!({"type": "http", "scheme": "bearer", "description": "A key, if the server has any."});
    let header = json!({"type": "apiKey", "in": "header", "name": "x-api-key"});
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Parkade", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"bearer": bearer, "key": header}},
    })
}
