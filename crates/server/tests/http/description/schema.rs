//! Whether a value keeps to a schema: as much of JSON Schema as the description uses.

use serde_json::{Value, json};

/// Whether objects may have members that are not described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    Allowed,
    Refused,
}

/// A document with its components.
#[derive(Debug, Clone, Copy)]
pub struct Checker<'a> {
    pub document: &'a Value,
    pub others: Others,
}

impl Checker<'_> {
    /// Checks a value, which stands at `path`.
    pub fn check(self, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
        check(self, schema, value, path)
    }
}

fn check(document: Checker<'_>, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let found = document.document.pointer(name.trim_start_matches('#'));
        let found = found.ok_or_else(|| format!("{path}: there is no {name}"))?;
        return check(document, found, value, path);
    }
    if let Some(shapes) = schema["anyOf"].as_array().filter(|_| schema.get("properties").is_none()) {
        let problems: Vec<String> =
            shapes.iter().filter_map(|shape| check(document, shape, value, path).err()).collect();
        return if problems.len() < shapes.len() { Ok(()) } else { Err(problems.join(" | ")) };
    }
    check_kind(schema, value, path)?;
    check_range(schema, value, path)?;
    match value {
        Value::Array(items) if schema.get("items").is_some() => {
            let each = |(i, item)| check(document, &schema["items"], item, &format!("{path}[{i}]"));
            items.iter().enumerate().try_for_each(each)
        }
        Value::Object(_) => check_members(document, schema, value, path),
        _ => Ok(()),
    }
}

fn check_kind(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let kinds = match &schema["type"] {
        Value::Null => return Ok(()),
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let is = |kind: &Value| match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => is_whole,
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => panic!("no such type: {kind}"),
    };
    match kinds.iter().any(is) {
        true => Ok(()),
        false => Err(format!("{path} is {value} and not {}", schema["type"])),
    }
}

fn check_range(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let number = value.as_f64();
    let bound = |name: &str| schema[name].as_f64().zip(number);
    let length = value.as_array().map(Vec::len).or(value.as_str().map(|text| text.chars().count()));
    let entries = |name: &str| schema[name].as_u64().zip(length.map(|length| length as u64));
    let is_out = bound("minimum").is_some_and(|(least, is)| is < least)
        || bound("exclusiveMinimum").is_some_and(|(least, is)| is <= least)
        || bound("maximum").is_some_and(|(most, is)| is > most)
        || ["minItems", "minLength"].iter().any(|name| entries(name).is_some_and(|(least, is)| is < least))
        || ["maxItems", "maxLength"].iter().any(|name| entries(name).is_some_and(|(most, is)| is > most))
        || schema["enum"].as_array().is_some_and(|words| !words.contains(value));
    if is_out { Err(format!("{path} is {value}, out of {schema}")) } else { Ok(()) }
}

fn check_members(document: Checker<'_>, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let members = value.as_object().expect("an object");
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            return Err(format!("{path} has no {name}: {value}"));
        }
    }
    let others = schema.get("additionalProperties").cloned();
    let is_open = schema.get("properties").is_none() && others.is_none();
    for (name, member) in members.iter().filter(|_| !is_open) {
        let described = schema["properties"].get(name).cloned().or_else(|| others.clone());
        match described {
            Some(described) => check(document, &described, member, &format!("{path}.{name}"))?,
            None if document.others == Others::Allowed => {}
            None => return Err(format!("{path}.{name} is not described")),
        }
    }
    Ok(())
}

#[test]
fn values_that_do_not_keep_to_a_schema_are_told() {
    let document = json!({"a": {"type": "string", "minLength": 1}});
    let object = json!({
        "type": "object", "required": ["x"],
        "properties": {"x": {"$ref": "#/a"}, "y": {"anyOf": [{"type": "integer", "maximum": 3}, {"type": "null"}]}},
    });
    let checker = Checker { document: &document, others: Others::Refused };
    let is_right = |value: Value| checker.check(&object, &value, "body").is_ok();
    assert!(is_right(json!({"x": "a", "y": 3})) && is_right(json!({"x": "a", "y": null})));
    for value in [
        json!({}),
        json!({"x": ""}),
        json!({"x": 5}),
        json!({"x": "a", "y": 4}),
        json!({"x": "a", "y": 0.5}),
        json!({"x": "a", "z": 1}),
        json!([]),
    ] {
        assert!(!is_right(value.clone()), "{value}");
    }
    let open = Checker { others: Others::Allowed, ..checker };
    assert!(open.check(&object, &json!({"x": "a", "z": 1}), "body").is_ok());
    let list = json!({"type": "array", "items": {"type": "boolean"}, "maxItems": 1});
    assert!(checker.check(&list, &json!([true]), "body").is_ok());
    assert!(checker.check(&list, &json!([true, true]), "body").is_err());
    assert!(checker.check(&list, &json!([1]), "body").is_err());
}
