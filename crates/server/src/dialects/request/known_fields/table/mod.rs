//! The table: fields that are treated alike in one row, rows of one subject together.

mod answer;
mod plain;
mod prompt;
mod sampling;

use super::Nothing::{EmptyText, False};
use super::Place::Both;
use super::{Adjusts, Row, adjusts, harmless, read, refused};

/// All fields of both endpoints.
pub(super) const KNOWN: &[&[Row]] =
    &[plain::ROWS, sampling::ROWS, sampling::PENALTIES, answer::ENDS, answer::FORM, answer::MEMBERS, prompt::ROWS];

/// The members of fields that are objects.
pub(super) const NESTED: &[(&str, &[Row])] = &[
    (
        "stream_options",
        &[
            read(Both, &["include_usage", "continuous_usage_stats"]),
            // OpenAI's padding against listeners; there is none here.
            harmless(Both, &["include_obfuscation"]),
            adjusts(USAGE, Both, &["chunk_include_usage"], &[False], "use continuous_usage_stats"),
        ],
    ),
    ("response_format", &[read(Both, &["type", "json_schema", "schema"])]),
    (
        "structured_outputs",
        &[
            read(Both, &["json", "regex", "choice", "grammar", "json_object"]),
            refused(Both, &["structural_tag"], &[EmptyText], "use json, regex, choice or grammar"),
            // How white space and fallbacks are: answers by a schema have no white space.
            harmless(Both, &["whitespace_pattern", "disable_any_whitespace", "disable_additional_properties"]),
            harmless(Both, &["disable_fallback"]),
        ],
    ),
];

const USAGE: Adjusts = &[(&["include_usage"], &[False])];
