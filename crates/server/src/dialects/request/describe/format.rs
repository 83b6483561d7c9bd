//! Fields that say what an answer may be. One of them at most.

use crate::description::Shape::{Any, Boolean, Either, List, Map, Object, Text, Words};
use crate::description::{Field, Shape, field};

/// A JSON schema, as such or as text.
const SCHEMA: Shape = Either(&[Map(&Any), Boolean, Text]);

/// A grammar in GBNF or Lark, or mistral.rs' object that says which.
const GRAMMAR: Shape = Either(&[
    Text,
    Object(&[field("type", Words(&["regex", "lark", "json_schema"]), "").needed(), field("value", Any, "").needed()]),
]);

const RESPONSE_FORMAT: Shape = Object(&[
    field("type", Words(&["text", "json_object", "json_schema"]), ""),
    field(
        "json_schema",
        Object(&[
            field("name", Text, ""),
            field("schema", SCHEMA, "").needed(),
            field("strict", Boolean, "Whether what cannot be enforced to the letter is refused."),
        ]),
        "",
    ),
    field("schema", SCHEMA, "llama.cpp's place for a schema."),
]);

const STRUCTURED: Shape = Either(&[
    Object(&[
        field("json", SCHEMA, ""),
        field("regex", Text, ""),
        field("choice", List(&Text), ""),
        field("grammar", GRAMMAR, ""),
        field("json_object", Boolean, ""),
    ]),
    Boolean,
]);

/// All of them.
pub(super) const FORMAT: &[Field] = &[
    field("response_format", RESPONSE_FORMAT, "JSON, or JSON by a schema."),
    field("structured_outputs", STRUCTURED, "vLLM's: one of its members says the form."),
    field("json_schema", SCHEMA, "JSON by this schema."),
    field("guided_json", SCHEMA, "JSON by this schema."),
    field("guided_json_object", Boolean, "A JSON object."),
    field("json_mode", Boolean, "A JSON object."),
    field("guided_regex", Text, "Text that matches this regular expression."),
    field("regex", Text, "Text that matches this regular expression."),
    field("guided_choice", List(&Text), "One of these texts."),
    field("choice", List(&Text), "One of these texts."),
    field("guided_grammar", GRAMMAR, "Text of this grammar."),
    field("grammar", GRAMMAR, "Text of this grammar."),
    field("ebnf", GRAMMAR, "Text of this grammar."),
];
