//! Reading a request's body within bounds of length, time and memory, and parsing it as JSON.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::errors::ApiError;
use crate::state::AppState;

/// Body memory is counted in pieces of this many bytes, so that the count fits a semaphore.
const PERMIT_BYTES: usize = 1024;

/// What one parsed JSON value may take in memory, measured generously: the value itself, its share of the growing
/// list or map that holds it, and a small allocation.
const BYTES_PER_VALUE: usize = 160;

/// How many bytes past the limit are read and thrown away so that the client sees the answer and not a reset.
const LINGER_BYTES: usize = 64 << 20;

/// When to come back if other bodies take all the memory that bodies may have.
const BODY_MEMORY_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// The number of semaphore permits that stand for so many bytes.
pub(crate) fn permits(bytes: usize) -> usize {
    bytes.div_ceil(PERMIT_BYTES).min(Semaphore::MAX_PERMITS)
}

/// A share of the memory that bodies may take; it is given back when this is dropped.
struct Share {
    pool: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Grows the share to cover `bytes`.
    fn cover(&mut self, bytes: usize) -> Result<(), ApiError> {
        let wanted = permits(bytes);
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(missing) = wanted.checked_sub(held).filter(|more| *more > 0) else {
            return Ok(());
        };
        let more = u32::try_from(missing)
            .ok()
            .and_then(|missing| self.pool.clone().try_acquire_many_owned(missing).ok())
            .ok_or_else(|| {
                ApiError::overloaded(
                    "other requests' bodies take all the memory set aside for bodies",
                    BODY_MEMORY_RETRY,
                )
            })?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

/// A body in memory, and its share of the memory for bodies.
pub(crate) struct RawBody {
    bytes: Vec<u8>,
    share: Share,
    max_values: usize,
}

/// A parsed body, and its share of the memory for bodies.
pub(crate) struct JsonBody {
    /// What was sent.
    pub value: Value,
    _share: Share,
}

/// Reads a JSON body.
///
/// # Errors
/// 400 for another content type, 413 when it is too long, 408 when it takes too long, 503 when bodies take too much
/// memory already.
pub(crate) async fn read(state: &AppState, headers: &HeaderMap, body: Body) -> Result<RawBody, ApiError> {
    let config = state.config();
    require_json(headers)?;
    let limit = config.max_body_bytes;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    let mut share = Share { pool: state.body_memory().clone(), held: None };
    let read = async {
        let mut chunks = body.into_data_stream();
        let too_large = || ApiError::body_too_large(limit);
        if announced.is_some_and(|length| length > limit) {
            // A client that asked for leave to send (`expect: 100-continue`) gets its answer before it sends.
            if !headers.contains_key(header::EXPECT) {
                discard(&mut chunks).await;
            }
            return Err(too_large());
        }
        share.cover(announced.unwrap_or(0))?;
        let mut bytes = Vec::with_capacity(announced.unwrap_or(0));
        while let Some(chunk) = chunks.next().await {
            let chunk =
                chunk.map_err(|error| ApiError::invalid_body(format!("the body could not be read: {error}")))?;
            if bytes.len() + chunk.len() > limit {
                discard(&mut chunks).await;
                return Err(too_large());
            }
            share.cover(bytes.len() + chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    let bytes = tokio::time::timeout(config.body_timeout, read)
        .await
        .map_err(|_| ApiError::body_timeout(config.body_timeout))??;
    Ok(RawBody { bytes, share, max_values: config.max_json_values })
}

/// Reads on for a while without keeping anything.
async fn discard(chunks: &mut axum::body::BodyDataStream) {
    let mut discarded = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        discarded += chunk.len();
        if discarded > LINGER_BYTES {
            return;
        }
    }
}

/// Refuses everything but JSON. Besides clearer errors this keeps web pages from posting to a local server: a
/// browser sends `application/json` to another origin only with that origin's permission.
fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let sent = headers.get(header::CONTENT_TYPE);
    let essence = sent
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|essence| essence.trim().to_ascii_lowercase());
    let shown = match (sent, &essence) {
        (None, _) => "missing".to_owned(),
        (Some(_), None) => "not readable".to_owned(),
        (Some(_), Some(essence)) => {
            let subtype = essence.strip_prefix("application/");
            if subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json")) {
                return Ok(());
            }
            crate::openai::fields::quote(essence)
        }
    };
    Err(ApiError::invalid_value("content-type", format!("the content-type header is {shown}; send application/json")))
}

impl RawBody {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Parses the body.
    ///
    /// # Errors
    /// 400 for anything that is no JSON, or JSON with too many values or too deep; 503 as for [`read`].
    pub fn parse(mut self) -> Result<JsonBody, ApiError> {
        if self.bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(ApiError::invalid_body("the body is empty; a JSON object is expected"));
        }
        let values = count_values(&self.bytes);
        if values > self.max_values {
            return Err(ApiError::invalid_body(format!(
                "the body holds about {values} JSON values; at most {} are allowed",
                self.max_values
            )));
        }
        self.share.cover(self.bytes.len() + values * BYTES_PER_VALUE)?;
        let value = serde_json::from_slice(&self.bytes).map_err(|error| {
            let what = match std::str::from_utf8(&self.bytes) {
                Ok(_) => error.to_string(),
                Err(utf8) => format!("invalid UTF-8 at byte {}", utf8.valid_up_to()),
            };
            ApiError::invalid_body(format!("the body is not valid JSON: {what}"))
        })?;
        Ok(JsonBody { value, _share: self.share })
    }
}

/// An upper bound for the number of values in a JSON text: one more than the number of commas, colons and opening
/// brackets outside strings.
pub(crate) fn count_values(json: &[u8]) -> usize {
    let mut count = 1;
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b':' | b'[' | b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str, max_values: usize) -> RawBody {
        RawBody {
            bytes: json.as_bytes().to_vec(),
            share: Share { pool: Arc::new(Semaphore::new(permits(1 << 20))), held: None },
            max_values,
        }
    }

    fn values_in(value: &Value) -> usize {
        1 + match value {
            Value::Array(list) => list.iter().map(values_in).sum(),
            Value::Object(map) => map.values().map(values_in).sum(),
            _ => 0,
        }
    }

    #[test]
    fn the_count_never_misses_a_value() {
        for text in ["[]", "[1,2,3]", r#"{"a":[{"b":"c,[{:"},null]}"#, r#"["\"",["\\",[]]]"#] {
            let value: Value = serde_json::from_str(text).expect("JSON");
            let counted = count_values(text.as_bytes());
            assert!(counted >= values_in(&value), "{text}: {counted}");
        }
    }

    #[test]
    fn punctuation_inside_strings_is_not_counted() {
        assert_eq!(count_values(br#""a,b:[{\"[,""#), 1);
    }

    #[test]
    fn too_many_values_are_refused_before_they_are_parsed() {
        let error = raw(&format!("[{}1]", "1,".repeat(100)), 50).parse().err();
        let error = error.expect("refused");
        assert!(error.message().contains("at most 50"), "{}", error.message());
    }

    #[test]
    fn memory_is_given_back_when_the_body_is_dropped() {
        let body = raw(&format!("[{}1]", "1,".repeat(1000)), 5000);
        let pool = body.share.pool.clone();
        let before = pool.available_permits();
        let parsed = body.parse().expect("valid");
        assert!(pool.available_permits() < before);
        drop(parsed);
        assert_eq!(pool.available_permits(), before);
    }

    #[test]
    fn a_body_that_does_not_fit_the_memory_is_refused_with_a_time_to_come_back() {
        let mut body = raw("[1,2,3]", 50);
        body.share.pool = Arc::new(Semaphore::new(0));
        let error = body.parse().err().expect("refused");
        assert_eq!(error.code(), Some("server_is_overloaded"));
        assert_eq!(error.retry_after_seconds(), Some(1));
    }
}
