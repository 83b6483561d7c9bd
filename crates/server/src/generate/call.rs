//! How a request came, beside its body; and what makes its answer the same when it is computed once more.

use std::sync::Arc;
use std::time::Duration;

use parkade_model::TokenId;
use parkade_store::Node;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::access::Identity;
use crate::generate::kept::Kept;
use crate::generate::{Deadlines, Task, unix_seconds};

/// What an operation is told beside the body.
pub(crate) struct Call<'a> {
    pub identity: &'a Identity,
    pub deadlines: Deadlines,
    pub birth: &'a Birth,
    /// The answer that it follows, if it names one that is there.
    pub earlier: Option<&'a Kept>,
    /// The answer itself, if it was asked for before and is computed once more.
    pub again: Option<&'a Kept>,
}

impl<'a> Call<'a> {
    /// Of somebody without a key.
    pub fn anonymous(birth: &'a Birth) -> Self {
        let deadlines = Deadlines::default();
        Self { identity: &Identity::ANONYMOUS, deadlines, birth, earlier: None, again: None }
    }
}

/// What an answer does not have from its request. With the same it is the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Birth {
    /// What its name is made of: 32 hex digits.
    pub name: String,
    /// When it was asked for, in seconds since 1970.
    pub created: u64,
    /// The seed, if its request has none.
    pub seed: u64,
}

impl Birth {
    /// Now, with a name and a seed of its own.
    pub fn now() -> Self {
        // Half of a name's bits are enough for a seed; a few of the others are the same in all names.
        let (name, seed) = (Uuid::new_v4(), Uuid::new_v4().as_u64_pair());
        Self { name: name.simple().to_string(), created: unix_seconds(), seed: seed.0 ^ seed.1 }
    }
}

/// How an answer was asked for, as it is in the store until it is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    version: u32,
    /// The path that it was asked of.
    pub path: String,
    /// The id of the request.
    pub request_id: String,
    pub body: Value,
    pub birth: Birth,
    /// How long the whole answer might take, in milliseconds.
    timeout_ms: Option<u64>,
    /// The prompts: a template may write today's date.
    pub prompts: Vec<Vec<TokenId>>,
    /// The model, as its fingerprint; empty if it is not known.
    pub fingerprint: String,
}

impl Saved {
    const VERSION: u32 = 1;

    /// A request for this path.
    pub fn new(path: &str, request_id: &str, body: Value, birth: Birth, deadlines: Deadlines) -> Self {
        Self {
            version: Self::VERSION,
            path: path.to_owned(),
            request_id: request_id.to_owned(),
            body,
            birth,
            timeout_ms: deadlines.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
            prompts: Vec::new(),
            fingerprint: String::new(),
        }
    }

    /// Of what a task is made.
    #[must_use]
    pub fn of_task(mut self, task: &Task) -> Self {
        self.prompts = task.requests.iter().map(|request| request.prompt.clone()).collect();
        self.fingerprint.clone_from(&task.model.fingerprint);
        self
    }

    /// As text.
    ///
    /// # Errors
    /// None that is known: all of it is plain.
    pub fn write(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// From text.
    ///
    /// # Errors
    /// What cannot be read: it is damaged, or of a version that is not known here.
    pub fn read(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let unreadable = |error: serde_json::Error| format!("the request that was kept cannot be read: {error}");
        let Version { version } = serde_json::from_str(text).map_err(unreadable)?;
        if version != Self::VERSION {
            return Err(format!("the request was kept in version {version}, and this server knows {}", Self::VERSION));
        }
        serde_json::from_str(text).map_err(unreadable)
    }

    /// How long the answer may still take, if it was not to take any time.
    pub fn time_left(&self) -> Option<Duration> {
        let allowed = Duration::from_millis(self.timeout_ms?);
        let age = Duration::from_secs(unix_seconds().saturating_sub(self.birth.created));
        Some(allowed.saturating_sub(age))
    }
}

/// Where a request comes from that the server asks itself.
#[derive(Clone)]
pub(crate) struct Origin {
    pub birth: Birth,
    /// Whether it was not asked before: what it does to others, it has done then.
    pub is_first: bool,
    /// The answer that it is to be, if that is kept already.
    pub again: Option<Arc<Again>>,
}

/// An answer that is computed once more, from the beginning.
pub(crate) struct Again {
    pub saved: Saved,
    pub kept: Kept,
    /// The claim.
    pub node: Node,
}

impl Again {
    /// Makes a task the one that it was.
    pub fn restore(&self, task: &mut Task) {
        if task.requests.len() == self.saved.prompts.len() {
            for (request, prompt) in task.requests.iter_mut().zip(&self.saved.prompts) {
                request.prompt.clone_from(prompt);
            }
        }
    }

    /// Whether another model answers now: what was written of the answer is not its beginning.
    pub fn is_foreign_to(&self, fingerprint: &str) -> bool {
        !self.saved.fingerprint.is_empty() && self.saved.fingerprint != fingerprint
    }
}

impl Task {
    /// Gives each request without a seed one that follows from this.
    pub fn seed(&mut self, seed: u64) {
        for (number, request) in (0..).zip(&mut self.requests) {
            request.sampling.seed.get_or_insert(seed.wrapping_add(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let deadlines = Deadlines { timeout: Some(Duration::from_secs(60)), ttft_slo: None };
        let saved = Saved::new("/v1/responses", "req_1", json!({"input": "a\u{0}b"}), Birth::now(), deadlines);
        let text = saved.write().expect("JSON");
        let read = Saved::read(&text).expect("the same");
        assert_eq!((read.body, read.birth, read.timeout_ms), (saved.body, saved.birth, Some(60_000)));
        assert!(!text.contains('\u{0}'), "PostgreSQL has no texts with it");
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let saved = Saved::new("/", "req_1", json!({}), Birth::now(), Deadlines::default());
        let newer = saved.write().expect("JSON").replacen("\"version\":1", "\"version\":7", 1);
        assert!(Saved::read(&newer).expect_err("newer").contains("version 7"), "{newer}");
        let more = saved.write().expect("JSON").replacen('{', "{\"more\":1,", 1);
        assert!(Saved::read(&more).expect_err("unknown").contains("more"));
    }
}
