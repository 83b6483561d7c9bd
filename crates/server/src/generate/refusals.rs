//! The design's table: what each refusal and failure of the engine is as an HTTP error.

use std::time::Duration;

use axum::http::StatusCode;
use parkade_core::{Refusal, RequestError};

use crate::http::error::{ApiError, ErrorType, PromptLength, Retry};

impl ApiError {
    /// What a refusal at the engine's door becomes. `prompt` is the field that the prompt came from.
    pub fn from_refusal(refusal: Refusal, prompt: &'static str) -> Self {
        let message = refusal.to_string();
        let tenant_limit = |code, retry_after| {
            Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                ErrorType::RateLimit,
                code,
                message.clone(),
                Retry::After(retry_after),
            )
        };
        match refusal {
            Refusal::Invalid { param, message } if param == "prompt" => Self::invalid_value(prompt, message),
            Refusal::Invalid { param, message } => Self::invalid_value(param, message),
            Refusal::ContextLength { prompt_tokens, limit } => {
                Self::context_length(prompt, limit, PromptLength::Exactly(prompt_tokens))
            }
            Refusal::RequestTooLarge { param, .. } => Self::bad_request("request_too_large", message)
                .with_param(if param == "prompt" { prompt } else { param }),
            Refusal::QueueFull { retry_after, .. } => Self::overloaded(message, retry_after),
            Refusal::TenantQueueFull { retry_after, .. } => tenant_limit("tenant_queue_full", retry_after),
            Refusal::RateLimited { retry_after, .. } => tenant_limit("rate_limit_exceeded", retry_after),
            Refusal::Deadline { estimate, allowed } => {
                Self::deadline_exceeded(message, estimate.saturating_sub(allowed))
            }
            Refusal::Draining { retry_after } => Self::shutting_down(retry_after),
            Refusal::Stopped => Self::engine_stopped(),
        }
    }
}

impl ApiError {
    /// The code of what a failure becomes.
    pub(crate) fn code_of(error: &RequestError) -> Option<&'static str> {
        Some(match error {
            RequestError::Cancelled => "request_cancelled",
            RequestError::Deadline { .. } => "deadline_exceeded",
            RequestError::ShuttingDown => "shutting_down",
            RequestError::Stopped => "engine_stopped",
            _ => "internal_error",
        })
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match error {
            // 499 is what proxies log for a request that its sender gave up; no standard status says it.
            RequestError::Cancelled => Self::new(
                StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
                ErrorType::InvalidRequest,
                "request_cancelled",
                error.to_string(),
                Retry::Never,
            ),
            // So long was not enough just now.
            RequestError::Deadline { allowed } => Self::deadline_exceeded(error.to_string(), allowed),
            RequestError::ShuttingDown => Self::shutting_down(Duration::from_secs(1)),
            RequestError::Stopped => Self::engine_stopped(),
            RequestError::NoRoom
            | RequestError::NoLogits
            | RequestError::Forward { .. }
            | RequestError::Text { .. }
            | RequestError::Panicked { .. } => {
                // The details are for the operator; a client can do nothing with them.
                tracing::error!(%error, "the engine failed on a request");
                Self::internal("the engine failed on this request; it may be sent again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    const SOON: Duration = Duration::from_millis(1500);

    /// One row of the table in the design: refusal, status, type, code, param, Retry-After, x-should-retry.
    type Row = (Refusal, u16, &'static str, &'static str, Option<&'static str>, Option<&'static str>, &'static str);

    fn too_large(param: &'static str, resource: &'static str, remedy: &'static str) -> Refusal {
        Refusal::RequestTooLarge { param, resource, needed: 9, total: 8, remedy }
    }

    fn table() -> Vec<Row> {
        let invalid = "invalid_request_error";
        let unavailable = "service_unavailable_error";
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
        for (refusal, status, kind, code, param, retry_after, should_retry) in table() {
            let error = ApiError::from_refusal(refusal.clone(), "messages");
            let envelope = error.envelope();
            assert_eq!(envelope["error"]["type"], kind, "{refusal:?}");
            assert_eq!(envelope["error"]["code"], code, "{refusal:?}");
            assert_eq!(envelope["error"]["param"].as_str(), param, "{refusal:?}");
            assert!(envelope["error"]["message"].as_str().is_some_and(|m| !m.is_empty()));
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
    fn errors_have_the_words_that_clients_search_for() {
        let message = |refusal| ApiError::from_refusal(refusal, "messages").message().to_owned();
        assert_eq!(
            message(Refusal::ContextLength { prompt_tokens: 2100, limit: 2048 }),
            "This model's maximum context length is 2048 tokens. However, you requested 2101 tokens (2100 in the \
             messages, 1 in the completion). Please reduce the length of the messages or completion."
        );
        assert!(message(too_large("prompt", "KV blocks", "--kv-cache-mb")).contains("reduce the length of the prompt"));
        let rate = Refusal::RateLimited { tenant: "a".into(), unit: "tokens per minute", limit: 5, retry_after: SOON };
        assert_eq!(message(rate), "Rate limit reached for tenant 'a': 5 tokens per minute. Please try again in 2s.");
        let full = Refusal::QueueFull { unit: "requests", waiting: 1, limit: 1, retry_after: SOON };
        assert!(message(full).contains("overloaded"));
    }

    #[test]
    fn a_message_and_its_header_say_the_same_time_to_come_back() {
        for wait in [0, 1, 1500, 59_999, 119_500, 131_000, 4_000_000].map(Duration::from_millis) {
            let tenant = || "a".to_owned();
            for refusal in [
                Refusal::QueueFull { unit: "requests", waiting: 1, limit: 1, retry_after: wait },
                Refusal::TenantQueueFull { tenant: tenant(), unit: "tokens", waiting: 1, limit: 1, retry_after: wait },
                Refusal::RateLimited { tenant: tenant(), unit: "tokens per minute", limit: 1, retry_after: wait },
            ] {
                let error = ApiError::from_refusal(refusal, "messages");
                let mut numbers = error.message().split(|letter: char| !letter.is_ascii_digit());
                let said = numbers.rfind(|digits| !digits.is_empty()).expect("a number");
                assert_eq!(said.parse().ok(), error.retry_after_seconds(), "{wait:?}: {error}");
            }
        }
    }

    #[test]
    fn a_failure_of_the_engine_keeps_its_details_to_itself() {
        let error = ApiError::from(RequestError::Forward { message: "/secret/path".into() });
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(error.retry(), Retry::Now);
        assert!(!error.message().contains("secret"));
    }

    #[test]
    fn each_end_of_a_running_request_has_its_status() {
        let allowed = SOON;
        for (error, status, code) in [
            (RequestError::Cancelled, 499, "request_cancelled"),
            (RequestError::Deadline { allowed }, 503, "deadline_exceeded"),
            (RequestError::ShuttingDown, 503, "shutting_down"),
            (RequestError::NoLogits, 500, "internal_error"),
            (RequestError::Stopped, 503, "engine_stopped"),
        ] {
            assert_eq!(ApiError::code_of(&error), Some(code));
            let error = ApiError::from(error);
            assert_eq!((error.status().as_u16(), error.code()), (status, Some(code)));
        }
    }
}
