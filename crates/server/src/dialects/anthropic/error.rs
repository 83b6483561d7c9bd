//! Errors as Anthropic's clients read them.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::http::ApiError;

/// Anthropic's error envelope. `code` and `param` are this server's own, as in its other APIs.
pub(crate) fn envelope(error: &ApiError) -> Value {
    let kind = match error.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    };
    let told = json!({"type": kind, "message": error.message(), "code": error.code(), "param": error.param()});
    json!({"type": "error", "error": told})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_anthropics_type() {
        let error = ApiError::missing("max_tokens", "a whole number");
        let body = envelope(&error);
        assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!("invalid_request_error")));
        assert_eq!(envelope(&ApiError::engine_stopped())["error"]["type"], "overloaded_error");
        assert_eq!(envelope(&ApiError::invalid_api_key("no"))["error"]["type"], "authentication_error");
        assert_eq!(envelope(&ApiError::internal("no"))["error"]["type"], "api_error");
    }
}
