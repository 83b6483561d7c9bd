//! A request's head, checked before anything acts on it.
//!
//! The HTTP library refuses most malformed heads too, but with an empty body, and it takes some that two parsers can
//! read in two ways: a proxy in front and this server would not agree on where the next request begins (request
//! smuggling). So each head is read here first. See RFC 9112, sections 3.2 (host), 6.1 and 6.3 (length of the body).

use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri, Version, header};
use httparse::{Error, Header, Status};

use super::framing::Framing;
use crate::http::{ApiError, Retry, quote};

/// Before the number of a version in a request's first line.
const VERSION: &[u8] = b"HTTP/";

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadLimits {
    /// Its longest length in bytes.
    pub bytes: usize,
    /// Most header fields.
    pub fields: usize,
    /// The longest body, for the message about one that is far longer.
    pub body: usize,
}

/// What the bytes that have come are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// The beginning of a head.
    Partial,
    /// A head of so many bytes, and what follows it.
    Complete { length: usize, body: Option<Framing> },
}

/// Reads the head that `bytes` begin with.
///
/// # Errors
/// What is wrong with it; the connection cannot go on then.
pub(super) fn read(bytes: &[u8], limits: &HeadLimits) -> Result<Head, ApiError> {
    let mut fields = vec![httparse::EMPTY_HEADER; limits.fields];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) if length <= limits.bytes => length,
        Ok(Status::Partial) if bytes.len() < limits.bytes => return Ok(Head::Partial),
        Ok(_) => return Err(too_large(format!("the request's head is longer than {} bytes", limits.bytes))),
        Err(error) => return Err(malformed(error, bytes, limits)),
    };
    let target = request.path.unwrap_or_default();
    if Uri::try_from(target).is_err() {
        return Err(ApiError::malformed(format!("the request's target {} is not valid", quote(target))));
    }
    let version = if request.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let fields = Fields(request.headers);
    fields.check_host(version)?;
    fields.check_expectation(version)?;
    let body = fields.framing(version, limits)?;
    Ok(Head::Complete { length, body })
}

fn too_large(message: String) -> ApiError {
    ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message, Retry::Never)
}

fn malformed(error: Error, bytes: &[u8], limits: &HeadLimits) -> ApiError {
    let problem = match error {
        Error::TooManyHeaders => {
            return too_large(format!("the request has more than {} header fields", limits.fields));
        }
        Error::Version if has_a_version(bytes) => {
            return ApiError::bad_request(
                "http_version_not_supported",
                "the request's HTTP version is not supported; send HTTP/1.1",
            );
        }
        // A TLS client hello.
        _ if bytes.starts_with(&[0x16, 0x03]) => {
            "it is TLS; this server speaks plain HTTP, so use http:// and not https://"
        }
        Error::HeaderName => "the name of a header field is not valid",
        Error::HeaderValue => "the value of a header field is not valid",
        Error::NewLine => "a line does not end as it must",
        Error::Token | Error::Status | Error::Version => {
            "its first line is not 'METHOD /path HTTP/1.1'; a space in the path is written %20"
        }
    };
    ApiError::malformed(format!("the request is not HTTP: {problem}"))
}

/// Whether a request's first line is one of HTTP, of whatever version: method, target and version, and no more.
fn has_a_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    let number = words.next().and_then(|word| word.strip_prefix(VERSION)).filter(|_| words.next().is_none());
    number.is_some_and(|number| {
        let parts: Vec<&[u8]> = number.split(|byte| *byte == b'.').collect();
        parts.len() <= 2 && parts.iter().all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
    })
}

struct Fields<'a, 'b>(&'a [Header<'b>]);

impl<'b> Fields<'_, 'b> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    fn check_host(&self, version: Version) -> Result<(), ApiError> {
        let wrong = |message: &str| Err(ApiError::bad_request("invalid_host", message).with_param("host"));
        let mut hosts = self.all(header::HOST.as_str());
        match (hosts.next(), hosts.next()) {
            (Some(_), Some(_)) => wrong("the request has more than one host header; send one"),
            (None, _) if version == Version::HTTP_11 => wrong("the request has no host header; HTTP/1.1 requires one"),
            // Empty is what stands there when the target has no host either.
            (Some(host), None) if !host.is_empty() && (Authority::try_from(host).is_err() || host.contains(&b'@')) => {
                wrong("the host header is not a host with an optional port")
            }
            _ => Ok(()),
        }
    }

    fn check_expectation(&self, version: Version) -> Result<(), ApiError> {
        let known = |expected: &[u8]| expected.eq_ignore_ascii_case(b"100-continue");
        match self.all(header::EXPECT.as_str()).find(|expected| !known(expected)) {
            Some(expected) if version == Version::HTTP_11 => Err(ApiError::new(
                StatusCode::EXPECTATION_FAILED,
                "expectation_failed",
                format!("expect is {}; only 100-continue is supported", quote(&String::from_utf8_lossy(expected))),
                Retry::Never,
            )
            .with_param("expect")),
            _ => Ok(()),
        }
    }

    /// How long the body is; `None` without one.
    fn framing(&self, version: Version, limits: &HeadLimits) -> Result<Option<Framing>, ApiError> {
        let length = self.content_length(limits)?;
        let codings: Vec<String> = self
            .all(header::TRANSFER_ENCODING.as_str())
            .flat_map(|line| line.split(|byte| *byte == b','))
            .map(|coding| String::from_utf8_lossy(coding).trim().to_ascii_lowercase())
            .collect();
        if codings.is_empty() {
            return Ok(length.filter(|length| *length > 0).map(Framing::length));
        }
        let name = header::TRANSFER_ENCODING.as_str();
        let wrong = |message: &str| Err(ApiError::bad_request("invalid_transfer_encoding", message).with_param(name));
        let chunked = |coding: &String| coding == "chunked";
        let (last, before) = (codings.last().filter(|last| chunked(last)), &codings[..codings.len() - 1]);
        if version == Version::HTTP_10 {
            return wrong("HTTP/1.0 has no transfer-encoding; send content-length");
        }
        if length.is_some() {
            return wrong("the request has both transfer-encoding and content-length; send one of them");
        }
        if last.is_none() || before.iter().any(chunked) {
            return wrong("chunked must be the last transfer-encoding, and stand there once");
        }
        if let Some(coding) = before.first() {
            return Err(ApiError::new(
                StatusCode::NOT_IMPLEMENTED,
                "unsupported_transfer_encoding",
                format!("the transfer-encoding {} is not supported; send chunked alone", quote(coding)),
                Retry::Never,
            )
            .with_param(name));
        }
        Ok(Some(Framing::chunked()))
    }

    fn content_length(&self, limits: &HeadLimits) -> Result<Option<u64>, ApiError> {
        let name = header::CONTENT_LENGTH.as_str();
        let wrong = |message: String| ApiError::bad_request("invalid_content_length", message).with_param(name);
        let mut length = None;
        for text in self.all(name) {
            if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
                let shown = quote(&String::from_utf8_lossy(text));
                return Err(wrong(format!("content-length is {shown}; send the number of bytes")));
            }
            // Whole exabytes are no number of bytes that anybody means.
            let said = std::str::from_utf8(text).ok().and_then(|digits| digits.parse::<u64>().ok());
            let said = said.filter(|said| i64::try_from(*said).is_ok());
            let said = said.ok_or_else(|| ApiError::body_too_large(limits.body))?;
            if length.is_some_and(|length| length != said) {
                return Err(wrong("the request has two content-length headers that differ; send one".to_owned()));
            }
            length = Some(said);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 1000, fields: 10, body: 100 };

    fn read_text(text: &str) -> Result<Head, ApiError> {
        read(text.as_bytes(), &LIMITS)
    }

    fn with(fields: &str) -> Result<Head, ApiError> {
        read_text(&format!("POST / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n"))
    }

    /// Status, code and param of what is wrong.
    fn wrong(head: Result<Head, ApiError>) -> (u16, &'static str, Option<String>) {
        let error = head.expect_err("a refused head");
        (error.status().as_u16(), error.code(), error.param().map(str::to_owned))
    }

    #[test]
    fn a_head_is_complete_at_its_empty_line() {
        let head = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(read_text(&head[..end]), Ok(Head::Partial), "{end}");
        }
        let complete = Ok(Head::Complete { length: head.len(), body: None });
        assert_eq!(read_text(head), complete);
        assert_eq!(read_text(&format!("{head}GET")), complete);
        assert!(matches!(read_text("GET / HTTP/1.0\r\n\r\n"), Ok(Head::Complete { .. })), "HTTP/1.0 has no host");
        assert!(matches!(with("host-b: x\r\nexpect: 100-Continue\r\n"), Ok(Head::Complete { .. })));
    }

    #[test]
    fn what_follows_a_head_is_told_by_its_fields() {
        let body = |fields: &str| match with(fields).expect("valid") {
            Head::Complete { body, .. } => body,
            Head::Partial => panic!("it is complete"),
        };
        assert_eq!(body("content-length: 5\r\n"), Some(Framing::length(5)));
        assert_eq!(body("content-length: 5\r\nContent-Length: 5\r\n"), Some(Framing::length(5)));
        assert_eq!(body("content-length: 0\r\n"), None);
        assert_eq!(body("transfer-encoding: Chunked \r\n"), Some(Framing::chunked()));
    }

    #[test]
    fn a_length_that_can_be_read_in_two_ways_is_refused() {
        let length = |status| (status, "invalid_content_length", Some("content-length".to_owned()));
        for fields in [
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: 5, 5\r\n",
            "content-length: +5\r\n",
            "content-length: -5\r\n",
            "content-length: 0x5\r\n",
            "content-length:\r\n",
            "content-length: 5 6\r\n",
        ] {
            assert_eq!(wrong(with(fields)), length(400), "{fields}");
        }
        for fields in ["content-length: 99999999999999999999\r\n", "content-length: 18446744073709551615\r\n"] {
            assert_eq!(wrong(with(fields)), (413, "body_too_large", None), "{fields}");
        }
        let coding = |status, code| (status, code, Some("transfer-encoding".to_owned()));
        for fields in [
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip\r\n",
            "transfer-encoding: identity\r\n",
            "transfer-encoding:\r\n",
            "transfer-encoding: chunked, gzip\r\n",
            "transfer-encoding: chunked, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: xchunked\r\n",
        ] {
            assert_eq!(wrong(with(fields)), coding(400, "invalid_transfer_encoding"), "{fields}");
        }
        for fields in
            ["transfer-encoding: gzip, chunked\r\n", "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n"]
        {
            assert_eq!(wrong(with(fields)), coding(501, "unsupported_transfer_encoding"), "{fields}");
        }
        let old = read_text("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!(wrong(old), coding(400, "invalid_transfer_encoding"));
    }

    #[test]
    fn a_head_has_one_host() {
        let host = (400, "invalid_host", Some("host".to_owned()));
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a@b\r\n\r\n",
            "GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n",
        ] {
            assert_eq!(wrong(read_text(head)), host, "{head}");
        }
        assert!(read_text("GET http://a/ HTTP/1.1\r\nhost:\r\n\r\n").is_ok());
    }

    #[test]
    fn what_is_no_http_is_said_at_once() {
        for text in [
            "\0\u{1}\r\n",
            "GET\r\n\r\n",
            "BAD REQUEST LINE\r\n\r\n",
            "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET http:// HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /hea lth HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /a b c HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /hea lth HTTP/2.0\r\nhost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET / http/1.1\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1 \r\nhost: a\r\n\r\n",
            "GET / HTTP/one\r\nhost: a\r\n\r\n",
            "GET / HTTP/\r\nhost: a\r\n\r\n",
            "GET /\r\nx: a HTTP/2.0\r\n\r\n",
        ] {
            assert_eq!(wrong(read_text(text)), (400, "malformed_request", None), "{text}");
        }
        let tls = read(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &LIMITS).expect_err("TLS");
        assert!(tls.message().contains("http://"), "{tls}");
        for text in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET / HTTP/9.9\r\nhost: a\r\n\r\n",
            "\r\nGET /health HTTP/3\r\n\r\n",
            "GET / HTTP/2.0",
        ] {
            assert_eq!(wrong(read_text(text)), (400, "http_version_not_supported", None), "{text}");
        }
        assert_eq!(wrong(with("expect: 200-maybe\r\n")), (417, "expectation_failed", Some("expect".to_owned())));
    }

    #[test]
    fn long_heads_are_refused_before_they_end() {
        let large = (431, "headers_too_large", None);
        assert_eq!(wrong(read_text(&format!("GET /{}", "a".repeat(1000)))), large);
        assert_eq!(wrong(with(&format!("x: {}\r\n", "a".repeat(1000)))), large);
        assert_eq!(wrong(with(&"x: a\r\n".repeat(10))), large);
        assert_eq!(wrong(read_text(&"\r\n".repeat(500))), large);
        assert!(with(&"x: a\r\n".repeat(9)).is_ok());
    }
}
