//! Files and batches as JSON.

use parkade_store::{Batch, BatchState, File, Outcome};
use serde_json::{Value, json};

/// Seconds since 1970 of milliseconds since then.
fn seconds(millis: i64) -> i64 {
    millis.div_euclid(1000)
}

/// A file.
pub(super) fn file(file: &File) -> Value {
    json!({
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": seconds(file.created_at),
        "expires_at": file.expires_at.map(seconds),
        "filename": file.name,
        "purpose": file.purpose.name(),
        "status": "processed",
        "status_details": Value::Null,
        "sha256": file.sha256,
    })
}

/// Where a batch stands: what it has done until it was cancelled is written while it is still being cancelled.
fn status(batch: &Batch) -> BatchState {
    match (batch.state, batch.outcome) {
        (BatchState::Finalizing, Outcome::Cancelled) => BatchState::Cancelling,
        (state, _) => state,
    }
}

/// A batch.
pub(super) fn batch(batch: &Batch) -> Value {
    let errors: Value = serde_json::from_str(&batch.errors).unwrap_or_default();
    let errors = match errors.as_array() {
        Some(errors) if !errors.is_empty() => json!({"object": "list", "data": errors}),
        _ => Value::Null,
    };
    let metadata: Value = serde_json::from_str(&batch.metadata).unwrap_or_default();
    json!({
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": errors,
        "input_file_id": batch.input_file,
        "completion_window": batch.completion_window,
        "status": status(batch).name(),
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "created_at": seconds(batch.created_at),
        "in_progress_at": batch.in_progress_at.map(seconds),
        "expires_at": seconds(batch.expires_at),
        "finalizing_at": batch.finalizing_at.map(seconds),
        "completed_at": batch.completed_at.map(seconds),
        "failed_at": batch.failed_at.map(seconds),
        "expired_at": batch.expired_at.map(seconds),
        "cancelling_at": batch.cancelling_at.map(seconds),
        "cancelled_at": batch.cancelled_at.map(seconds),
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "metadata": metadata,
    })
}

/// A part of a list of objects.
pub(super) fn list(members: Vec<Value>, has_more: bool) -> Value {
    let id = |member: Option<&Value>| member.map(|member| member["id"].clone()).unwrap_or_default();
    json!({
        "object": "list",
        "first_id": id(members.first()),
        "last_id": id(members.last()),
        "data": members,
        "has_more": has_more,
    })
}
