//! Talking to the Hugging Face hub: which files a repository has, and what is known of one. Nothing that it says is believed
//! without a limit.
//!
//! hf-hub knows the form of its answers and where a login leaves its token. The transfer is ours: hf-hub's sends the token to other
//! ports of the hub's host, resumes blindly (it appends whatever comes back, even when the server ignored the range), and checks no
//! checksum.

use std::io::Read;
use std::time::{Duration, Instant};

use hf_hub::api::{RepoInfo, Siblings};
use ureq::Body;
use ureq::http::{Response, StatusCode};

use super::checksum::Digest;
use super::connection::{Connection, REDIRECTS, header, nonsense, shown, target, unreachable};
use super::error::HubError;
use crate::names::{BadName, FileName, RepoName};

/// Longest list of files, in bytes. Large repositories have some hundred kilobytes.
const LISTING_BYTES: usize = 16 << 20;
/// How long it may take to arrive.
const LISTING_TIME: Duration = Duration::from_secs(60);

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

/// What the hub says that a repository has.
pub struct Listing {
    /// The files whose names can be used.
    pub files: Vec<FileName>,
    /// The others.
    pub unusable: Vec<BadName>,
}

/// A connection to the hub.
pub struct Hub {
    connection: Connection,
}

impl Hub {
    /// The hub that HF_ENDPOINT names, with the token of HF_TOKEN or of a login by Hugging Face's own tools.
    ///
    /// # Errors
    /// HF_ENDPOINT is no address.
    pub fn from_environment() -> Result<Hub, HubError> {
        Ok(Hub { connection: Connection::from_environment()? })
    }

    /// The files of a repository.
    ///
    /// # Errors
    /// The hub has no such repository, or no answer.
    pub fn files(&self, repo: &RepoName) -> Result<Listing, HubError> {
        let url = format!("{}/api/models/{repo}/revision/main", self.connection.endpoint());
        let mut answer = self.connection.follow(&url, None)?;
        self.check(&url, answer.status())?;
        let text = read_listing(answer.body_mut().as_reader(), &url)?;
        let repository: RepoInfo = serde_json::from_slice(&text).map_err(|error| nonsense(&url, error.to_string()))?;
        let mut listing = Listing { files: Vec::new(), unusable: Vec::new() };
        for Siblings { rfilename } in repository.siblings {
            match FileName::parse(&rfilename) {
                Ok(file) => listing.files.push(file),
                Err(bad) => listing.unusable.push(bad),
            }
        }
        Ok(listing)
    }

    /// What the hub knows of a file. The hub itself answers for its small files; for large ones it redirects to a
    /// storage and says in the redirect's headers how long the file is and what its SHA-256 is.
    ///
    /// # Errors
    /// The hub has no such file, or no answer.
    pub fn describe(&self, repo: &RepoName, file: &FileName) -> Result<Remote, HubError> {
        let mut url = format!("{}/{repo}/resolve/main/{}", self.connection.endpoint(), file.in_url());
        for _ in 0..REDIRECTS {
            let answer = self.connection.get(&url, Some("bytes=0-0"))?;
            let headers = answer.headers();
            if answer.status().is_redirection() && header(headers, "x-linked-size").is_none() {
                url = target(&url, headers)?;
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
        let answer = self.connection.follow(&remote.url, Some(&format!("bytes={start}-")))?;
        if answer.status() != StatusCode::RANGE_NOT_SATISFIABLE {
            self.check(&remote.url, answer.status())?;
        }
        Ok(answer)
    }

    fn check(&self, url: &str, status: StatusCode) -> Result<(), HubError> {
        let with_token = self.connection.authorises(url);
        let url = shown(url);
        match status.as_u16() {
            200..=299 => Ok(()),
            404 => Err(HubError::NotFound { url }),
            status @ (401 | 403) => Err(HubError::Denied { url, status, with_token }),
            status => Err(HubError::Status { url, status }),
        }
    }
}

fn read_listing(mut body: impl Read, url: &str) -> Result<Vec<u8>, HubError> {
    let begun = Instant::now();
    let (mut text, mut buffer) = (Vec::new(), [0; 64 << 10]);
    loop {
        let n = body.read(&mut buffer).map_err(|error| unreachable(url, &error.to_string()))?;
        if n == 0 {
            return Ok(text);
        }
        text.extend_from_slice(&buffer[..n]);
        if text.len() > LISTING_BYTES {
            return Err(nonsense(url, format!("its list of files is longer than {} MiB", LISTING_BYTES >> 20)));
        }
        if begun.elapsed() > LISTING_TIME {
            return Err(unreachable(url, &format!("its list of files takes longer than {} s", LISTING_TIME.as_secs())));
        }
    }
}
