//! Objects that list their properties are held to them, where nothing depends on others.
//!
//! JSON Schema lets an object have any further properties unless `additionalProperties` is false, and most schemas of functions do not say it.
//! A small model takes the chance: it adds properties that nobody reads, for as long as it may. Without them the arguments are as valid, and end.
//! So do integers that have as many digits as other programs read exactly (RFC 8259, section 6), where a schema has no bounds for them.

use serde_json::{Map, Value};

/// The largest integer up to which all are told apart as numbers of double precision.
const LARGEST: i64 = (1 << 53) - 1;

/// Bounds the integers of a prepared schema that have no bounds, and closes its objects that name their properties and say nothing of others. A schema that puts objects together of parts
/// (`allOf`, or alternatives or a reference beside properties) is left as it is: what one part does not name, another may.
pub(crate) fn close(schema: &mut Value) {
    let mut is_of_parts = false;
    visit(schema, &mut |members| is_of_parts |= puts_together(members));
    if is_of_parts {
        return;
    }
    visit(schema, &mut |members| {
        if names_all(members) {
            members.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        bound_integer(members);
    });
}

/// Gives an integer the bounds that it lacks, unless it is of another order of size.
fn bound_integer(members: &mut Map<String, Value>) {
    if members.get("type").and_then(Value::as_str) != Some("integer")
        || ["enum", "const", "multipleOf"].iter().any(|key| members.contains_key(*key))
    {
        return;
    }
    let found = |members: &Map<String, Value>, keys: [&str; 2]| {
        let [inclusive, exclusive] = keys.map(|key| members.get(key).and_then(Value::as_f64));
        inclusive.or(exclusive)
    };
    let (least, most) = (["minimum", "exclusiveMinimum"], ["maximum", "exclusiveMaximum"]);
    let (from, to) = (found(members, least), found(members, most));
    let is_within = |bound: Option<f64>| bound.is_none_or(|bound| bound.abs() < LARGEST as f64);
    if !is_within(from) || !is_within(to) {
        return;
    }
    if from.is_none() {
        members.insert("minimum".to_owned(), (-LARGEST).into());
    }
    if to.is_none() {
        members.insert("maximum".to_owned(), LARGEST.into());
    }
}

/// Whether several keywords say together which properties an object has.
fn puts_together(members: &Map<String, Value>) -> bool {
    let has = |key: &&str| members.contains_key(*key);
    let of_objects = ["properties", "patternProperties", "additionalProperties", "required", "minProperties"];
    has(&"allOf") || (["anyOf", "oneOf", "$ref"].iter().any(has) && of_objects.iter().any(has))
}

/// Whether an object names its properties, the required ones too, and says nothing of others.
fn names_all(members: &Map<String, Value>) -> bool {
    let Some(Value::Object(properties)) = members.get("properties") else { return false };
    let others = ["additionalProperties", "patternProperties", "minProperties"];
    let mut required = members.get("required").and_then(Value::as_array).into_iter().flatten();
    !others.iter().any(|key| members.contains_key(*key))
        && required.all(|name| name.as_str().is_some_and(|name| properties.contains_key(name)))
}

/// Shows each schema inside of another one, and itself; its depth has been checked.
fn visit(schema: &mut Value, see: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Value::Object(members) = schema else { return };
    see(members);
    for (key, value) in members.iter_mut() {
        match (key.as_str(), value) {
            ("items" | "additionalProperties", schema) => visit(schema, see),
            ("prefixItems" | "allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(|schema| visit(schema, see));
            }
            ("properties" | "patternProperties" | "$defs", Value::Object(schemas)) => {
                schemas.values_mut().for_each(|schema| visit(schema, see));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn closed(mut schema: Value) -> Value {
        close(&mut schema);
        schema
    }

    #[test]
    fn objects_that_name_their_properties_have_no_others() {
        let inner = json!({ "properties": { "b": {} }, "required": ["b"] });
        let schema = json!({
            "properties": { "list": { "items": inner }, "one": { "anyOf": [inner, { "type": "null" }] } },
            "$defs": { "0": { "properties": {} } },
        });
        let closed = closed(schema);
        for object in ["", "/properties/list/items", "/properties/one/anyOf/0", "/$defs/0"] {
            let object = closed.pointer(object).unwrap();
            assert_eq!(object["additionalProperties"], json!(false), "{object}");
        }
        assert_eq!(closed.pointer("/properties/one/anyOf/1"), Some(&json!({ "type": "null" })));
    }

    #[test]
    fn integers_without_bounds_have_those_of_exact_numbers() {
        let with = |from: i64, to: i64| json!({ "type": "integer", "minimum": from, "maximum": to });
        assert_eq!(closed(json!({ "type": "integer" })), with(-LARGEST, LARGEST));
        assert_eq!(closed(json!({ "type": "integer", "minimum": 3 })), with(3, LARGEST));
        for schema in [
            json!({ "type": "integer", "minimum": 10u64.pow(17) }),
            json!({ "type": "integer", "enum": [10u64.pow(17)] }),
            json!({ "type": "number" }),
        ] {
            assert_eq!(closed(schema.clone()), schema);
        }
    }

    #[test]
    fn what_may_need_further_properties_stays_open() {
        for schema in [
            json!({ "type": "object" }),
            json!({ "properties": { "a": {} }, "additionalProperties": { "type": "string" } }),
            json!({ "properties": { "a": {} }, "patternProperties": { "^x": {} } }),
            json!({ "properties": { "a": {} }, "required": ["b"] }),
            json!({ "properties": { "a": {} }, "minProperties": 2 }),
            json!({ "allOf": [{ "properties": { "a": {} } }, { "properties": { "b": {} } }] }),
            json!({ "properties": { "a": {} }, "anyOf": [{ "properties": { "b": {} } }] }),
            json!({ "properties": { "a": { "$ref": "#/$defs/0", "required": ["b"] } }, "$defs": { "0": { "properties": {} } } }),
            json!({ "const": { "properties": {} } }),
        ] {
            assert_eq!(closed(schema.clone()), schema);
        }
    }
}
