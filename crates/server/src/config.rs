//! The server's limits. Each has a default that suits one machine behind no proxy.

use std::collections::BTreeMap;
use std::time::Duration;

use parkade_core::{Class, DrainWaiting};
use parkade_store::{Retention, StoreConfig};

use crate::http::{ANY, Authority, LOCALHOST, normal_origin};

/// Limits and timeouts of the HTTP server.
///
/// ```
/// use parkade_server::ServerConfig;
///
/// let config = ServerConfig { max_connections: 64, ..ServerConfig::default() };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Largest request body in bytes; a larger one is answered with 413.
    pub max_body_bytes: usize,
    /// Most JSON values (numbers, strings, objects, members) in one body. A parsed value takes many times its text,
    /// so the length in bytes alone does not bound the memory.
    pub max_json_values: usize,
    /// Bytes that all bodies in flight may take together; what does not fit is refused with 503. One sender may take a
    /// quarter of it, or as much as one largest body needs.
    pub body_memory_bytes: usize,
    /// How long a client may take to send a body after its head.
    pub body_timeout: Duration,
    /// How long a body may come as slowly as it likes.
    pub body_grace: Duration,
    /// How quickly it must come on average after that.
    pub body_bytes_per_second: usize,
    /// Largest request head (request line and headers) in bytes; a larger one is answered with 431.
    pub max_header_bytes: usize,
    /// Most header fields in one request; more are answered with 431.
    pub max_headers: usize,
    /// How long a client may take to send a head, from its first byte.
    pub header_timeout: Duration,
    /// How long a client may take for the handshake of TLS.
    pub handshake_timeout: Duration,
    /// How long a connection may stay open without a request. Longer than clients and proxies keep theirs, which is up to
    /// 90 s: who closes first never sends a request into a connection that is just being closed.
    pub idle_timeout: Duration,
    /// How long a client may leave a response unread, while there is something to send, before it counts as gone.
    pub write_timeout: Duration,
    /// Most connections at once. When all are taken the idlest gives way to a newcomer; when all are at work, newcomers
    /// may ask how the server is, and are told with 503 otherwise.
    pub max_connections: usize,
    /// How long a stream stays silent before a comment line is sent to keep proxies from closing it.
    pub keep_alive_comment: Duration,
    /// How often the reader of a stream is told how its request stands, in a comment line, while that waits or is parked.
    pub waiting_comment: Duration,
    /// How long the head of a streamed answer is held back while its request is in line, so that a request which ends
    /// there gets its status. One without a deadline hardly ends there: its head goes out after
    /// [`waiting_comment`](Self::waiting_comment). From then on comments tell how it stands and keep the connection alive.
    pub head_hold: Duration,
    /// How long running requests may go on after the shutdown has begun; then they are cancelled.
    pub drain_limit: Duration,
    /// What becomes of requests in line when the shutdown begins.
    pub drain_waiting: DrainWaiting,
    /// Where work is kept that outlives its client; without it batches are refused.
    pub store: Option<StoreConfig>,
    /// How long it is kept there.
    pub retention: Retention,
    /// Bytes that answers of the Responses API which are kept may take together; what was used the longest ago makes room.
    pub kept_bytes: usize,
    /// How long they are kept after they were used last.
    pub kept_for: Duration,
    /// Whether a body with a field that is not known is refused. Otherwise the field is ignored, and the response says so
    /// in `x-parkade-ignored-fields`.
    pub strict: bool,
    /// Whether `GET /slots` tells how much room for sequences there is and how much of it is taken.
    pub slots: bool,
    /// Origins that browsers may call from (`localhost` for pages of this machine, `*` for any). Empty: no CORS headers, so no foreign page can read answers.
    pub cors_origins: Vec<String>,
    /// How many log lines could not be written: whoever writes the log knows, and `GET /metrics` says it.
    pub log_lines_dropped: fn() -> u64,
    /// Hosts that requests may name in their `host` header, with or without a port, or `*` for any. If it is empty and
    /// there are no API keys, a loopback address is for `localhost`, 127.0.0.0/8 and `[::1]` only; if it is not, nothing
    /// but those, the address itself and the listed ones is taken in any case.
    pub allowed_hosts: Vec<String>,
    /// The classes of an inference gateway's objectives, by their names (`x-gateway-inference-objective`). Without an entry
    /// `low`, `normal` and `high` are the classes of these names, and any other says nothing.
    pub objectives: BTreeMap<String, Class>,
    /// The names that listeners' addresses were given by: requests may name them too.
    pub host_names: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 8 << 20,
            max_json_values: 1 << 18,
            body_memory_bytes: 256 << 20,
            body_timeout: Duration::from_secs(30),
            body_grace: Duration::from_secs(5),
            body_bytes_per_second: 8 << 10,
            max_header_bytes: 32 << 10,
            store: None,
            retention: Retention::default(),
            kept_bytes: 128 << 20,
            kept_for: Duration::from_secs(24 * 3600),
            max_headers: 100,
            header_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(60),
            max_connections: 1024,
            keep_alive_comment: Duration::from_secs(10),
            waiting_comment: Duration::from_secs(1),
            head_hold: Duration::from_secs(10),
            drain_limit: Duration::from_secs(30),
            drain_waiting: DrainWaiting::Finish,
            strict: false,
            slots: true,
            cors_origins: Vec::new(),
            log_lines_dropped: || 0,
            allowed_hosts: Vec::new(),
            objectives: BTreeMap::new(),
            host_names: Vec::new(),
        }
    }
}

/// The smallest read buffer that the HTTP/1 parser works with.
const SMALLEST_HEADER_LIMIT: usize = 8192;

/// A limit that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}; allowed: {allowed}")]
pub struct ConfigError {
    /// The field of [`ServerConfig`].
    pub field: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it may be.
    pub allowed: String,
}

impl ServerConfig {
    /// Checks that the limits make sense together.
    ///
    /// # Errors
    /// The first limit that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let err = |field, value: &dyn std::fmt::Display, allowed: String| {
            Err(ConfigError { field, value: value.to_string(), allowed })
        };
        for (field, value) in [
            ("max_body_bytes", self.max_body_bytes),
            ("max_json_values", self.max_json_values),
            ("body_bytes_per_second", self.body_bytes_per_second),
            ("max_headers", self.max_headers),
            ("max_connections", self.max_connections),
        ] {
            if value == 0 {
                return err(field, &value, "1 or more".into());
            }
        }
        if self.body_memory_bytes < self.max_body_bytes {
            return err(
                "body_memory_bytes",
                &self.body_memory_bytes,
                format!("at least max_body_bytes ({})", self.max_body_bytes),
            );
        }
        if self.max_header_bytes < SMALLEST_HEADER_LIMIT {
            return err("max_header_bytes", &self.max_header_bytes, format!("{SMALLEST_HEADER_LIMIT} or more"));
        }
        for (field, value) in [
            ("body_timeout", self.body_timeout),
            ("header_timeout", self.header_timeout),
            ("handshake_timeout", self.handshake_timeout),
            ("idle_timeout", self.idle_timeout),
            ("write_timeout", self.write_timeout),
            ("keep_alive_comment", self.keep_alive_comment),
            ("waiting_comment", self.waiting_comment),
        ] {
            if value.is_zero() {
                return err(field, &"0 s", "more than 0".into());
            }
        }
        for origin in &self.cors_origins {
            if origin != ANY && origin != LOCALHOST && normal_origin(origin).is_none() {
                return err(
                    "cors_origins",
                    origin,
                    "'*', 'localhost' or origins such as 'https://chat.example.org'".into(),
                );
            }
        }
        for host in &self.allowed_hosts {
            if host != ANY && Authority::parse(host).is_none() {
                return err("allowed_hosts", host, "'*' or hosts such as 'llm.example.org' or 'proxy:8080'".into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(ServerConfig::default().validate(), Ok(()));
    }

    #[test]
    fn an_impossible_limit_is_named_with_its_value() {
        type Spoil = fn(&mut ServerConfig);
        let cases: [(Spoil, &str); 8] = [
            (|c| c.max_connections = 0, "max_connections is 0"),
            (|c| c.max_header_bytes = 10, "max_header_bytes is 10"),
            (|c| c.body_memory_bytes = 1, "body_memory_bytes is 1"),
            (|c| c.header_timeout = Duration::ZERO, "header_timeout is 0 s"),
            (|c| c.cors_origins = vec!["example.org".into()], "cors_origins is example.org"),
            (|c| c.cors_origins = vec!["http://a\nb".into()], "cors_origins is"),
            (|c| c.cors_origins = vec!["https://a.example/".into()], "cors_origins is https://a.example/"),
            (|c| c.allowed_hosts = vec!["https://a".into()], "allowed_hosts is https://a"),
        ];
        for (spoil, message) in cases {
            let mut config = ServerConfig::default();
            spoil(&mut config);
            let error = config.validate().expect_err(message).to_string();
            assert!(error.starts_with(message), "{error}");
            assert!(error.contains("allowed: "), "{error}");
        }
    }
}
