//! What is said of files and batches.

use serde_json::json;

use super::create::READ;
use crate::description::Shape::{List, Map, Named, Object, OrNull, Text, Whole, Words};
use crate::description::{Answer, Body, Component, Errors, Field, Operation, Parameter, Place, Shape, field};

const COUNT: Shape = Whole(Some(0), None);
const TIME: Shape = OrNull(&COUNT);

const FILE: Shape = Object(&[
    field("id", Text, "").needed(),
    field("object", Words(&["file"]), "").needed(),
    field("bytes", COUNT, "").needed(),
    field("created_at", COUNT, "In seconds since 1970.").needed(),
    field("expires_at", TIME, "When it may be forgotten.").needed(),
    field("filename", Text, "").needed(),
    field("purpose", Words(&["batch", "batch_output", "user_data"]), "").needed(),
    field("status", Words(&["processed"]), "").needed(),
    field("status_details", OrNull(&Text), "").needed(),
    field("sha256", Text, "Of its content, in hex.").needed(),
]);

const FAULT: Shape = Object(&[
    field("code", Text, "").needed(),
    field("line", TIME, "The line of the file, from 1.").needed(),
    field("message", Text, "").needed(),
    field("param", OrNull(&Text), "").needed(),
]);

const STATES: Shape =
    Words(&["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]);

const BATCH: Shape = Object(&[
    field("id", Text, "").needed(),
    field("object", Words(&["batch"]), "").needed(),
    field("endpoint", Text, "").needed(),
    field(
        "errors",
        OrNull(&Object(&[field("object", Words(&["list"]), "").needed(), field("data", List(&FAULT), "").needed()])),
        "What was wrong with the file: the first hundred faults.",
    )
    .needed(),
    field("input_file_id", Text, "").needed(),
    field("completion_window", Text, "").needed(),
    field("status", STATES, "").needed(),
    field("output_file_id", OrNull(&Text), "The file of answers.").needed(),
    field("error_file_id", OrNull(&Text), "The file of what failed.").needed(),
    field("created_at", COUNT, "In seconds since 1970, as all times.").needed(),
    field("in_progress_at", TIME, "").needed(),
    field("expires_at", COUNT, "").needed(),
    field("finalizing_at", TIME, "").needed(),
    field("completed_at", TIME, "").needed(),
    field("failed_at", TIME, "").needed(),
    field("expired_at", TIME, "").needed(),
    field("cancelling_at", TIME, "").needed(),
    field("cancelled_at", TIME, "").needed(),
    field(
        "request_counts",
        Object(&[
            field("total", COUNT, "").needed(),
            field("completed", COUNT, "").needed(),
            field("failed", COUNT, "").needed(),
        ]),
        "",
    )
    .needed(),
    field("metadata", OrNull(&Map(&Text)), "").needed(),
]);

/// Parts of the document that belong to files and batches.
pub(super) const COMPONENTS: &[Component] = &[("File", FILE), ("Batch", BATCH)];

const FORM: &[Field] = &[
    field("file", Text, "The file; up to 200 MB.").needed(),
    field("purpose", Words(&["batch", "user_data"]), "`batch` for requests of a batch.").needed(),
    field("expires_after[anchor]", Words(&["created_at"]), ""),
    field("expires_after[seconds]", Whole(Some(3600), Some(2_592_000)), "After how many seconds it may be forgotten."),
];

const FIELDS: &[Field] = &[
    field("input_file_id", Text, "A file of purpose `batch`: a request on each line.").needed(),
    field(
        "endpoint",
        Words(&["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]),
        "The path that all its lines are for.",
    )
    .needed(),
    field("completion_window", Text, "`24h`, or another number of s, m, h or d: what has not run then expires.")
        .needed(),
    field("metadata", Map(&Text), "Up to 16 texts, which the batch repeats."),
    field(
        "output_expires_after",
        Object(&[
            field("anchor", Words(&["created_at"]), ""),
            field("seconds", Whole(Some(3600), Some(2_592_000)), ""),
        ]),
        "After how many seconds the files that it writes may be forgotten.",
    ),
];

const ID: Parameter = Parameter { place: Place::Path, name: "id", shape: Text, about: "Its `id`." };

const fn query(name: &'static str, shape: Shape, about: &'static str) -> Parameter {
    Parameter { place: Place::Query, name, shape, about }
}

const fn list_of(members: &'static Shape) -> [Field; 5] {
    [
        field("object", Words(&["list"]), "").needed(),
        field("first_id", OrNull(&Text), "").needed(),
        field("last_id", OrNull(&Text), "").needed(),
        field("data", List(members), "").needed(),
        field("has_more", Shape::Boolean, "").needed(),
    ]
}

/// Sending a file.
pub(super) fn upload() -> Operation {
    Operation::new("Keeps a file", Errors::Stored, [Answer::Json(Named("File"))]).form(FORM)
}

/// All files of a key.
pub(super) fn list_files() -> Operation {
    const MEMBERS: [Field; 5] = list_of(&Named("File"));
    Operation::new("The files of this key", Errors::Stored, [Answer::Json(Object(&MEMBERS))]).with(&[
        query("purpose", Words(&["batch", "batch_output", "user_data"]), "Only those."),
        query("limit", Whole(Some(1), Some(10_000)), "How many files."),
        query("order", Words(&["asc", "desc"]), "The newest first, if it is not there."),
        query("after", Text, "The `id` of the file before the first one."),
    ])
}

/// One of them.
pub(super) fn file() -> Operation {
    Operation::new("A file", Errors::Stored, [Answer::Json(Named("File"))]).with(&[ID])
}

/// Its content.
pub(super) fn content() -> Operation {
    Operation::new("The content of a file", Errors::Stored, [Answer::Text("application/octet-stream")]).with(&[ID])
}

/// Forgetting it.
pub(super) fn delete_file() -> Operation {
    const ANSWER: Answer = Answer::Json(Object(&[
        field("id", Text, "").needed(),
        field("object", Words(&["file"]), "").needed(),
        field("deleted", Shape::Boolean, "").needed(),
    ]));
    Operation::new("Forgets a file", Errors::Stored, [ANSWER]).with(&[ID])
}

/// A batch that is wanted.
pub(super) fn create() -> Operation {
    let example = json!({"input_file_id": "file-0", "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let body = Body::reads(READ, &[FIELDS], example);
    Operation::new("Runs the requests of a file when nobody waits", Errors::Stored, [Answer::Json(Named("Batch"))])
        .body(body)
}

/// All batches of a key.
pub(super) fn list_batches() -> Operation {
    const MEMBERS: [Field; 5] = list_of(&Named("Batch"));
    Operation::new("The batches of this key, the newest first", Errors::Stored, [Answer::Json(Object(&MEMBERS))]).with(
        &[
            query("limit", Whole(Some(1), Some(100)), "How many batches."),
            query("after", Text, "The `id` of the batch before the first one."),
        ],
    )
}

/// One of them.
pub(super) fn batch() -> Operation {
    Operation::new("A batch", Errors::Stored, [Answer::Json(Named("Batch"))]).with(&[ID])
}

/// Ending it.
pub(super) fn cancel() -> Operation {
    Operation::new("Ends a batch; what has run of it is written", Errors::Stored, [Answer::Json(Named("Batch"))])
        .with(&[ID])
}
