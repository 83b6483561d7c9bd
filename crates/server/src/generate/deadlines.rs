//! How soon a client wants its answer: two headers, in milliseconds.

use std::time::Duration;

use axum::http::HeaderMap;

use crate::http::{ApiError, quote};

/// How long the whole answer may take.
pub(crate) const REQUEST_TIMEOUT: &str = "x-request-timeout-ms";
/// How long the first token may take.
pub(crate) const TTFT_SLO: &str = "x-slo-ttft-ms";

/// The longest deadline: a day. Who can wait longer needs none.
const LONGEST_MS: u64 = 86_400_000;

/// A request's deadlines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// For the whole answer.
    pub timeout: Option<Duration>,
    /// For the first token.
    pub ttft_slo: Option<Duration>,
}

impl Deadlines {
    /// Reads the headers.
    ///
    /// # Errors
    /// 400 for anything but whole milliseconds from 1 to a day.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self { timeout: milliseconds(headers, REQUEST_TIMEOUT)?, ttft_slo: milliseconds(headers, TTFT_SLO)? })
    }
}

fn milliseconds(headers: &HeaderMap, name: &'static str) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    match text.trim().parse::<u64>() {
        Ok(ms) if (1..=LONGEST_MS).contains(&ms) => Ok(Some(Duration::from_millis(ms))),
        _ => Err(ApiError::invalid_value(
            name,
            format!("the header {name} is {}; allowed: whole milliseconds, 1 to {LONGEST_MS}", quote(&text)),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn with(name: &'static str, value: &str) -> Result<Deadlines, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a header"));
        Deadlines::from_headers(&headers)
    }

    #[test]
    fn both_headers_are_read_in_milliseconds() {
        let timeout = with(REQUEST_TIMEOUT, "1500").expect("valid").timeout;
        assert_eq!(timeout, Some(Duration::from_millis(1500)));
        let slo = with(TTFT_SLO, " 20 ").expect("valid").ttft_slo;
        assert_eq!(slo, Some(Duration::from_millis(20)));
    }

    #[test]
    fn anything_but_milliseconds_is_refused_by_name() {
        for bad in ["0", "-1", "1.5", "soon", "", "99999999999999999999", "86400001"] {
            let error = with(TTFT_SLO, bad).expect_err(bad);
            assert_eq!(error.param(), Some(TTFT_SLO), "{bad}");
        }
    }
}
