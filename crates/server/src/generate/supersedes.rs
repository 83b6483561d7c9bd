//! Requests that take the place of earlier ones: what an editor asks for with each keystroke is wanted for the last one only.
//!
//! A request names a key. Of all requests of one sender that name the same, only the one that came last goes on: an earlier one is
//! ended, wherever it stands, before the later one is handed in. The order is that in which their heads came. Two bodies that are read
//! at the same time may be done in the other order, so each request has a number, and one that finds a higher number than its own is
//! itself the one that is not wanted.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use parkade_core::RequestError;
use parkade_sync::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use crate::access::Identity;
use crate::generate::in_flight::{Entry, InFlight};
use crate::http::{ApiError, quote};

/// The header that names the key.
const HEADER: &str = "x-parkade-supersedes";

/// The field that does.
const FIELD: &str = "supersedes";

/// The longest key, in bytes.
const LONGEST_KEY: usize = 128;

/// Keys of requests that have ended are remembered for so long, and no more than so many, for requests that came earlier and are read
/// later.
const KEEP: Duration = Duration::from_secs(60);
const MOST_ENDED: usize = 1024;

/// How long the end of the earlier request is waited for. It comes within a layer of the model's pass.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request's number among all that came, and the key that its header names.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    number: u64,
    header: Option<String>,
}

impl Arrival {
    /// What the request wishes, by its header or its body.
    ///
    /// # Errors
    /// 400 for a key that is none, and for two that differ.
    pub fn wish(&self, body: &Value) -> Result<Option<Wish>, ApiError> {
        let field = match body.get(FIELD) {
            None | Some(Value::Null) => None,
            Some(Value::String(key)) => Some(checked(FIELD, key)?),
            Some(_) => return Err(ApiError::invalid_type(FIELD, format!("{FIELD} is no string; {}", allowed()))),
        };
        if let (Some(header), Some(field)) = (&self.header, &field)
            && header != field
        {
            let message =
                format!("{FIELD} is {} and the header {HEADER} is {}; send one of them", quote(field), quote(header));
            return Err(ApiError::invalid_value(FIELD, message));
        }
        let key = field.or_else(|| self.header.clone());
        Ok(key.map(|key| Wish { number: self.number, key }))
    }
}

fn allowed() -> String {
    format!("allowed: a text of 1 to {LONGEST_KEY} bytes without control characters")
}

fn checked(param: &'static str, key: &str) -> Result<String, ApiError> {
    if (1..=LONGEST_KEY).contains(&key.len()) && !key.chars().any(char::is_control) {
        return Ok(key.to_owned());
    }
    Err(ApiError::invalid_value(param, format!("{param} is {}; {}", quote(key), allowed())))
}

/// That a request wants to take the place of earlier ones with its key.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    number: u64,
    pub key: String,
}

/// Whose key it is, and which. A tenant is a key's name where there are API keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    owner: Option<String>,
    tenant: String,
    key: String,
}

/// The requests that name keys.
#[derive(Debug)]
pub(crate) struct Supersessions {
    /// Relaxed: numbers only have to differ, and to rise for whoever comes later.
    arrivals: AtomicU64,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    newest: HashMap<Name, Newest>,
    ended: VecDeque<(Instant, Name, u64)>,
}

/// The one request of a name that may go on.
#[derive(Debug)]
struct Newest {
    number: u64,
    /// `None` once it has ended.
    entry: Option<Arc<Entry>>,
    end: Arc<End>,
}

/// Whether a request is over: its memory is free and its account settled.
#[derive(Debug, Default)]
struct End {
    /// SeqCst, with the look in [`End::wait`]: either the waiter sees it, or it is told.
    is_over: AtomicBool,
    news: Notify,
}

impl End {
    fn set(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.news.notify_waiters();
    }

    async fn wait(&self) {
        // Before the look, so that an end between the look and the wait is not missed.
        let mut news = std::pin::pin!(self.news.notified());
        news.as_mut().enable();
        if !self.is_over.load(Ordering::SeqCst) {
            news.await;
        }
    }
}

/// A request's hold on its name. The next one waits until it is dropped, or given back.
pub(crate) struct Claim {
    of: Arc<Supersessions>,
    name: Name,
    number: u64,
    end: Arc<End>,
}

impl Claim {
    /// The engine is done with the request and its account is settled.
    pub fn release(&self) {
        if !self.end.is_over.load(Ordering::SeqCst) {
            self.end.set();
            self.of.book.lock().ended(&self.name, self.number, Instant::now());
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

impl Supersessions {
    pub fn new() -> Self {
        Self { arrivals: AtomicU64::new(0), book: Mutex::new("server.supersedes", Book::default()) }
    }

    /// Numbers a request whose head has come.
    ///
    /// # Errors
    /// 400 for a key in the header that is none.
    pub fn arrive(&self, headers: &HeaderMap) -> Result<Arrival, ApiError> {
        let number = self.arrivals.fetch_add(1, Ordering::Relaxed);
        let mut values = headers.get_all(HEADER).iter();
        let header = match (values.next(), values.next()) {
            (Some(_), Some(_)) => {
                let message = format!("the header {HEADER} is there twice; send it once");
                return Err(ApiError::invalid_value(HEADER, message));
            }
            (Some(key), None) => Some(checked(HEADER, &String::from_utf8_lossy(key.as_bytes()))?),
            (None, _) => None,
        };
        Ok(Arrival { number, header })
    }
}

/// Takes the place of the earlier request with the same key of the same sender, and waits until that one is over.
///
/// # Errors
/// If a later request was here before.
pub(crate) async fn take_place(
    (supersessions, in_flight): (&Arc<Supersessions>, &InFlight),
    identity: &Identity,
    wish: Wish,
    entry: &Arc<Entry>,
) -> Result<Claim, ApiError> {
    let Wish { number, key } = wish;
    let name = Name { owner: identity.owner().map(str::to_owned), tenant: entry.tenant.clone(), key };
    let end = Arc::new(End::default());
    let newest = Newest { number, entry: Some(entry.clone()), end: end.clone() };
    let entered = supersessions.book.lock().enter(&name, newest, Instant::now());
    let claim = Claim { of: supersessions.clone(), name, number, end };
    match entered {
        Ok(Some((earlier, its_end))) => {
            earlier.supersede();
            if tokio::time::timeout(PATIENCE, its_end.wait()).await.is_err() {
                tracing::warn!(id = earlier.id, "a superseded request has not ended; the next one goes on without it");
            }
        }
        Ok(None) => {}
        Err(TooLate) => entry.supersede(),
    }
    // Perhaps another one has come meanwhile.
    if !entry.is_superseded() {
        return Ok(claim);
    }
    in_flight.add(entry);
    in_flight.end(entry, Instant::now());
    Err(RequestError::Superseded.into())
}

/// A later request is here already.
struct TooLate;

/// A request that must make way, and its end.
type Earlier = (Arc<Entry>, Arc<End>);

impl Book {
    /// The earlier request that must make way, if there is one.
    fn enter(&mut self, name: &Name, newest: Newest, now: Instant) -> Result<Option<Earlier>, TooLate> {
        self.tidy(now);
        if self.newest.get(name).is_some_and(|other| other.number > newest.number) {
            return Err(TooLate);
        }
        let earlier = self.newest.insert(name.clone(), newest);
        Ok(earlier.and_then(|earlier| Some((earlier.entry?, earlier.end))))
    }

    fn ended(&mut self, name: &Name, number: u64, now: Instant) {
        if let Some(newest) = self.newest.get_mut(name).filter(|newest| newest.number == number) {
            newest.entry = None;
            self.ended.push_back((now, name.clone(), number));
        }
        self.tidy(now);
    }

    fn tidy(&mut self, now: Instant) {
        let too_old = |(ended, _, _): &(Instant, Name, u64)| now.saturating_duration_since(*ended) > KEEP;
        while self.ended.len() > MOST_ENDED || self.ended.front().is_some_and(too_old) {
            let Some((_, name, number)) = self.ended.pop_front() else { return };
            if self.newest.get(&name).is_some_and(|newest| newest.number == number) {
                self.newest.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn wish(header: Option<&[u8]>, body: &Value) -> Result<Option<String>, ApiError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = header {
            headers.insert(HEADER, HeaderValue::from_bytes(key).expect("a header"));
        }
        Ok(Supersessions::new().arrive(&headers)?.wish(body)?.map(|wish| wish.key))
    }

    #[test]
    fn a_key_stands_in_the_header_or_in_the_body() {
        let key = |key: &str| Ok(Some(key.to_owned()));
        assert_eq!(wish(None, &json!({})), Ok(None));
        assert_eq!(wish(None, &json!({"supersedes": null})), Ok(None));
        assert_eq!(wish(Some(b"a.rs:7"), &json!({})), key("a.rs:7"));
        assert_eq!(wish(None, &json!({"supersedes": "\u{e9}"})), key("\u{e9}"));
        assert_eq!(wish(Some("\u{e9}".as_bytes()), &json!({"supersedes": "\u{e9}"})), key("\u{e9}"));
        assert_eq!(wish(Some(&[b'a'; 128]), &json!([])), key(&"a".repeat(128)));
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        for (header, body, param, code) in [
            (Some(&b""[..]), json!({}), HEADER, "invalid_value"),
            (Some(&[b'a'; 129]), json!({}), HEADER, "invalid_value"),
            (Some(b"a\tb"), json!({}), HEADER, "invalid_value"),
            (None, json!({"supersedes": ""}), FIELD, "invalid_value"),
            (None, json!({"supersedes": "a".repeat(129)}), FIELD, "invalid_value"),
            (None, json!({"supersedes": "a\u{7f}"}), FIELD, "invalid_value"),
            (None, json!({"supersedes": 7}), FIELD, "invalid_type"),
            (None, json!({"supersedes": ["a"]}), FIELD, "invalid_type"),
            (Some(b"a"), json!({"supersedes": "b"}), FIELD, "invalid_value"),
        ] {
            let error = wish(header, &body).expect_err("no key");
            assert_eq!((error.param(), error.code()), (Some(param), code), "{header:?} {body}");
        }
        let mut twice = HeaderMap::new();
        twice.append(HEADER, HeaderValue::from_static("a"));
        twice.append(HEADER, HeaderValue::from_static("a"));
        let error = Supersessions::new().arrive(&twice).expect_err("two of them");
        assert!(error.message().contains("once"), "{error}");
    }
}
