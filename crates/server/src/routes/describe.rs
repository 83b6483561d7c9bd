//! What is said of the paths that belong to no dialect.

use crate::description::Shape::{Any, Boolean, Either, List, Map, Named, Number, Object, OrNull, Text, Whole, Words};
use crate::description::{Answer, Component, Errors, Operation, Parameter, Place, Shape, field};

const COUNT: Shape = Whole(Some(0), None);

const MODEL: Shape = Object(&[
    field("id", Text, "").needed(),
    field("object", Words(&["model"]), "").needed(),
    field("created", COUNT, "").needed(),
    field("owned_by", Text, "").needed(),
    field("root", Text, "The model behind an alias.").needed(),
    field("max_model_len", COUNT, "Its context in tokens.").needed(),
    field("context_length", COUNT, "The same.").needed(),
    field("aliases", List(&Text), "").needed(),
    field(
        "capabilities",
        List(&Words(&["completion", "chat", "tools", "insert", "embedding", "rerank"])),
        "What it can be asked for.",
    )
    .needed(),
    field("meta", Map(&Either(&[Text, Number(None, None), Shape::OrNull(&Any)])), "").needed(),
]);

const REQUEST: Shape = Object(&[
    field("id", Text, "").needed(),
    field("object", Words(&["request"]), "").needed(),
    field("model", Text, "").needed(),
    field("state", Text, "").needed(),
    field("error", OrNull(&Any), "Why it ended, if not well.").needed(),
    field("class", Text, "").needed(),
    field("service_tier", Text, "").needed(),
    field("tenant", Text, "").needed(),
    field("supersedes", OrNull(&Text), "").needed(),
    field("place", OrNull(&COUNT), "In line; 0 is the next.").needed(),
    field("estimated_wait_ms", OrNull(&COUNT), "").needed(),
    field("prompt_tokens", COUNT, "").needed(),
    field("completion_tokens", COUNT, "").needed(),
    field("age_ms", COUNT, "").needed(),
    field("cancelled", Boolean, "Whether this cancelled it."),
]);

/// Figures: many, and more with each version. Their names are those of `/metrics`.
const FIGURES: Shape = Object(&[
    field("model", Text, "").needed(),
    field("scheduler_type", Text, "").needed(),
    field("active_workers", COUNT, "").needed(),
    field("queued_tasks", COUNT, "").needed(),
    field("available_capacity", COUNT, "").needed(),
    field("total_capacity", COUNT, "").needed(),
    field("capacity_unit", Text, "").needed(),
    field("draining", Boolean, "").needed(),
    field("max_queue_depth", COUNT, "").needed(),
    field("kv_cache_usage_perc", Number(Some(0.0), Some(1.0)), "").needed(),
    field("requests", Map(&COUNT), "By state.").needed(),
    field("sequences", Map(&COUNT), "").needed(),
    field("kv_blocks", Map(&COUNT), "").needed(),
    field("state_slots", Map(&COUNT), "").needed(),
    field("rates", Map(&Any), "Measured speeds.").needed(),
    field("classes", Map(&Any), "").needed(),
    field("tenants", Map(&Any), "").needed(),
    field("totals", Map(&Any), "Sums over requests.").needed(),
    field("work", Map(&Any), "Sums over the engine's work."),
    field("uptime_seconds", COUNT, "Of the server."),
    field("locks", List(&Map(&Any)), "The most contended."),
    field("models", List(&Map(&Any)), "The same figures of each model."),
]);

const DEED: Shape = Object(&[
    field("id", COUNT, "Later deeds have larger ones.").needed(),
    field("object", Words(&["audit.record"]), "").needed(),
    field("created_at", COUNT, "In seconds since 1970.").needed(),
    field("tenant", Text, "The key on whose account it was; empty without keys.").needed(),
    field("actor", Text, "The key's name, `anonymous` without keys, or `parkade`.").needed(),
    field("action", Text, "Such as `batch.created`.").needed(),
    field("object_id", Text, "What it was done to.").needed(),
    field("detail", Any, "More, of some deeds.").needed(),
]);

/// Parts of the document that belong to these answers.
pub(super) const COMPONENTS: &[Component] =
    &[("Model", MODEL), ("Request", REQUEST), ("Figures", FIGURES), ("AuditRecord", DEED)];

const fn in_path(name: &'static str, about: &'static str) -> Parameter {
    Parameter { place: Place::Path, name, shape: Text, about }
}

const REQUEST_ID: Parameter = in_path("id", "The `x-request-id` of its answer.");

pub(super) fn models() -> Operation {
    const ANSWER: Answer = Answer::Json(Object(&[
        field("object", Words(&["list"]), "").needed(),
        field("data", List(&Named("Model")), "").needed(),
    ]));
    Operation::new("What is loaded", Errors::Keyed, [ANSWER])
}

pub(super) fn model() -> Operation {
    Operation::new("One model", Errors::Named, [Answer::Json(Named("Model"))])
        .with(&[in_path("name", "Its name, or one of its aliases.")])
}

pub(super) fn request() -> Operation {
    Operation::new("Where a request stands", Errors::Named, [Answer::Json(Named("Request"))]).with(&[REQUEST_ID])
}

pub(super) fn cancel() -> Operation {
    Operation::new("Ends a request", Errors::Named, [Answer::Json(Named("Request"))]).with(&[REQUEST_ID])
}

pub(super) fn attach() -> Operation {
    let answers = [Answer::Events(Any), Answer::Nothing("There are no more events.")];
    Operation::new("Reads along with a request's stream", Errors::Named, answers).with(&[
        REQUEST_ID,
        Parameter { place: Place::Query, name: "from", shape: COUNT, about: "The number of the first event." },
        Parameter { place: Place::Query, name: "prompt", shape: COUNT, about: "Which of several prompts." },
        Parameter { place: Place::Header, name: "last-event-id", shape: COUNT, about: "The event before the first." },
    ])
}

const fn in_query(name: &'static str, shape: Shape, about: &'static str) -> Parameter {
    Parameter { place: Place::Query, name, shape, about }
}

pub(super) fn audit() -> Operation {
    const ANSWER: Answer = Answer::Json(Object(&[
        field("object", Words(&["list"]), "").needed(),
        field("first_id", OrNull(&COUNT), "").needed(),
        field("last_id", OrNull(&COUNT), "What to give as `before` for the next page.").needed(),
        field("has_more", Boolean, "").needed(),
        field("data", List(&Named("AuditRecord")), "").needed(),
    ]));
    Operation::new("Who did what to durable work, the newest first", Errors::Stored, [ANSWER]).with(&[
        in_query("tenant", Text, "Whose deeds: of operators any, of others their own."),
        in_query("object", Text, "The id of what they were done to."),
        in_query("limit", Whole(Some(1), Some(1000)), "How many at most; 100 unless it is said."),
        in_query("before", COUNT, "The id of a record: earlier ones only."),
    ])
}

pub(super) fn prune_audit() -> Operation {
    const ANSWER: Answer = Answer::Json(Object(&[
        field("object", Words(&["audit.pruned"]), "").needed(),
        field("before", Whole(None, None), "In seconds since 1970.").needed(),
        field("deleted", COUNT, "How many deeds were forgotten.").needed(),
    ]));
    Operation::new("Forgets old deeds; for operators", Errors::Stored, [ANSWER]).with(&[in_query(
        "before",
        Text,
        "A date of ISO 8601, or seconds since 1970. It must be there.",
    )])
}

pub(super) fn figures() -> Operation {
    Operation::new("The engine's figures as JSON", Errors::Keyed, [Answer::Json(Named("Figures"))])
}

pub(super) fn metrics() -> Operation {
    let answers = [Answer::Text("text/plain"), Answer::Text("application/openmetrics-text")];
    Operation::new("The same figures for Prometheus", Errors::Open, answers)
}

pub(super) fn live() -> Operation {
    const ANSWER: Answer = Answer::Json(Object(&[
        field("status", Words(&["ok"]), "").needed(),
        field("version", Text, "").needed(),
        field("uptime_seconds", COUNT, "").needed(),
        field("ready", Boolean, "").needed(),
        field("models", List(&Text), "").needed(),
    ]));
    Operation::new("Whether the server lives", Errors::Open, [ANSWER])
}

pub(super) fn ready() -> Operation {
    const ANSWER: Answer = Answer::Json(Object(&[field("status", Words(&["ready"]), "").needed()]));
    Operation::new("Whether the server would take a request", Errors::Open, [ANSWER])
}

pub(super) fn version() -> Operation {
    const ANSWER: Answer = Answer::Json(Object(&[field("version", Text, "").needed()]));
    Operation::new("The server's version", Errors::Open, [ANSWER])
}

pub(super) fn document() -> Operation {
    Operation::new("This description", Errors::Open, [Answer::Json(Map(&Any))])
}

pub(super) fn docs() -> Operation {
    Operation::new("This description as a page", Errors::Open, [Answer::Text("text/html")])
}
