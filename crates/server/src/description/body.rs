//! Bodies: what is read of them, what is refused, and what is ignored.

use serde_json::{Value, json};

use super::shape::{Field, Shape, field, object};

/// The body of a request.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    /// The fields that are read, each as the first of the tables that has it says. One that no table has is anything.
    fields: Vec<Field>,
    /// Fields that are refused, unless they ask for nothing.
    pub refused: Vec<&'static str>,
    /// Fields that are taken and change nothing.
    pub ignored: Vec<&'static str>,
    /// Fields of which one must be there.
    one_of: &'static [&'static str],
    /// One that is answered.
    pub example: Value,
}

impl Body {
    /// A body of which these fields are read.
    pub fn reads(names: impl IntoIterator<Item = &'static str>, tables: &[&'static [Field]], example: Value) -> Body {
        let find = |name: &&'static str| tables.iter().copied().flatten().find(|field| field.name == *name).copied();
        let described = |name| find(&name).unwrap_or(field(name, Shape::Any, ""));
        let fields = names.into_iter().map(described).collect();
        Body { fields, refused: Vec::new(), ignored: Vec::new(), one_of: &[], example }
    }

    /// Fields that are refused.
    #[must_use]
    pub fn refuses(mut self, names: impl IntoIterator<Item = &'static str>) -> Body {
        self.refused.extend(names);
        self
    }

    /// Fields that are taken and change nothing.
    #[must_use]
    pub fn ignores(mut self, names: impl IntoIterator<Item = &'static str>) -> Body {
        self.ignored.extend(names);
        self
    }

    /// Fields of which one must be there.
    #[must_use]
    pub fn wants_one_of(mut self, names: &'static [&'static str]) -> Body {
        self.one_of = names;
        self
    }

    /// The JSON Schema. What is refused and ignored stands beside it, under names that OpenAPI leaves to whoever writes a description.
    pub fn schema(&self) -> Value {
        let mut schema = object(self.fields.iter().map(|field| (field, field.schema_in_body())));
        if !self.one_of.is_empty() {
            let shapes = self.one_of.iter().map(|name| {
                let field = self.fields.iter().find(|field| field.name == *name);
                let shape = field.map_or(Shape::Any, |field| field.shape);
                json!({"required": [name], "properties": {*name: shape.schema()}})
            });
            schema["anyOf"] = shapes.collect();
        }
        if !self.refused.is_empty() {
            schema["x-parkade-refused"] = json!(self.refused);
        }
        if !self.ignored.is_empty() {
            schema["x-parkade-ignored"] = json!(self.ignored);
        }
        schema
    }
}
