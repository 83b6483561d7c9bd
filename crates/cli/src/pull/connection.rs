//! Requests to the hub and to where it redirects: which of them carry the access token, and what is said of their addresses.
//!
//! A token was given for one scheme, host and port. It is sent there and to no other, also when the hub itself says where to go on.
//! So redirects are followed here and not by the HTTP client, which looks at the host's name alone.

use std::time::Duration;

use hf_hub::Cache;
use ureq::http::uri::Scheme;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body};

use super::error::HubError;

/// The hub unless HF_ENDPOINT names another.
const HUGGING_FACE: &str = "https://huggingface.co";
/// How long a connection, an answer's head or a pause between two pieces of it may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Redirects before one gives up.
pub(super) const REDIRECTS: usize = 5;
/// Characters of an address that are shown.
const SHOWN: usize = 300;
/// More than any access token has.
const TOKEN_BYTES: usize = 4096;

/// What a secret is given for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Origin {
    /// `None` for what is no address of the web, and for one with a password in it, which would be another secret.
    fn of(uri: &Uri) -> Option<Origin> {
        let scheme = uri.scheme()?.clone();
        let usual = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        Some(Origin { scheme, host: authority.host().to_ascii_lowercase(), port: uri.port_u16().unwrap_or(usual) })
    }
}

/// An access token, and the only place that may see it.
struct Token {
    text: String,
    origin: Origin,
}

/// A client with the hub's address.
pub(super) struct Connection {
    agent: Agent,
    endpoint: String,
    token: Option<Token>,
}

impl Connection {
    /// To the hub that HF_ENDPOINT names, with the token of HF_TOKEN. The one that a login with Hugging Face's own tools left is for
    /// their hub.
    pub(super) fn from_environment() -> Result<Connection, HubError> {
        let set =
            |name| std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| HUGGING_FACE.to_owned()).trim_end_matches('/').to_owned();
        let origin = endpoint.parse().ok().as_ref().and_then(Origin::of).filter(|_| !endpoint.contains(['?', '#']));
        let origin = origin.ok_or_else(|| HubError::Endpoint { url: shown(&endpoint) })?;
        let login = || if endpoint == HUGGING_FACE { login_token() } else { None };
        let token = set("HF_TOKEN").or_else(login).map(|text| Token { text, origin });
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("parkade/", env!("CARGO_PKG_VERSION")))
            .max_redirects(0)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE));
        Ok(Connection { agent: config.build().into(), endpoint, token })
    }

    /// The hub's address, without a slash at the end.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether a request to this address carries the token.
    pub(super) fn authorises(&self, url: &str) -> bool {
        self.token_for(url).is_some()
    }

    fn token_for(&self, url: &str) -> Option<&str> {
        let origin = Origin::of(&url.parse().ok()?)?;
        self.token.as_ref().filter(|token| token.origin == origin).map(|token| token.text.as_str())
    }

    /// One request; a redirect is an answer like another. `range` are the bytes that are asked for.
    pub(super) fn get(&self, url: &str, range: Option<&str>) -> Result<Response<Body>, HubError> {
        // Without "identity" a proxy may compress, and the offsets would be those of the compressed form.
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if let Some(range) = range {
            request = request.header("range", range);
        }
        if let Some(token) = self.token_for(url) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.call().map_err(|error| unreachable(url, &error.to_string()))
    }

    /// As [`get`](Self::get), and on to where the answer redirects to.
    pub(super) fn follow(&self, url: &str, range: Option<&str>) -> Result<Response<Body>, HubError> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let answer = self.get(&url, range)?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            url = target(&url, answer.headers())?;
        }
        Err(nonsense(&url, format!("more than {REDIRECTS} redirects")))
    }
}

/// What Hugging Face's own tools leave after a login; hf-hub knows where.
fn login_token() -> Option<String> {
    let text = Cache::from_env().token()?;
    Some(text.trim().to_owned()).filter(|token| (1..=TOKEN_BYTES).contains(&token.len()))
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Where a redirect leads.
pub(super) fn target(url: &str, headers: &HeaderMap) -> Result<String, HubError> {
    let to = header(headers, "location").ok_or_else(|| nonsense(url, "a redirect without a location"))?;
    joined(url, to).ok_or_else(|| nonsense(url, format!("a redirect to '{}'", shown(to))))
}

/// The address that stands in an answer from another, which it may be relative to.
fn joined(base: &str, to: &str) -> Option<String> {
    let mut target: Uri = to.parse().ok()?;
    if target.host().is_none() {
        let mut parts = base.parse::<Uri>().ok()?.into_parts();
        parts.path_and_query = target.into_parts().path_and_query;
        target = Uri::from_parts(parts).ok()?;
    }
    Origin::of(&target).map(|_| target.to_string())
}

/// An address as it may be shown: without its query, which may be a signature that opens a storage to anybody, and without a password.
pub(super) fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = plain.split_once("://").unwrap_or(("", plain));
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    let path = path.map(|path| format!("/{path}")).unwrap_or_default();
    let whole = format!("{scheme}{host}{path}");
    whole.chars().take(SHOWN).filter(|c| !c.is_control()).collect()
}

pub(super) fn nonsense(url: &str, message: impl Into<String>) -> HubError {
    HubError::Nonsense { url: shown(url), message: message.into() }
}

pub(super) fn unreachable(url: &str, message: &str) -> HubError {
    // The client's own message may have the address in it.
    HubError::Unreachable { url: shown(url), message: message.replace(url, &shown(url)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(endpoint: &str, token: &str) -> Connection {
        let origin = Origin::of(&endpoint.parse().expect("an address")).expect("of the web");
        let token = Some(Token { text: token.to_owned(), origin });
        Connection { agent: Agent::new_with_defaults(), endpoint: endpoint.to_owned(), token }
    }

    #[test]
    fn a_token_goes_to_the_scheme_host_and_port_that_it_was_given_for_and_nowhere_else() {
        let hub = connection("https://hub.example/mirror", "secret");
        for url in ["https://hub.example/x", "https://hub.example:443/x?y", "https://HUB.example/"] {
            assert!(hub.authorises(url), "{url}");
        }
        for url in [
            "http://hub.example/x",
            "http://hub.example:443/x",
            "https://hub.example:8443/x",
            "https://hub.example.evil/x",
            "https://cdn.hub.example/x",
            "https://hub.example@evil/x",
            "https://evil/hub.example",
            "https://x:y@hub.example/x",
            "ftp://hub.example/x",
            "no address",
        ] {
            assert!(!hub.authorises(url), "{url}");
        }
    }

    #[test]
    fn a_redirect_may_be_relative_or_lead_to_another_host_of_the_web() {
        assert_eq!(joined("http://h:1/a/b?c=d", "/x/y?z=1").as_deref(), Some("http://h:1/x/y?z=1"));
        assert_eq!(joined("http://h:1/a", "https://other/x").as_deref(), Some("https://other/x"));
        // It stays at the same host, whatever it looks like.
        assert_eq!(joined("http://h:1/a", "//other/x").as_deref(), Some("http://h:1//other/x"));
        for to in ["not a target", "file:///etc/passwd", "ftp://other/x", "https://user:password@other/x", "other"] {
            assert_eq!(joined("http://h:1/a", to), None, "{to}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(shown("https://s3.example/f.gguf?X-Signature=secret#x"), "https://s3.example/f.gguf");
        assert_eq!(shown("https://user:secret@hub.example/a/b@c"), "https://hub.example/a/b@c");
        assert_eq!(shown("/blob/x?token=secret"), "/blob/x");
        assert!(shown(&format!("https://h/{}", "x".repeat(9999))).len() <= SHOWN);
        let HubError::Unreachable { url, message } = unreachable("http://h/x?s=1", "bad uri: http://h/x?s=1") else {
            panic!("another error")
        };
        assert_eq!((url.as_str(), message.as_str()), ("http://h/x", "bad uri: http://h/x"));
    }
}
