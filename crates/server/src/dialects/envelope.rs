//! Errors as OpenAI's clients read them.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::http::ApiError;

/// OpenAI's error envelope.
pub(crate) fn envelope(error: &ApiError) -> Value {
    let kind = match error.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "service_unavailable_error",
        StatusCode::INTERNAL_SERVER_ERROR => "server_error",
        _ => "invalid_request_error",
    };
    json!({"error": {"message": error.message(), "type": kind, "param": error.param(), "code": error.code()}})
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::response::IntoResponse;
    use parkade_core::Refusal;

    use super::*;

    const SOON: Duration = Duration::from_millis(1500);

    /// One row of the table in the design: refusal, status, type, code, param, Retry-After, x-should-retry.
    type Row = (Refusal, u16, &'static str, &'static str, Option<&'static str>, Option<&'static str>, &'static str);

    fn too_large(param: &'static str, resource: &'static str, remedy: &'static str) -> Refusal {
        Refusal::RequestTooLarge { param, resource, needed: 9, total: 8, remedy }
    }

    fn clients_fault() -> Vec<Row> {
        let invalid = "invalid_request_error";
        vec![
            (Refusal::invalid("top_p", "top_p is 2"), 400, invalid, "invalid_value", Some("top_p"), None, "false"),
            (Refusal::invalid("prompt", "no tokens"), 400, invalid, "invalid_value", Some("messages"), None, "false"),
            (
                Refusal::ContextLength { prompt_tokens: 9, limit: 8 },
                400,
                invalid,
                "context_length_exceeded",
                Some("messages"),
                None,
                "false",
            ),
            (
                too_large("prompt", "KV blocks", "--kv-cache-mb"),
                400,
                invalid,
                "request_too_large",
                Some("messages"),
                None,
                "false",
            ),
            (
                too_large("n", "sequences at once", "--max-seqs"),
                400,
                invalid,
                "request_too_large",
                Some("n"),
                None,
                "false",
            ),
        ]
    }

    fn no_place_now() -> Vec<Row> {
        let unavailable = "service_unavailable_error";
        vec![
            (
                Refusal::TenantQueueFull {
                    tenant: "a".into(),
                    waiting: 1,
                    limit: 1,
                    unit: "requests",
                    retry_after: SOON,
                },
                429,
                "rate_limit_error",
                "tenant_queue_full",
                None,
                Some("2"),
                "true",
            ),
            (
                Refusal::RateLimited { tenant: "a".into(), unit: "tokens per minute", limit: 1, retry_after: SOON },
                429,
                "rate_limit_error",
                "rate_limit_exceeded",
                None,
                Some("2"),
                "true",
            ),
            (
                Refusal::QueueFull { waiting: 1, limit: 1, unit: "requests", retry_after: Duration::from_secs(4000) },
                503,
                unavailable,
                "server_is_overloaded",
                None,
                Some("120"),
                "true",
            ),
            (
                Refusal::Deadline { estimate: SOON, allowed: Duration::ZERO },
                503,
                unavailable,
                "deadline_exceeded",
                None,
                Some("2"),
                "false",
            ),
            (
                Refusal::Draining { retry_after: Duration::ZERO },
                503,
                unavailable,
                "shutting_down",
                None,
                Some("1"),
                "true",
            ),
            (Refusal::Stopped, 503, unavailable, "engine_stopped", None, None, "false"),
        ]
    }

    #[test]
    fn each_refusal_has_its_row_of_the_table() {
        for (refusal, status, kind, code, param, retry_after, should_retry) in
            clients_fault().into_iter().chain(no_place_now())
        {
            let error = ApiError::from_refusal(refusal.clone(), "messages");
            let body = envelope(&error);
            assert_eq!(body["error"]["type"], kind, "{refusal:?}");
            assert_eq!(body["error"]["code"], code, "{refusal:?}");
            assert_eq!(body["error"]["param"].as_str(), param, "{refusal:?}");
            assert!(body["error"]["message"].as_str().is_some_and(|m| !m.is_empty()));
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), status, "{refusal:?}");
            let header = |name: &str| {
                let value = response.headers().get(name);
                value.map(|value| value.to_str().expect("text").to_owned())
            };
            assert_eq!(header("retry-after").as_deref(), retry_after, "{refusal:?}");
            assert_eq!(header("x-should-retry").as_deref(), Some(should_retry), "{refusal:?}");
            assert_eq!(header("content-type").as_deref(), Some("application/json"));
        }
    }

    #[test]
    fn a_wrong_key_is_401() {
        let error = ApiError::invalid_api_key("no such key");
        assert_eq!(error.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(envelope(&error)["error"]["type"], "authentication_error");
        assert_eq!(error.code(), "invalid_api_key");
    }
}
