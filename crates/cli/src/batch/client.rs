//! Requests to a server with OpenAI's Files and Batches API.

use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Request, Response, Uri};
use ureq::{Agent, Body, SendBody};

use super::{BatchError, open};
use crate::args::RemoteArgs;

/// How long a connection, or a pause between two pieces of an answer, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer may take: a server writes a whole file before it answers.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The longest answer of JSON, in bytes.
const LONGEST_ANSWER: u64 = 16 << 20;
/// The environment variable with the key, as OpenAI's clients have it.
const KEY_VARIABLE: &str = "OPENAI_API_KEY";
/// What separates the parts of a form. It stands in no line of JSON: there a quote would have to be escaped.
const BOUNDARY: &str = "parkade-b8f0c2d47a19e653";

/// A server, and the key for it.
pub struct Client {
    agent: Agent,
    base: String,
    key: Option<String>,
}

impl Client {
    /// The server that the flags name.
    ///
    /// # Errors
    /// If that is no address of one.
    pub fn new(args: &RemoteArgs) -> Result<Self, BatchError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("parkade/", env!("CARGO_PKG_VERSION")))
            // The key is for this server and for no other.
            .max_redirects(0)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(LONGEST_WAIT))
            .timeout_per_read(Some(PATIENCE));
        let of_environment = || std::env::var(KEY_VARIABLE).ok();
        let key = args.api_key.clone().or_else(of_environment).filter(|key| !key.is_empty());
        Ok(Self { agent: config.build().into(), base: base(&args.url)?, key })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.base)
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: SendBody<'_>) -> Result<Response<Body>, BatchError> {
        let url = self.url(path);
        let unreachable = |message: String| BatchError::Unreachable { url: self.base.clone(), message };
        let mut request = Request::builder().method(method).uri(&url);
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = request.body(body).map_err(|error| unreachable(error.to_string()))?;
        let answer = self.agent.run(request).map_err(|error| unreachable(error.to_string()))?;
        if answer.status().is_success() { Ok(answer) } else { Err(refused(answer)) }
    }

    fn json(&self, method: &str, path: &str, kind: &str, body: SendBody<'_>) -> Result<Value, BatchError> {
        let answer = self.send(method, path, kind, body)?;
        let nonsense = |message: String| BatchError::Nonsense { url: self.url(path), message };
        let text = text(answer).map_err(|error| nonsense(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| nonsense(error.to_string()))
    }

    /// What stands at a path.
    ///
    /// # Errors
    /// If the server refuses, cannot be reached or answers something else.
    pub fn get(&self, path: &str) -> Result<Value, BatchError> {
        self.json("GET", path, "", SendBody::none())
    }

    /// What comes of a body that is posted to a path.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, BatchError> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.json("POST", path, "application/json", SendBody::from_reader(&mut Cursor::new(body)))
    }

    /// Uploads a file of requests.
    ///
    /// # Errors
    /// As [`get`](Self::get), and if the file cannot be read.
    pub fn upload(&self, path: &Path) -> Result<Value, BatchError> {
        let mut form = form(path, open(path)?);
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.json("POST", "files", &kind, SendBody::from_reader(&mut form))
    }

    /// Writes the content of a file of the server's.
    ///
    /// # Errors
    /// As [`get`](Self::get), and if it cannot be written.
    pub fn download(&self, id: &str, out: &mut impl Write) -> Result<(), BatchError> {
        let path = format!("files/{id}/content");
        let mut body = self.send("GET", &path, "", SendBody::none())?.into_body().into_reader();
        let mut piece = vec![0; 64 << 10];
        loop {
            let read = body.read(&mut piece);
            let count =
                read.map_err(|error| BatchError::Unreachable { url: self.base.clone(), message: error.to_string() })?;
            if count == 0 {
                return Ok(());
            }
            out.write_all(&piece[..count])?;
        }
    }
}

/// A file as it is uploaded.
fn form(path: &Path, file: File) -> impl Read {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    // As browsers write them: https://html.spec.whatwg.org/#multipart-form-data
    let name = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let begin = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
         --{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    );
    Cursor::new(begin).chain(file).chain(Cursor::new(format!("\r\n--{BOUNDARY}--\r\n")))
}

/// A server's address without what its paths begin with.
fn base(url: &str) -> Result<String, BatchError> {
    let trimmed = url.trim_end_matches('/');
    let trimmed = trimmed.strip_suffix("/v1").unwrap_or(trimmed);
    let is_one = |uri: &Uri| {
        let authority = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        matches!(uri.scheme_str(), Some("http" | "https")) && authority && uri.query().is_none()
    };
    match trimmed.parse::<Uri>() {
        Ok(uri) if is_one(&uri) => Ok(trimmed.to_owned()),
        _ => Err(BatchError::Url(shown(url))),
    }
}

/// An address without a password in it.
fn shown(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &url[..scheme], &url[at..]),
        _ => url.chars().filter(|letter| !letter.is_control()).collect(),
    }
}

fn text(answer: Response<Body>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    answer.into_body().into_reader().take(LONGEST_ANSWER).read_to_end(&mut text)?;
    Ok(text)
}

/// What a server says that refuses.
fn refused(answer: Response<Body>) -> BatchError {
    let status = answer.status();
    let said = text(answer).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok()).unwrap_or_default();
    let message = said["error"]["message"].as_str().or_else(|| status.canonical_reason()).unwrap_or_default();
    BatchError::Refused { status: status.as_u16(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_with_and_without_its_version() {
        for url in ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"] {
            assert_eq!(base(url).expect(url), "http://h:1");
        }
        assert_eq!(base("https://h/openai/v1").expect("an address"), "https://h/openai");
        for bad in ["", "h:1", "localhost", "ftp://h", "http://", "http://h?x=y", "http://ada:pw@h"] {
            let error = base(bad).expect_err(bad).to_string();
            assert!(!error.contains("pw"), "{error}");
        }
    }

    #[test]
    fn a_form_has_the_file_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a\"b.jsonl");
        std::fs::write(&path, "{}\n").expect("written");
        let mut text = String::new();
        form(&path, File::open(&path).expect("there")).read_to_string(&mut text).expect("text");
        assert!(text.contains("filename=\"a%22b.jsonl\"") && text.contains("\r\n\r\n{}\n\r\n--"), "{text}");
    }
}
