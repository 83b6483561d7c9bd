//! What a client is told when something is refused or fails: a status, a code, words, and whether to come back.
//!
//! An error is a value that no API owns. A response carries it to [`write_bodies`], which writes it as the clients of the
//! request's path read errors.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parkade_core::retry_seconds;
use serde_json::Value;

/// Tells OpenAI's clients outright whether they should send the request again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Longest piece of a value that an error message repeats, in characters.
const QUOTED: usize = 60;

/// Writes an error as the clients of an API read it.
pub(crate) type ErrorBody = fn(&ApiError) -> Value;

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

/// An answer that is an error. Of what kind it is, each API says in words of its own: the status decides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    param: Option<String>,
    message: String,
    retry: Retry,
}

impl ApiError {
    /// Any error; the constructors below name the usual ones.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>, retry: Retry) -> Self {
        Self { status, code, param: None, message: message.into(), retry }
    }

    /// Names the field that is at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says more than the usual words.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The client's mistake.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message, Retry::Never)
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

    /// A field of some server's API that this server knows it cannot honour.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::bad_request("unsupported_parameter", message).with_param(param)
    }

    /// Something that is named in the path is not there.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message, Retry::Never)
    }

    /// The body is longer than the limit.
    pub fn body_too_large(limit: usize) -> Self {
        let message = format!("the request body is larger than the limit of {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message, Retry::Never)
    }

    /// The body did not arrive in time.
    pub fn body_timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message, Retry::Now)
    }

    /// No key, or a wrong one.
    pub fn invalid_api_key(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message, Retry::Never)
    }

    /// A limit that belongs to this tenant.
    pub fn over_limit(code: &'static str, message: impl Into<String>, retry: Retry) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, message, retry)
    }

    /// The server cannot take it now.
    pub fn unavailable(code: &'static str, message: impl Into<String>, retry: Retry) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message, retry)
    }

    /// The server is saturated.
    pub fn overloaded(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::unavailable("server_is_overloaded", message, Retry::After(retry_after))
    }

    /// The server is about to end; another replica may take the request.
    pub fn shutting_down(retry_after: Duration) -> Self {
        let message = "the server is shutting down and takes no new work";
        Self::unavailable("shutting_down", message, Retry::After(retry_after))
    }

    /// The engine has ended although the server has not.
    pub fn engine_stopped() -> Self {
        let message = "the engine has stopped by a fault of its own; the server must be restarted";
        Self::unavailable("engine_stopped", message, Retry::Never)
    }

    /// The deadline cannot be met, or has passed. With the same deadline it may work after `retry_after`.
    pub fn deadline_exceeded(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::unavailable("deadline_exceeded", message, Retry::IfStillWanted(retry_after))
    }

    /// The server failed. The message goes to the client: no internals in it.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message, Retry::Now)
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The machine-readable reason.
    pub fn code(&self) -> &'static str {
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

/// The head of the response. The error goes along; its body is written by `write_bodies`.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")]).into_response();
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
        response.extensions_mut().insert(self);
        response
    }
}

/// The middleware that writes the bodies of errors, by whatever API is spoken at the request's path.
pub(crate) async fn write_bodies(
    State(spoken_at): State<fn(&str) -> ErrorBody>,
    request: Request,
    next: Next,
) -> Response {
    let error_body = spoken_at(request.uri().path());
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions().get() {
        *response.body_mut() = Body::from(error_body(error).to_string());
    }
    response
}
