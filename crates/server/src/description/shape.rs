//! Values, in the words of JSON Schema.

use serde_json::{Map, Value, json};

/// What a JSON value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// `true` or `false`.
    Boolean,
    /// A string.
    Text,
    /// A string that is not empty, of so many characters at most.
    ShortText(usize),
    /// One of these strings.
    Words(&'static [&'static str]),
    /// A whole number in this range; none is open.
    Whole(Option<i64>, Option<i64>),
    /// A number in this range; none is open.
    Number(Option<f64>, Option<f64>),
    /// A number above the first and up to the second.
    Above(f64, f64),
    /// A list of values.
    List(&'static Shape),
    /// A list with so many values at least, and at most.
    ListOf(&'static Shape, usize, usize),
    /// An object whose members all have this shape.
    Map(&'static Shape),
    /// An object with these members, and perhaps others.
    Object(&'static [Field]),
    /// An object with the members of all these lists, and perhaps others.
    Joined(&'static [&'static [Field]]),
    /// One of these.
    Either(&'static [Shape]),
    /// The value or `null`.
    OrNull(&'static Shape),
    /// A component of the document, by its name.
    Named(&'static str),
}

/// A member of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub name: &'static str,
    pub shape: Shape,
    /// What it says, in a sentence.
    pub about: &'static str,
    /// Whether it always is there.
    pub needed: bool,
}

/// A member that need not be there.
pub(crate) const fn field(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, about, needed: false }
}

impl Field {
    /// The same member, which must be there.
    pub const fn needed(self) -> Field {
        Field { needed: true, ..self }
    }

    /// The schema of its value, with what is said of it.
    pub fn schema(&self) -> Value {
        self.tell(self.shape.schema())
    }

    /// The same of a body: `null` is as good as nothing, unless something must be there.
    pub fn schema_in_body(&self) -> Value {
        self.tell(if self.needed { self.shape.schema() } else { or_null(self.shape.schema()) })
    }

    fn tell(&self, mut schema: Value) -> Value {
        if let Some(members) = schema.as_object_mut().filter(|_| !self.about.is_empty()) {
            members.insert("description".to_owned(), self.about.into());
        }
        schema
    }
}

impl Shape {
    /// The JSON Schema.
    pub fn schema(&self) -> Value {
        match *self {
            Self::Any => json!({}),
            Self::Boolean => json!({"type": "boolean"}),
            Self::Text => json!({"type": "string"}),
            Self::ShortText(most) => json!({"type": "string", "minLength": 1, "maxLength": most}),
            Self::Words(words) => json!({"type": "string", "enum": words}),
            Self::Whole(least, most) => in_range("integer", least, most),
            Self::Number(least, most) => in_range("number", least, most),
            Self::Above(least, most) => json!({"type": "number", "exclusiveMinimum": least, "maximum": most}),
            Self::List(items) => json!({"type": "array", "items": items.schema()}),
            Self::ListOf(items, least, most) => {
                json!({"type": "array", "items": items.schema(), "minItems": least, "maxItems": most})
            }
            Self::Map(members) => json!({"type": "object", "additionalProperties": members.schema()}),
            Self::Object(fields) => object(fields.iter().map(|field| (field, field.schema()))),
            Self::Joined(lists) => object(lists.iter().copied().flatten().map(|field| (field, field.schema()))),
            Self::Either(shapes) => json!({"anyOf": shapes.iter().map(Shape::schema).collect::<Vec<_>>()}),
            Self::OrNull(shape) => or_null(shape.schema()),
            Self::Named(name) => json!({"$ref": format!("#/components/schemas/{name}")}),
        }
    }
}

fn in_range(kind: &str, least: Option<impl Into<Value>>, most: Option<impl Into<Value>>) -> Value {
    let mut schema = json!({"type": kind});
    if let Some(least) = least {
        schema["minimum"] = least.into();
    }
    if let Some(most) = most {
        schema["maximum"] = most.into();
    }
    schema
}

/// The schema of an object with these members.
pub(super) fn object<'a>(fields: impl Iterator<Item = (&'a Field, Value)>) -> Value {
    let (mut properties, mut needed) = (Map::new(), Vec::new());
    for (field, schema) in fields {
        if field.needed {
            needed.push(field.name);
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if !needed.is_empty() {
        schema["required"] = json!(needed);
    }
    schema
}

/// The same, or `null`.
fn or_null(mut schema: Value) -> Value {
    if let Some(shapes) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        shapes.push(json!({"type": "null"}));
        return schema;
    }
    if schema == json!({}) {
        return schema;
    }
    let Some(kind) = schema.get("type").cloned() else { return json!({"anyOf": [schema, {"type": "null"}]}) };
    schema["type"] = json!([kind, "null"]);
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_need_not_be_there_may_be_null() {
        let schema = |shape| field("a", shape, "").schema_in_body();
        assert_eq!(schema(Shape::Boolean), json!({"type": ["boolean", "null"]}));
        assert_eq!(schema(Shape::Words(&["x"])), json!({"type": ["string", "null"], "enum": ["x", null]}));
        assert_eq!(schema(Shape::Any), json!({}));
        assert_eq!(schema(Shape::Either(&[Shape::Text])), json!({"anyOf": [{"type": "string"}, {"type": "null"}]}));
        let named = json!({"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}]});
        assert_eq!(schema(Shape::Named("A")), named);
        assert_eq!(field("a", Shape::Boolean, "b").needed().schema_in_body()["type"], "boolean");
    }

    #[test]
    fn ranges_are_bounds() {
        assert_eq!(Shape::Whole(Some(1), None).schema(), json!({"type": "integer", "minimum": 1}));
        assert_eq!(Shape::Above(0.0, 10.0).schema()["exclusiveMinimum"], 0.0);
    }
}
