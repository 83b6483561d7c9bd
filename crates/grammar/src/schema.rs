//! Schemas, checked and rewritten before the parser sees them.
//!
//! What cannot be enforced is refused with its place; what says nothing about the answer is dropped; `$ref` is resolved here, so that every reference
//! that is left names one of the schema's own `$defs`. Nothing is fetched.

use std::collections::HashMap;

use llguidance::derivre::RegexBuilder;
use llguidance::regex_to_lark;
use serde_json::{Map, Value, json};

use crate::closed::close;
use crate::{GrammarError, Limits};

/// Keywords with a schema, a list of schemas, or schemas by name.
const SCHEMA: [&str; 3] = ["items", "additionalItems", "additionalProperties"];
const LISTS: [&str; 4] = ["prefixItems", "allOf", "anyOf", "oneOf"];
const NAMED: [&str; 2] = ["properties", "patternProperties"];

/// Keywords with a count.
const COUNTS: [&str; 6] = ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

/// Keywords whose values are kept as they are.
const PLAIN: [&str; 10] = [
    "type",
    "enum",
    "const",
    "required",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// Keywords that would have to be enforced, and cannot be.
const UNSUPPORTED: [&str; 10] = [
    "not",
    "if",
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];

/// Formats of strings that are enforced; others are annotations.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];

/// The most properties of an object: any of them may come next.
const MOST_PROPERTIES: usize = 2000;

/// How deep references of `oneOf` are written out.
const WRITTEN_OUT: usize = 4;

/// How closely a schema must be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// To the letter.
    Strict,
    /// `oneOf` is `anyOf` where its branches cannot be told apart.
    Usual,
    /// And what cannot be enforced is left out; objects that list their properties have no others.
    Loose,
}

impl Care {
    pub(crate) fn strict_or(strict: bool, otherwise: Care) -> Care {
        if strict { Care::Strict } else { otherwise }
    }
}

/// What stands for the schema of a reference; in a new document it is `#/$defs/NUMBER`.
struct Rewriting<'a> {
    root: &'a Value,
    limits: &'a Limits,
    care: Care,
    /// Where references point to, by their pointer, in the order in which they were found.
    targets: Vec<(String, &'a Value)>,
    numbers: HashMap<String, usize>,
    anchors: HashMap<&'a str, String>,
    schemas: usize,
    /// References that are being written out, one inside of the other.
    written_out: Vec<String>,
}

/// The schema as the parser is to have it. Its depth has been checked.
pub(crate) fn prepare(schema: &Value, care: Care, limits: &Limits) -> Result<Value, GrammarError> {
    let mut rewriting = Rewriting {
        root: schema,
        limits,
        care,
        targets: Vec::new(),
        numbers: HashMap::new(),
        anchors: anchors(schema),
        schemas: 0,
        written_out: Vec::new(),
    };
    let root = rewriting.schema(schema, "")?;
    let mut definitions = Map::new();
    while let Some((pointer, target)) = rewriting.targets.get(definitions.len()).cloned() {
        let definition = rewriting.schema(target, &pointer)?;
        definitions.insert(definitions.len().to_string(), definition);
    }
    let Value::Object(mut root) = root else { return Ok(root) };
    root.insert("$defs".to_owned(), Value::Object(definitions));
    root.insert(
        "x-guidance".to_owned(),
        json!({ "whitespace_flexible": false, "coerce_one_of": care != Care::Strict }),
    );
    let mut root = Value::Object(root);
    if care == Care::Loose {
        close(&mut root);
    }
    Ok(root)
}

/// Refuses what is nested so deeply that to walk it could take a thread's stack.
pub(crate) fn check_depth(schema: &Value, most: usize) -> Result<(), GrammarError> {
    let mut rest = vec![(schema, 0)];
    while let Some((value, depth)) = rest.pop() {
        if depth > most {
            return Err(GrammarError::new(format!("the schema is nested more than {most} levels deep")));
        }
        match value {
            Value::Array(items) => rest.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => rest.extend(members.values().map(|member| (member, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

/// The pointers of all that has a name of its own.
fn anchors(schema: &Value) -> HashMap<&str, String> {
    let mut found = HashMap::new();
    let mut rest = vec![(schema, String::new())];
    while let Some((value, pointer)) = rest.pop() {
        let Value::Object(members) = value else {
            if let Value::Array(items) = value {
                rest.extend(items.iter().enumerate().map(|(at, item)| (item, format!("{pointer}/{at}"))));
            }
            continue;
        };
        if let Some(name) = members.get("$anchor").and_then(Value::as_str) {
            found.insert(name, pointer.clone());
        }
        rest.extend(members.iter().map(|(key, member)| (member, below(&pointer, key))));
    }
    found
}

/// The pointer of a member.
fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

impl<'a> Rewriting<'a> {
    fn schema(&mut self, schema: &'a Value, pointer: &str) -> Result<Value, GrammarError> {
        self.schemas += 1;
        if self.schemas > self.limits.schemas {
            return Err(GrammarError::new(format!("the schema has more than {} parts", self.limits.schemas)));
        }
        let members = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(members) => members,
            _ if self.care == Care::Loose => return Ok(Value::Bool(true)),
            _ => return Err(GrammarError::at(pointer, "a schema is an object or a boolean")),
        };
        let mut kept = Map::new();
        for (key, value) in members {
            match self.keyword(key, value, members, &below(pointer, key)) {
                Ok(keyword) => kept.extend(keyword),
                Err(_) if self.care == Care::Loose => {}
                Err(error) => return Err(error),
            }
        }
        // A list of `items` is what `prefixItems` is called now.
        if kept.get("items").is_some_and(Value::is_array) && !kept.contains_key("prefixItems") {
            let items = kept.shift_remove("items").unwrap_or_default();
            kept.insert("prefixItems".to_owned(), items);
            if let Some(rest) = kept.shift_remove("additionalItems") {
                kept.insert("items".to_owned(), rest);
            }
        } else {
            kept.shift_remove("additionalItems");
        }
        if pointer.is_empty() || !members.contains_key("$id") || self.care == Care::Loose {
            return Ok(Value::Object(kept));
        }
        Err(GrammarError::at(&below(pointer, "$id"), "a schema with an `$id` inside of another one is not supported"))
    }

    /// A keyword of a schema as it is kept, if it says anything.
    fn keyword(
        &mut self,
        key: &str,
        value: &'a Value,
        members: &Map<String, Value>,
        place: &str,
    ) -> Result<Option<(String, Value)>, GrammarError> {
        let kept = if SCHEMA.contains(&key) && !value.is_array() {
            self.schema(value, place)?
        } else if LISTS.contains(&key) || key == "items" || key == "additionalItems" {
            self.list(key, value, place)?
        } else if NAMED.contains(&key) {
            self.named(value, place, key == "patternProperties")?
        } else if key == "$ref" {
            Value::String(self.reference(value, place)?)
        } else if COUNTS.contains(&key) {
            self.count(value, place)?
        } else if key == "format" {
            return format_of(value, place);
        } else if PLAIN.contains(&key) {
            check_plain(key, value, place)?;
            value.clone()
        } else {
            refuse(key, value, members, place)?;
            return Ok(None);
        };
        Ok(Some((key.to_owned(), kept)))
    }

    fn list(&mut self, key: &str, value: &'a Value, place: &str) -> Result<Value, GrammarError> {
        let items = value.as_array().ok_or_else(|| GrammarError::at(place, "this must be a list of schemas"))?;
        let mut kept = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            kept.push(match item.get("$ref").filter(|_| key == "oneOf" && is_reference_alone(item)) {
                Some(reference) => self.branch(reference, item, &format!("{place}/{at}"))?,
                None => self.schema(item, &format!("{place}/{at}"))?,
            });
        }
        Ok(Value::Array(kept))
    }

    /// A branch of `oneOf` that is a reference, written out: whether branches exclude each other is seen in what they are, not in their names.
    fn branch(&mut self, reference: &'a Value, item: &'a Value, place: &str) -> Result<Value, GrammarError> {
        let (target, pointer) = self.target(reference, &below(place, "$ref"))?;
        if self.written_out.len() >= WRITTEN_OUT || self.written_out.contains(&pointer) {
            return self.schema(item, place);
        }
        self.written_out.push(pointer.clone());
        let written = self.schema(target, &pointer);
        self.written_out.pop();
        written
    }

    fn named(&mut self, value: &'a Value, place: &str, patterns: bool) -> Result<Value, GrammarError> {
        let members = value.as_object().ok_or_else(|| GrammarError::at(place, "this must be an object of schemas"))?;
        if members.len() > MOST_PROPERTIES {
            let message = format!("it has {} members; up to {MOST_PROPERTIES} are taken", members.len());
            return Err(GrammarError::at(place, message));
        }
        let mut kept = Map::new();
        for (key, member) in members {
            let place = below(place, key);
            if patterns {
                check_pattern(key, &place)?;
            }
            kept.insert(key.clone(), self.schema(member, &place)?);
        }
        Ok(Value::Object(kept))
    }

    fn count(&self, value: &Value, place: &str) -> Result<Value, GrammarError> {
        let whole = value.as_f64().filter(|count| count.fract() == 0.0 && *count >= 0.0);
        let count = whole.ok_or_else(|| GrammarError::at(place, format!("{value} is no count")))?;
        if count > self.limits.count as f64 {
            let message = format!("{value} is too large; counts up to {} are taken", self.limits.count);
            return Err(GrammarError::at(place, message));
        }
        Ok(Value::from(count as u64))
    }

    /// The reference by which the new document knows what a reference points to.
    fn reference(&mut self, reference: &'a Value, place: &str) -> Result<String, GrammarError> {
        let (target, pointer) = self.target(reference, place)?;
        let next = self.targets.len();
        let number = *self.numbers.entry(pointer.clone()).or_insert(next);
        if number == next {
            if next >= self.limits.references {
                let message = format!("the schema refers to more than {} places", self.limits.references);
                return Err(GrammarError::at(place, message));
            }
            self.targets.push((pointer, target));
        }
        Ok(format!("#/$defs/{number}"))
    }

    /// What a reference points to, and its pointer.
    fn target(&self, reference: &'a Value, place: &str) -> Result<(&'a Value, String), GrammarError> {
        let text = reference.as_str().ok_or_else(|| GrammarError::at(place, "a reference is a string"))?;
        let own = self.root.get("$id").and_then(Value::as_str).map(|id| id.trim_end_matches('#'));
        let fragment = match text.split_once('#') {
            Some((base, fragment)) if base.is_empty() || Some(base) == own => fragment,
            None if Some(text) == own => "",
            _ => {
                let message =
                    format!("{text:.80} is outside of the schema; put it under `$defs` and refer to it there");
                return Err(GrammarError::at(place, message));
            }
        };
        let fragment = decode_percent(fragment);
        let named = self.anchors.get(fragment.as_str()).filter(|_| !fragment.starts_with('/'));
        let pointer = named.cloned().unwrap_or(fragment);
        let target = if pointer.is_empty() || pointer.starts_with('/') { self.root.pointer(&pointer) } else { None };
        match target {
            Some(target) => Ok((target, pointer)),
            None => Err(GrammarError::at(place, format!("{text:.80} points to nothing in the schema"))),
        }
    }
}

/// Whether nothing but a reference and annotations is there.
fn is_reference_alone(schema: &Value) -> bool {
    let annotations = ["$ref", "title", "description", "$comment", "default", "examples", "deprecated"];
    schema.as_object().is_some_and(|members| members.keys().all(|key| annotations.contains(&key.as_str())))
}

/// Checks a keyword's value as far as its kind goes.
fn check_plain(key: &str, value: &Value, place: &str) -> Result<(), GrammarError> {
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let expected = match key {
        "type" if is_type(value) || value.as_array().is_some_and(|types| types.iter().all(is_type)) => return Ok(()),
        "type" => "a type, or a list of types (null, boolean, integer, number, string, array, object)",
        "enum" if value.as_array().is_some_and(|values| !values.is_empty()) => return Ok(()),
        "enum" => "a list of one value or more",
        "required" if value.as_array().is_some_and(|names| names.iter().all(Value::is_string)) => return Ok(()),
        "required" => "a list of names",
        "pattern" => match value.as_str() {
            Some(pattern) => return check_pattern(pattern, place),
            None => "a string",
        },
        "multipleOf" if value.as_f64().is_some_and(|number| number > 0.0) => return Ok(()),
        "multipleOf" => "a number above 0",
        "const" => return Ok(()),
        _ if value.is_number() || (key.starts_with("exclusive") && value.is_boolean()) => return Ok(()),
        _ => "a number",
    };
    Err(GrammarError::at(place, format!("`{key}` must be {expected}")))
}

fn check_pattern(pattern: &str, place: &str) -> Result<(), GrammarError> {
    let mut builder = RegexBuilder::new();
    match builder.mk_regex_for_serach(&regex_to_lark(pattern, "dw")) {
        Ok(_) => Ok(()),
        Err(error) => Err(GrammarError::at(place, GrammarError::said(error).reason)),
    }
}

fn format_of(value: &Value, place: &str) -> Result<Option<(String, Value)>, GrammarError> {
    let name = value.as_str().ok_or_else(|| GrammarError::at(place, "a format is a string"))?;
    Ok(FORMATS.contains(&name).then(|| ("format".to_owned(), value.clone())))
}

/// Refuses a keyword that would have to be enforced. What says nothing as it stands is left out, as are annotations.
fn refuse(key: &str, value: &Value, members: &Map<String, Value>, place: &str) -> Result<(), GrammarError> {
    let says_nothing = match key {
        "uniqueItems" => value == &Value::Bool(false),
        "if" => !members.contains_key("then") && !members.contains_key("else"),
        "not" => value == &Value::Bool(false),
        "dependentRequired" | "dependentSchemas" | "dependencies" => value.as_object().is_some_and(Map::is_empty),
        "contains" => false,
        _ => value == &Value::Bool(true),
    };
    if (UNSUPPORTED.contains(&key) && !says_nothing) || key == "$dynamicRef" || key == "$recursiveRef" {
        return Err(GrammarError::at(place, format!("`{key}` cannot be enforced; leave it out")));
    }
    Ok(())
}

/// A URI's fragment without its percent signs.
fn decode_percent(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
