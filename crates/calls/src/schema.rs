//! What a schema of arguments says of the kinds of values.

use serde_json::{Map, Value};

/// How many references and alternatives are followed, one inside of the other.
const DEPTH: usize = 8;

/// Kinds of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    const NONE: Kinds = Kinds(0);
    pub(crate) const STRING: Kinds = Kinds(1);
    pub(crate) const BOOLEAN: Kinds = Kinds(2);
    const NULL: Kinds = Kinds(4);
    const NUMBER: Kinds = Kinds(8);
    pub(crate) const ARRAY: Kinds = Kinds(16);
    pub(crate) const OBJECT: Kinds = Kinds(32);
    const ALL: Kinds = Kinds(63);

    /// Whether there are some that both have.
    pub(crate) fn meets(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// Those that the other has not.
    pub(crate) fn without(self, other: Kinds) -> Kinds {
        Kinds(self.0 & !other.0)
    }

    fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 & other.0)
    }

    pub(crate) fn of_value(value: &Value) -> Kinds {
        match value {
            Value::String(_) => Kinds::STRING,
            Value::Bool(_) => Kinds::BOOLEAN,
            Value::Null => Kinds::NULL,
            Value::Number(_) => Kinds::NUMBER,
            Value::Array(_) => Kinds::ARRAY,
            Value::Object(_) => Kinds::OBJECT,
        }
    }

    fn of_type(name: &Value) -> Kinds {
        match name.as_str() {
            Some("string") => Kinds::STRING,
            Some("boolean") => Kinds::BOOLEAN,
            Some("null") => Kinds::NULL,
            Some("number" | "integer") => Kinds::NUMBER,
            Some("array") => Kinds::ARRAY,
            Some("object") => Kinds::OBJECT,
            _ => Kinds::ALL,
        }
    }

    /// The kinds that a schema takes, as far as its types, values, references and alternatives say; all if they say nothing. `root` is what
    /// references are into.
    pub(crate) fn of_schema(schema: &Value, root: &Value) -> Kinds {
        Kinds::within(schema, root, DEPTH)
    }

    fn within(schema: &Value, root: &Value, depth: usize) -> Kinds {
        let Some(depth) = depth.checked_sub(1) else { return Kinds::ALL };
        let any = |values: &[Value], of: &dyn Fn(&Value) -> Kinds| values.iter().map(of).fold(Kinds::NONE, Kinds::or);
        let mut kinds = match schema.get("type") {
            Some(Value::Array(names)) => any(names, &Kinds::of_type),
            Some(name) => Kinds::of_type(name),
            None => Kinds::ALL,
        };
        if let Some(target) = referred(schema, root) {
            kinds = kinds.and(Kinds::within(target, root, depth));
        }
        if let Some(Value::Array(values)) = schema.get("enum") {
            kinds = kinds.and(any(values, &Kinds::of_value));
        }
        if let Some(value) = schema.get("const") {
            kinds = kinds.and(Kinds::of_value(value));
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(Value::Array(schemas)) = schema.get(key) {
                kinds = kinds.and(any(schemas, &|schema| Kinds::within(schema, root, depth)));
            }
        }
        if kinds == Kinds::NONE { Kinds::ALL } else { kinds }
    }
}

/// What a schema's reference points to, inside of the root.
pub(crate) fn referred<'a>(schema: &Value, root: &'a Value) -> Option<&'a Value> {
    root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
}

/// The strings that a schema takes, if it takes nothing else and says which.
pub(crate) fn strings(schema: &Value) -> Option<Vec<&str>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => only.as_str().map(|only| vec![only]),
        (None, Some(Value::Array(values))) if !values.is_empty() => values.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// The properties of a schema, and whether each is required.
pub(crate) fn properties(schema: &Value) -> Vec<(&str, &Value, bool)> {
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let members = schema.get("properties").and_then(Value::as_object);
    let is_required = |name: &str| required.contains(&name);
    members.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema, is_required(name))).collect()
}

/// Whether a schema takes properties that it does not name.
pub(crate) fn is_open(schema: &Value) -> bool {
    schema.get("additionalProperties") != Some(&Value::Bool(false))
}

/// A part of a schema as a schema of its own, with the definitions that its references are into.
pub(crate) fn part(schema: &Value, root: &Value) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    let mut members: Map<String, Value> = members.clone();
    for key in ["$defs", "definitions"] {
        if let Some(definitions) = root.get(key) {
            members.entry(key).or_insert_with(|| definitions.clone());
        }
    }
    Value::Object(members)
}

/// The outline of a schema: types, properties, items, values and alternatives, all of which can be enforced. References are written out, up to `left`
/// schemas in all.
pub(crate) fn outline(schema: &Value, root: &Value, left: &mut usize) -> Value {
    if *left == 0 {
        return Value::Bool(true);
    }
    *left -= 1;
    if let Some(target) = referred(schema, root) {
        return outline(target, root, left);
    }
    let Value::Object(members) = schema else { return Value::Bool(schema != &Value::Bool(false)) };
    let mut kept = Map::new();
    for (key, value) in members {
        let value = match (key.as_str(), value) {
            ("type", Value::Array(names)) if names.iter().all(is_type) => value.clone(),
            ("type", name) if is_type(name) => value.clone(),
            ("enum", Value::Array(values)) if !values.is_empty() => value.clone(),
            ("required", Value::Array(names)) if names.iter().all(Value::is_string) => value.clone(),
            ("const", _) | ("additionalProperties", Value::Bool(false)) => value.clone(),
            ("properties", Value::Object(properties)) => {
                properties.iter().map(|(name, schema)| (name.clone(), outline(schema, root, left))).collect()
            }
            ("items", Value::Object(_)) => outline(value, root, left),
            ("anyOf" | "oneOf", Value::Array(schemas)) if !schemas.is_empty() => {
                let schemas = schemas.iter().map(|schema| outline(schema, root, left)).collect();
                kept.insert("anyOf".to_owned(), schemas);
                continue;
            }
            _ => continue,
        };
        kept.insert(key.clone(), value);
    }
    Value::Object(kept)
}

fn is_type(name: &Value) -> bool {
    name.is_string() && Kinds::of_type(name) != Kinds::ALL
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_are_what_types_values_references_and_alternatives_say() {
        let root = json!({ "$defs": { "s": { "type": "string" }, "loop": { "$ref": "#/$defs/loop" } } });
        let of = |schema: Value| Kinds::of_schema(&schema, &root);
        assert_eq!(of(json!({ "type": "integer" })), Kinds::NUMBER);
        assert_eq!(of(json!({ "type": ["string", "null"] })), Kinds::STRING.or(Kinds::NULL));
        assert_eq!(of(json!({ "enum": ["a", "b"] })), Kinds::STRING);
        assert_eq!(of(json!({ "$ref": "#/$defs/s" })), Kinds::STRING);
        assert_eq!(of(json!({ "anyOf": [{ "$ref": "#/$defs/s" }, { "const": true }] })), Kinds(3));
        assert_eq!([of(json!({})), of(json!(true)), of(json!({ "$ref": "#/$defs/loop" }))], [Kinds::ALL; 3]);
    }

    #[test]
    fn a_part_takes_the_definitions_along() {
        let root = json!({ "$defs": { "s": {} }, "properties": { "a": { "$ref": "#/$defs/s" } }, "required": ["a"] });
        let [(name, schema, true)] = properties(&root)[..] else { panic!("a is required") };
        assert_eq!((name, part(schema, &root)), ("a", json!({ "$ref": "#/$defs/s", "$defs": { "s": {} } })));
        assert_eq!(strings(&json!({ "enum": ["a", "b"] })), Some(vec!["a", "b"]));
        assert_eq!(strings(&json!({ "enum": ["a", 1] })), None);
    }

    #[test]
    fn an_outline_has_no_more_than_can_be_enforced() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": { "type": "array", "items": { "$ref": "#/$defs/s" }, "uniqueItems": true },
                "b": { "oneOf": [{ "const": 1 }, { "type": "strange", "not": {} }] },
            },
            "required": ["a"],
            "propertyNames": { "pattern": "a" },
            "$defs": { "s": { "type": "string", "format": "uri" } },
        });
        let outlined = json!({
            "type": "object",
            "properties": {
                "a": { "type": "array", "items": { "type": "string" } },
                "b": { "anyOf": [{ "const": 1 }, {}] },
            },
            "required": ["a"],
        });
        assert_eq!(outline(&schema, &schema, &mut 100), outlined);
        let endless = json!({ "properties": { "a": { "$ref": "#" }, "b": { "$ref": "#" } } });
        let mut left = 100;
        outline(&endless, &endless, &mut left);
        assert_eq!(left, 0, "it ends");
        let circle = json!({ "$ref": "#/a", "a": { "$ref": "#" } });
        assert_eq!(outline(&circle, &circle, &mut 100), json!(true));
    }
}
