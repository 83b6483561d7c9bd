//! How a tenant stands with its limits, as OpenAI's `x-ratelimit-*` headers say it.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    /// How much there is in a minute.
    pub limit: u64,
    /// How much of it is left now.
    pub remaining: u64,
    /// When all of it is there again if nothing more is used.
    pub reset: Duration,
}

/// A tenant's limits, as far as it has any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Requests per minute.
    pub requests: Option<Meter>,
    /// Tokens per minute.
    pub tokens: Option<Meter>,
}

/// The names of the headers: limit, remaining, reset.
const REQUESTS: [&str; 3] =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKENS: [&str; 3] = ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];

/// All headers that [`Standing::write`] may write.
pub(crate) fn rate_limit_header_names() -> impl Iterator<Item = &'static str> {
    REQUESTS.into_iter().chain(TOKENS)
}

impl Standing {
    /// Adds the headers for the limits that there are.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        for (names, meter) in [(REQUESTS, self.requests), (TOKENS, self.tokens)] {
            let Some(meter) = meter else { continue };
            let [limit, remaining, reset] = names.map(HeaderName::from_static);
            headers.insert(limit, HeaderValue::from(meter.limit));
            headers.insert(remaining, HeaderValue::from(meter.remaining));
            if let Ok(text) = HeaderValue::from_str(&in_words(meter.reset)) {
                headers.insert(reset, text);
            }
        }
    }
}

/// A duration as OpenAI writes it: `0s`, `17ms`, `8.64s`, `6m0s`, `1h0m0s`; rounded up to milliseconds.
fn in_words(duration: Duration) -> String {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    let (hours, minutes, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    if (1..1000).contains(&ms) {
        return format!("{ms}ms");
    }
    let mut seconds = format!("{}", rest / 1000);
    if rest % 1000 > 0 {
        seconds.push_str(format!(".{:03}", rest % 1000).trim_end_matches('0'));
    }
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_openai_writes_them() {
        for (ms, text) in [
            (0, "0s"),
            (17, "17ms"),
            (1000, "1s"),
            (8640, "8.64s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (3_600_000, "1h0m0s"),
            (3_723_500, "1h2m3.5s"),
        ] {
            assert_eq!(in_words(Duration::from_millis(ms)), text);
        }
        assert_eq!(in_words(Duration::from_nanos(1)), "1ms");
    }

    #[test]
    fn only_limits_that_exist_have_headers() {
        let meter = Meter { limit: 60, remaining: 59, reset: Duration::from_secs(1) };
        let mut headers = HeaderMap::new();
        Standing { requests: Some(meter), tokens: None }.write(&mut headers);
        assert_eq!(headers.len(), 3);
        assert_eq!(headers["x-ratelimit-limit-requests"], "60");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "59");
        assert_eq!(headers["x-ratelimit-reset-requests"], "1s");
    }
}
