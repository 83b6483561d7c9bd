//! Talking to the Hugging Face hub: which files a repository has, and what is known of one.
//!
//! hf-hub builds the addresses and finds the access token. The transfer itself is ours: hf-hub's resumes blindly (it
//! appends whatever comes back, even when the server ignored the range) and checks no checksum.

use std::time::Duration;

use hf_hub::Cache;
use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::{Agent, Body};

use super::checksum::Digest;

/// How long a connection, an answer's head or a pause between two pieces of it may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Redirects inside the hub (renamed repositories) before one gives up.
const REDIRECTS: usize = 5;

/// Why the hub gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// hf-hub could not be set up.
    #[error("cannot set up the connection to the hub: {0}")]
    SetUp(#[from] ApiError),
    /// 404.
    #[error("{url}: not found on the hub; check the name of the repository and of the file")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// 401 or 403.
    #[error("{url}: the hub refuses access ({status}); the repository does not exist, is private, or its licence must be accepted first. {}",
        if *.with_token { "HF_TOKEN was sent: check that it is valid and may read this repository" } else { "Set HF_TOKEN to an access token if it should be yours to read" })]
    Denied {
        /// What was asked for.
        url: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// Any other status.
    #[error("{url}: the hub answered with status {status}; try again later")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// No answer.
    #[error("{url}: {message}; check the connection (HF_ENDPOINT names another hub), then try again")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        message: String,
    },
    /// An answer that makes no sense.
    #[error("{url}: the hub's answer cannot be used: {message}")]
    Nonsense {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        message: String,
    },
}

/// A file on the hub.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Where it is, at the commit that was looked at: it cannot change between two pieces of a download.
    pub url: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256, where the hub stores it as a large file.
    pub sha256: Option<Digest>,
}

/// A connection to the hub.
pub struct Hub {
    api: Api,
    token: Option<String>,
    following: Agent,
    staying: Agent,
}

impl Hub {
    /// The hub that HF_ENDPOINT names, with the token of HF_TOKEN or of a login by Hugging Face's own tools.
    ///
    /// # Errors
    /// The connection cannot be set up.
    pub fn from_environment() -> Result<Hub, HubError> {
        let set = |name| std::env::var(name).ok().filter(|value: &String| !value.trim().is_empty());
        let token = set("HF_TOKEN").or_else(|| Cache::from_env().token()).map(|token| token.trim().to_owned());
        let mut builder = ApiBuilder::new().with_token(token.clone()).with_progress(false);
        if let Some(endpoint) = set("HF_ENDPOINT") {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let api = builder.build()?;
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .user_agent(concat!("parkade/", env!("CARGO_PKG_VERSION")))
                .timeout_connect(Some(PATIENCE))
                .timeout_recv_response(Some(PATIENCE))
                .timeout_per_read(Some(PATIENCE))
        };
        // The token goes to the hub and never to the storage that it redirects to.
        let following = config().redirect_auth_headers(RedirectAuthHeaders::SameHost).build().into();
        let staying = config().max_redirects(0).build().into();
        Ok(Hub { api, token, following, staying })
    }

    /// The files of a repository.
    ///
    /// # Errors
    /// The hub has no such repository, or no answer.
    pub fn files(&self, repo: &str) -> Result<Vec<String>, HubError> {
        let request = self.api.model(repo.to_owned()).info_request();
        let url = request.uri_ref().map(ToString::to_string).unwrap_or_default();
        let request = request.config().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        let mut answer = request.call().map_err(|error| unreachable(&url, &error))?;
        self.check(&url, answer.status())?;
        let info: RepoInfo = answer.body_mut().read_json().map_err(|error| nonsense(&url, error.to_string()))?;
        Ok(info.siblings.into_iter().map(|file| file.rfilename).collect())
    }

    /// What the hub knows of a file. The hub itself answers for its small files; for large ones it redirects to a
    /// storage and says in the redirect's headers how long the file is and what its SHA-256 is.
    ///
    /// # Errors
    /// The hub has no such file, or no answer.
    pub fn describe(&self, repo: &str, file: &str) -> Result<Remote, HubError> {
        let mut url = self.api.model(repo.to_owned()).url(file);
        for _ in 0..REDIRECTS {
            let answer = self.request(&self.staying, &url, "bytes=0-0")?;
            let headers = answer.headers();
            if answer.status().is_redirection() && header(headers, "x-linked-size").is_none() {
                let to = header(headers, "location").ok_or_else(|| nonsense(&url, "a redirect without a location"))?;
                url = joined(&url, to).ok_or_else(|| nonsense(&url, format!("a redirect to '{to}'")))?;
                continue;
            }
            if !answer.status().is_redirection() {
                self.check(&url, answer.status())?;
            }
            let size = header(headers, "x-linked-size")
                .or_else(|| header(headers, "content-range").and_then(|range| range.rsplit('/').next()))
                .and_then(|size| size.parse().ok())
                .ok_or_else(|| nonsense(&url, "it does not say how long the file is"))?;
            let etag = header(headers, "x-linked-etag").or_else(|| header(headers, "etag"));
            let sha256 = etag.and_then(|etag| Digest::parse(etag.trim_start_matches("W/").trim_matches('"')));
            if let Some(commit) =
                header(headers, "x-repo-commit").filter(|c| c.len() == 40 && c.bytes().all(|b| b.is_ascii_hexdigit()))
            {
                url = url.replacen("/resolve/main/", &format!("/resolve/{commit}/"), 1);
            }
            return Ok(Remote { url, size, sha256 });
        }
        Err(nonsense(&url, format!("more than {REDIRECTS} redirects")))
    }

    /// The file's bytes from `start` on; the status says whether the server honoured the start.
    ///
    /// # Errors
    /// No answer, or a refusal. 416 is left to the caller.
    pub(super) fn read_from(&self, remote: &Remote, start: u64) -> Result<Response<Body>, HubError> {
        let answer = self.request(&self.following, &remote.url, &format!("bytes={start}-"))?;
        if answer.status() != StatusCode::RANGE_NOT_SATISFIABLE {
            self.check(&remote.url, answer.status())?;
        }
        Ok(answer)
    }

    fn request(&self, agent: &Agent, url: &str, range: &str) -> Result<Response<Body>, HubError> {
        // Without "identity" a proxy may compress, and the offsets would be those of the compressed form.
        let mut request = agent.get(url).header("range", range).header("accept-encoding", "identity");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.call().map_err(|error| unreachable(url, &error))
    }

    fn check(&self, url: &str, status: StatusCode) -> Result<(), HubError> {
        let url = url.to_owned();
        match status.as_u16() {
            200..=299 => Ok(()),
            404 => Err(HubError::NotFound { url }),
            status @ (401 | 403) => Err(HubError::Denied { url, status, with_token: self.token.is_some() }),
            status => Err(HubError::Status { url, status }),
        }
    }
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn unreachable(url: &str, error: &ureq::Error) -> HubError {
    HubError::Unreachable { url: url.to_owned(), message: error.to_string() }
}

pub(super) fn nonsense(url: &str, message: impl Into<String>) -> HubError {
    HubError::Nonsense { url: url.to_owned(), message: message.into() }
}

/// Where a redirect leads that may be relative to the address that gave it.
fn joined(base: &str, to: &str) -> Option<String> {
    let target: Uri = to.parse().ok()?;
    if target.host().is_some() {
        return Some(to.to_owned());
    }
    let mut parts = base.parse::<Uri>().ok()?.into_parts();
    parts.path_and_query = target.into_parts().path_and_query;
    Uri::from_parts(parts).ok().map(|uri| uri.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_may_be_relative_or_lead_to_another_host() {
        assert_eq!(joined("http://h:1/a/b?c=d", "/x/y?z=1").as_deref(), Some("http://h:1/x/y?z=1"));
        assert_eq!(joined("http://h:1/a", "https://other/x").as_deref(), Some("https://other/x"));
        assert_eq!(joined("http://h:1/a", "not a target"), None);
    }
}
