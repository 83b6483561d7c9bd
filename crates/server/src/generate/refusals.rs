//! The design's table: what each refusal and failure of the engine is as an HTTP error.

use std::time::Duration;

use axum::http::StatusCode;
use parkade_core::{Refusal, RequestError};
use parkade_model::tokenizer::TokenizerError;

use crate::generate::ModelEntry;
use crate::http::{ApiError, Retry};

/// The length of a prompt that is too long, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromptLength {
    /// It was tokenised.
    Exactly(usize),
    /// It is too long in any tokenisation.
    AtLeast(usize),
}

impl ApiError {
    /// The prompt in the field `prompt` leaves no room for an answer in the model's context. The words are OpenAI's
    /// and llama.cpp's: LiteLLM, aider, Cline and others search for them, and some read the numbers.
    pub(crate) fn context_length(prompt: &str, limit: usize, length: PromptLength) -> Self {
        let (about, tokens) = match length {
            PromptLength::Exactly(tokens) => ("", tokens),
            PromptLength::AtLeast(tokens) => ("at least ", tokens),
        };
        let requested = tokens.saturating_add(1);
        Self::bad_request(
            "context_length_exceeded",
            format!(
                "This model's maximum context length is {limit} tokens. However, you requested {about}{requested} \
                 tokens ({tokens} in the {prompt}, 1 in the completion), which exceeds the available context size. Please reduce the length of the {prompt} or \
                 completion."
            ),
        )
        .with_param(prompt)
    }

    /// What a refusal at the engine's door becomes. `prompt` is the field that the prompt came from.
    pub fn from_refusal(refusal: Refusal, prompt: &'static str) -> Self {
        let message = refusal.to_string();
        let tenant_limit = |code, retry_after| Self::over_limit(code, message.clone(), Retry::After(retry_after));
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
            other => {
                tracing::error!(refusal = %other, "a refusal that has no status yet");
                Self::internal("the engine refused this request")
            }
        }
    }

    /// The code of what a failure becomes.
    pub(crate) fn code_of(error: &RequestError) -> Option<&'static str> {
        Some(match error {
            RequestError::Cancelled => "request_cancelled",
            RequestError::Superseded => "superseded",
            RequestError::Deadline { .. } => "deadline_exceeded",
            RequestError::ShuttingDown => "shutting_down",
            RequestError::Stopped => "engine_stopped",
            RequestError::Format { .. } => "format_too_complex",
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
                "request_cancelled",
                error.to_string(),
                Retry::Never,
            ),
            RequestError::Superseded => Self::new(StatusCode::CONFLICT, "superseded", error.to_string(), Retry::Never),
            // So long was not enough just now.
            RequestError::Deadline { allowed } => Self::deadline_exceeded(error.to_string(), allowed),
            RequestError::ShuttingDown => Self::shutting_down(Duration::from_secs(1)),
            RequestError::Stopped => Self::engine_stopped(),
            // The limits are the same the next time.
            RequestError::Format { .. } => Self::bad_request("format_too_complex", error.to_string()),
            // It would be so again.
            RequestError::NoLogits => {
                tracing::error!(%error, "the engine failed on a request");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Self::new(status, "internal_error", error.to_string(), Retry::Never)
            }
            _ => {
                // The details are for the operator; a client can do nothing with them.
                tracing::error!(%error, "the engine failed on a request");
                Self::internal("the engine failed on this request; it may be sent again")
            }
        }
    }
}

/// Refuses a text that is longer than the context in any tokenisation, unread: tokens take more memory than text.
pub(crate) fn refuse_hopeless(model: &ModelEntry, text: &str, param: &'static str) -> Result<(), ApiError> {
    let context = model.config.context_length;
    let fewest = text.len() / model.longest_token;
    if fewest <= context {
        return Ok(());
    }
    Err(ApiError::context_length(param, context, PromptLength::AtLeast(fewest)))
}

/// The error for a text that the tokenizer cannot express.
pub(crate) fn untokenisable(param: &'static str, error: &TokenizerError) -> ApiError {
    ApiError::invalid_value(param, format!("the prompt cannot be tokenised: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1500);

    #[test]
    fn errors_have_the_words_that_clients_search_for() {
        let message = |refusal| ApiError::from_refusal(refusal, "messages").message().to_owned();
        assert_eq!(
            message(Refusal::ContextLength { prompt_tokens: 2100, limit: 2048 }),
            "This model's maximum context length is 2048 tokens. However, you requested 2101 tokens (2100 in the \
             messages, 1 in the completion), which exceeds the available context size. Please reduce the \
             length of the messages or completion."
        );
        let too_large = Refusal::RequestTooLarge {
            param: "prompt",
            resource: "KV blocks",
            needed: 9,
            total: 8,
            remedy: "--kv-cache-mb",
        };
        assert!(message(too_large).contains("reduce the length of the prompt"));
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
            (RequestError::Superseded, 409, "superseded"),
            (RequestError::Deadline { allowed }, 503, "deadline_exceeded"),
            (RequestError::ShuttingDown, 503, "shutting_down"),
            (RequestError::NoLogits, 500, "internal_error"),
            (RequestError::Stopped, 503, "engine_stopped"),
        ] {
            assert_eq!(ApiError::code_of(&error), Some(code));
            let error = ApiError::from(error);
            assert_eq!((error.status().as_u16(), error.code()), (status, code));
        }
        let damaged = ApiError::from(RequestError::NoLogits);
        assert!(damaged.message().contains("NaN") && damaged.message().contains("download"), "{}", damaged.message());
        assert_eq!(damaged.retry(), Retry::Never);
    }
}
