//! What a client is told when something is refused or fails: OpenAI's envelope, a status, and whether to come back.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use parkade_core::retry_seconds;
use serde_json::{Value, json};

/// Tells OpenAI's clients outright whether they should send the request again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Longest piece of a value that an error message repeats, in characters.
const QUOTED: usize = 60;

/// Whether sending the same request again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would be refused again.
    Never,
    /// It may work at once.
    Now,
    /// It may work after this time; sent as whole seconds, 1 to 120.
    After(Duration),
    /// As [`After`](Self::After), but clients should not do it by themselves: the answer would come too late for somebody.
    IfStillWanted(Duration),
}

/// The `type` of OpenAI's error envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// The client's mistake.
    InvalidRequest,
    /// No key, or a wrong one.
    Authentication,
    /// A limit that belongs to this tenant.
    RateLimit,
    /// The server cannot take it now.
    ServiceUnavailable,
    /// The server's mistake.
    Server,
}

impl ErrorType {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::Authentication => "authentication_error",
            Self::RateLimit => "rate_limit_error",
            Self::ServiceUnavailable => "service_unavailable_error",
            Self::Server => "server_error",
        }
    }
}

/// The length of a prompt that is too long, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptLength {
    /// It was tokenised.
    Exactly(usize),
    /// It is too long in any tokenisation.
    AtLeast(usize),
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    status: StatusCode,
    kind: ErrorType,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
    retry: Retry,
}

impl ApiError {
    /// Any error; the constructors below name the usual ones.
    pub fn new(
        status: StatusCode,
        kind: ErrorType,
        code: &'static str,
        message: impl Into<String>,
        retry: Retry,
    ) -> Self {
        Self { status, kind, code: Some(code), param: None, message: message.into(), retry }
    }

    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorType::InvalidRequest, code, message, Retry::Never)
    }

    /// Names the field that is at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The body as a whole is not what it should be.
    pub fn invalid_body(message: impl Into<String>) -> Self {
        Self::bad_request("invalid_json", message)
    }

    /// The request is not HTTP as it must be.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::bad_request("malformed_request", message)
    }

    /// A field has the wrong type.
    pub fn invalid_type(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::bad_request("invalid_type", message).with_param(param)
    }

    /// A field has a value that is not allowed.
    pub fn invalid_value(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::bad_request("invalid_value", message).with_param(param)
    }

    /// A field is not there.
    pub fn missing(param: &str, expected: &str) -> Self {
        Self::bad_request("missing_required_parameter", format!("{param} is missing; expected: {expected}"))
            .with_param(param)
    }

    /// A field of OpenAI's or another server's API that this server knows it cannot honour.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::bad_request("unsupported_parameter", message).with_param(param)
    }

    /// The prompt in the field `prompt` leaves no room for an answer in the model's context. The words are OpenAI's:
    /// LiteLLM, aider and others search for them, and some read the numbers.
    pub fn context_length(prompt: &str, limit: usize, length: PromptLength) -> Self {
        let (about, tokens) = match length {
            PromptLength::Exactly(tokens) => ("", tokens),
            PromptLength::AtLeast(tokens) => ("at least ", tokens),
        };
        let requested = tokens.saturating_add(1);
        Self::bad_request(
            "context_length_exceeded",
            format!(
                "This model's maximum context length is {limit} tokens. However, you requested {about}{requested} \
                 tokens ({tokens} in the {prompt}, 1 in the completion). Please reduce the length of the {prompt} or \
                 completion."
            ),
        )
        .with_param(prompt)
    }

    /// No model of that name.
    pub fn model_not_found(name: &str, known: &[String]) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            ErrorType::InvalidRequest,
            "model_not_found",
            format!("the model {} does not exist here; models: default, {}", quote(name), known.join(", ")),
            Retry::Never,
        )
        .with_param("model")
    }

    /// Something that is named in the path is not there.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorType::InvalidRequest, code, message, Retry::Never)
    }

    /// No such path.
    pub fn unknown_path(method: &str, path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            ErrorType::InvalidRequest,
            "unknown_url",
            format!("there is nothing at {method} {}; endpoints: {}", quote(path), crate::routes::ENDPOINTS.join(", ")),
            Retry::Never,
        )
    }

    /// The path exists, but not for this method.
    pub fn method_not_allowed(method: &str, path: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorType::InvalidRequest,
            "method_not_allowed",
            format!("{method} is not allowed for {}; the allow header names what is", quote(path)),
            Retry::Never,
        )
    }

    /// The body is longer than the limit.
    pub fn body_too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorType::InvalidRequest,
            "body_too_large",
            format!("the request body is larger than the limit of {limit} bytes"),
            Retry::Never,
        )
    }

    /// The body did not arrive in time.
    pub fn body_timeout(limit: Duration) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorType::InvalidRequest,
            "body_timeout",
            format!("the request body did not arrive within {} s", limit.as_secs_f32()),
            Retry::Now,
        )
    }

    /// The body comes more slowly than it must.
    pub fn body_too_slow(bytes_per_second: usize) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorType::InvalidRequest,
            "body_timeout",
            format!(
                "the request body came too slowly; after a few seconds it must come with {bytes_per_second} bytes a second"
            ),
            Retry::Now,
        )
    }

    /// The body stood still, and its connection was wanted for another request.
    pub fn body_stood_still() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorType::InvalidRequest,
            "body_timeout",
            "the request body stood still while all connections were taken, and others waited",
            Retry::Now,
        )
    }

    /// The body is packed.
    pub fn unsupported_encoding(encoding: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorType::InvalidRequest,
            "unsupported_content_encoding",
            format!("content-encoding is {}; send the body as it is", quote(encoding)),
            Retry::Never,
        )
        .with_param("content-encoding")
    }

    /// No key, or a wrong one.
    pub fn invalid_api_key(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorType::Authentication, "invalid_api_key", message, Retry::Never)
    }

    /// The server is saturated.
    pub fn overloaded(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorType::ServiceUnavailable,
            "server_is_overloaded",
            message,
            Retry::After(retry_after),
        )
    }

    /// The server is about to end; another replica may take the request.
    pub fn shutting_down(retry_after: Duration) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorType::ServiceUnavailable,
            "shutting_down",
            "the server is shutting down and takes no new work",
            Retry::After(retry_after),
        )
    }

    /// The port is open, but the model is still being loaded.
    pub fn model_loading() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorType::ServiceUnavailable,
            "model_loading",
            "the model is still being loaded; GET /health/ready answers 200 when it can be used",
            Retry::After(Duration::from_secs(1)),
        )
    }

    /// The engine has ended although the server has not.
    pub fn engine_stopped() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorType::ServiceUnavailable,
            "engine_stopped",
            "the engine has stopped by a fault of its own; the server must be restarted",
            Retry::Never,
        )
    }

    /// The deadline cannot be met, or has passed. With the same deadline it may work after `retry_after`.
    pub fn deadline_exceeded(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorType::ServiceUnavailable,
            "deadline_exceeded",
            message,
            Retry::IfStillWanted(retry_after),
        )
    }

    /// The server failed. The message goes to the client: no internals in it.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorType::Server, "internal_error", message, Retry::Now)
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The machine-readable reason.
    pub fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// The field at fault.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// What is wrong, in words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether to send the request again.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// OpenAI's error envelope.
    pub fn envelope(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind.name(),
            "param": self.param,
            "code": self.code,
        }})
    }

    /// `Retry-After` in whole seconds.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let (Retry::After(wait) | Retry::IfStillWanted(wait)) = self.retry else {
            return None;
        };
        Some(retry_seconds(wait))
    }
}

/// A client's text in quotes, without control characters and not at full length.
pub(crate) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED).is_some() {
        shown.push('…');
    }
    format!("'{shown}'")
}

/// The code of the error that a response carries, for the log line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorCode(pub &'static str);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.envelope())).into_response();
        let headers = response.headers_mut();
        headers.insert(
            SHOULD_RETRY,
            HeaderValue::from_static(match self.retry {
                Retry::Never | Retry::IfStillWanted(_) => "false",
                Retry::Now | Retry::After(_) => "true",
            }),
        );
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // The rest of the body is not waited for.
        if self.status == StatusCode::PAYLOAD_TOO_LARGE {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(code) = self.code {
            response.extensions_mut().insert(ErrorCode(code));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_is_401() {
        let error = ApiError::invalid_api_key("no such key");
        assert_eq!(error.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(error.envelope()["error"]["type"], "authentication_error");
        assert_eq!(error.code(), Some("invalid_api_key"));
    }
}
