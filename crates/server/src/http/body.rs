//! Reading a request's body within bounds of length, time and memory, and parsing it as JSON.

use std::error::Error;
use std::io;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;
use tokio::time::Instant;

use crate::config::ServerConfig;
use crate::http::body_memory::{BYTES_PER_VALUE, Share};
use crate::http::connection::StoodStill;
use crate::http::{ApiError, HttpState, Payer, Retry, json_fault, quote};

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

/// Reads a JSON body on the account of `payer`.
///
/// # Errors
/// 400 for another content type or a body that breaks off, 415 for another encoding, 413 when it is too long, 408 when it
/// takes too long, 429 and 503 when bodies take too much memory already. Each at once: what is still on its way is read
/// and thrown away when the connection ends.
pub(crate) async fn read(http: &HttpState, payer: Payer, headers: &HeaderMap, body: Body) -> Result<RawBody, ApiError> {
    let config = &http.config;
    require_plain(headers)?;
    require_json(headers)?;
    let limit = config.max_body_bytes;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(ApiError::body_too_large(limit));
    }
    let mut arrival = Arrival::new(body, config);
    let mut share = http.body_memory.share(payer);
    let mut bytes = Vec::new();
    while let Some(chunk) = arrival.next().await? {
        if bytes.len() + chunk.len() > limit {
            return Err(ApiError::body_too_large(limit));
        }
        make_room(&mut bytes, chunk.len(), announced.unwrap_or(limit), &mut share)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(RawBody { bytes, share, max_values: config.max_json_values })
}

/// A long body that is worked off as it comes: in pieces, which must come as quickly as those of any other.
///
/// # Errors
/// As for [`read`], of each piece; 413 behind `limit` bytes.
pub(crate) fn pieces(
    http: &HttpState,
    headers: &HeaderMap,
    body: Body,
    limit: u64,
) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + Send + use<>, ApiError> {
    require_plain(headers)?;
    let arrival = Arrival { timeout: Duration::MAX, ..Arrival::new(body, &http.config) };
    Ok(stream::try_unfold((arrival, 0), move |(mut arrival, received)| async move {
        let Some(piece) = arrival.next().await? else { return Ok(None) };
        let received = received + piece.len() as u64;
        if received > limit {
            return Err(ApiError::body_too_large(usize::try_from(limit).unwrap_or(usize::MAX)));
        }
        Ok(Some((piece, (arrival, received))))
    }))
}

/// Makes room for `more` bytes: twice as much as there was, but no more than the whole body is to be.
fn make_room(bytes: &mut Vec<u8>, more: usize, whole: usize, share: &mut Share) -> Result<(), ApiError> {
    let needed = bytes.len() + more;
    if needed > bytes.capacity() {
        let capacity = needed.max(bytes.capacity().saturating_mul(2).min(whole));
        share.cover(capacity)?;
        bytes.reserve_exact(capacity - bytes.len());
    }
    Ok(())
}

/// A body while it comes, which must not take for ever: not as a whole, and not for each part of it.
struct Arrival {
    chunks: BodyDataStream,
    began: Instant,
    timeout: Duration,
    grace: Duration,
    bytes_per_second: usize,
    received: usize,
}

impl Arrival {
    fn new(body: Body, config: &ServerConfig) -> Self {
        Self {
            chunks: body.into_data_stream(),
            began: Instant::now(),
            timeout: config.body_timeout,
            grace: config.body_grace,
            bytes_per_second: config.body_bytes_per_second,
            received: 0,
        }
    }

    /// The next part; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let earned = Duration::from_secs_f64(self.received as f64 / self.bytes_per_second as f64);
        let allowed = self.grace.saturating_add(earned);
        let too_slow = || {
            ApiError::body_timeout(match allowed < self.timeout {
                true => format!(
                    "the request body came too slowly; after a few seconds it must come with {} bytes a second",
                    self.bytes_per_second
                ),
                false => format!("the request body did not arrive within {} s", self.timeout.as_secs_f32()),
            })
        };
        let deadline = self.began + allowed.min(self.timeout);
        let chunk = tokio::time::timeout_at(deadline, self.chunks.next()).await.map_err(|_| too_slow())?;
        let chunk = chunk.transpose().map_err(|error| unreadable(&error))?;
        self.received += chunk.as_ref().map_or(0, Bytes::len);
        Ok(chunk)
    }
}

/// What a body that broke off or is not well-formed is told.
fn unreadable(error: &axum::Error) -> ApiError {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<StoodStill>()) {
            return ApiError::body_timeout(
                "the request body stood still while all connections were taken, and others waited",
            );
        }
        source = cause.source();
    }
    tracing::debug!(%error, "a body could not be read");
    ApiError::malformed(
        "the body breaks off, or is not as its head announces it; send as many bytes as content-length says, or well-formed chunks to the last",
    )
}

/// Refuses bodies that would have to be unpacked first.
fn require_plain(headers: &HeaderMap) -> Result<(), ApiError> {
    let encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    match encodings
        .map(|encoding| encoding.to_str().unwrap_or("?").trim())
        .find(|e| !e.eq_ignore_ascii_case("identity"))
    {
        Some(encoding) => {
            let message = format!("content-encoding is {}; send the body as it is", quote(encoding));
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Err(ApiError::new(status, "unsupported_content_encoding", message, Retry::Never)
                .with_param("content-encoding"))
        }
        None => Ok(()),
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
            quote(essence)
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
        self.share.cover(self.bytes.capacity() + values * BYTES_PER_VALUE)?;
        let value = serde_json::from_slice(&self.bytes).map_err(|error| {
            let what = match std::str::from_utf8(&self.bytes) {
                Ok(_) => json_fault(&error),
                Err(utf8) => format!("byte {} is not UTF-8", utf8.valid_up_to()),
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
    use crate::http::body_memory::BodyMemory;

    fn raw(json: &str, max_values: usize) -> RawBody {
        let memory = BodyMemory::with_bounds(1 << 20, 1 << 20);
        RawBody { bytes: json.as_bytes().to_vec(), share: memory.share(Payer::Address(None)), max_values }
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
    fn a_body_that_does_not_fit_the_memory_is_refused_with_a_time_to_come_back() {
        let mut body = raw("[1,2,3]", 50);
        body.share = BodyMemory::with_bounds(0, 0).share(Payer::Address(None));
        let error = body.parse().err().expect("refused");
        assert_eq!(error.code(), "server_is_overloaded");
        assert_eq!(error.retry_after_seconds(), Some(1));
    }

    #[test]
    fn memory_is_charged_as_it_is_taken_and_never_beyond_what_was_announced() {
        let mut share = BodyMemory::with_bounds(100, 100).share(Payer::Address(None));
        let mut bytes = Vec::new();
        for piece in [10, 20, 30, 40] {
            make_room(&mut bytes, piece, 100, &mut share).expect("it fits to the byte");
            bytes.resize(bytes.len() + piece, 0);
            assert!(bytes.capacity() <= 100, "{}", bytes.capacity());
        }
        assert!(make_room(&mut bytes, 1, 101, &mut share).is_err());
    }
}
