//! What is written of a line of a batch: a line of JSON, as OpenAI's API has it.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

fn name() -> String {
    format!("batch_req_{}", Uuid::new_v4().simple())
}

/// Of a line that was answered, or refused by the path that it is for. `body` is JSON.
pub(super) fn answered(custom_id: &str, status: StatusCode, request_id: &str, body: &str) -> String {
    let (id, custom_id, request_id) = (json!(name()), json!(custom_id), json!(request_id));
    // The body is long, and JSON already.
    format!(
        r#"{{"id":{id},"custom_id":{custom_id},"response":{{"status_code":{},"request_id":{request_id},"body":{}}},"error":null}}"#,
        status.as_u16(),
        body.trim_end()
    )
}

/// Of a line that was not run. `custom_id` is null if the line does not say it.
pub(super) fn refused(custom_id: Option<&str>, line: u64, code: &str, message: &str) -> String {
    let error = json!({"code": code, "message": message, "line": line});
    json!({"id": name(), "custom_id": custom_id, "response": Value::Null, "error": error}).to_string()
}
