//! The server that is measured.

use crate::BenchError;
use hyper::Uri;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Which of OpenAI's endpoints is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Api {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`.
    Completions,
}

impl Api {
    /// Its path under the server's address.
    pub fn path(self) -> &'static str {
        match self {
            Api::Chat => "/v1/chat/completions",
            Api::Completions => "/v1/completions",
        }
    }
}

/// A server, and how to speak to it.
#[derive(Clone, Debug)]
pub struct Target {
    /// As it was given, without a slash at the end.
    pub url: String,
    /// Where connections go. Looked up once, so that no request waits for a name server.
    pub address: SocketAddr,
    /// For the header `host`.
    pub host: String,
    /// What the address has before `/v1`.
    pub base_path: String,
    /// Which endpoint is asked.
    pub api: Api,
    /// The model's name in requests.
    pub model: String,
    /// Sent as a bearer token.
    pub api_key: Option<String>,
    /// How long a request may take altogether before its client gives up.
    pub patience: Duration,
}

impl Target {
    /// Reads an address. `http://` only: a benchmark on TLS would measure TLS.
    ///
    /// # Errors
    /// If the address is not understood or its name is not known.
    pub fn new(url: &str, api: Api, patience: Duration) -> Result<Target, BenchError> {
        let bad = |reason: String| BenchError::Url { url: url.to_string(), reason };
        let uri: Uri = url.parse().map_err(|error: hyper::http::uri::InvalidUri| bad(error.to_string()))?;
        if uri.scheme_str() != Some("http") {
            return Err(bad("only http:// is supported".to_string()));
        }
        let (Some(authority), Some(name)) = (uri.authority(), uri.host()) else {
            return Err(bad("it names no host".to_string()));
        };
        let port = uri.port_u16().unwrap_or(80);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let address = (name, port)
            .to_socket_addrs()
            .map_err(|error| bad(error.to_string()))?
            .next()
            .ok_or_else(|| bad("its host has no address".to_string()))?;
        // People paste the base URL of OpenAI clients, which ends in /v1.
        let path = uri.path().trim_end_matches('/');
        let base_path = path.strip_suffix("/v1").unwrap_or(path);
        Ok(Target {
            url: format!("http://{authority}{base_path}"),
            address,
            host: authority.to_string(),
            base_path: base_path.to_string(),
            api,
            model: "default".to_string(),
            api_key: None,
            patience,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Api, Target};
    use std::time::Duration;

    fn target(url: &str) -> Result<Target, String> {
        Target::new(url, Api::Chat, Duration::from_secs(1)).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_taken_as_people_paste_them() {
        for url in
            ["http://127.0.0.1:1234", "http://127.0.0.1:1234/", "http://127.0.0.1:1234/v1", "http://127.0.0.1:1234/v1/"]
        {
            let target = target(url).expect(url);
            assert_eq!((target.base_path.as_str(), target.address.port()), ("", 1234));
        }
        let nested = target("http://[::1]:80/llm/v1").expect("an address");
        assert_eq!((nested.base_path.as_str(), nested.address.is_ipv6()), ("/llm", true));
    }

    #[test]
    fn what_cannot_be_measured_is_said() {
        assert!(target("https://127.0.0.1").expect_err("TLS").contains("only http://"));
        assert!(target("127.0.0.1:1234").is_err());
        assert!(target("http://").is_err());
        assert!(target("").is_err());
    }
}
