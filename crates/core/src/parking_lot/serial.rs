//! Jobs, results and metadata as text: to be written now and read by another process, or another version.
//!
//! Each has a `version`. What another version wrote is refused by its number, and so are members that are not known. Moments are written as
//! times from now, so that the reader's clock need not be the writer's.

use std::time::{Duration, Instant};

use parkade_grammar::Format;
use parkade_pool::Class;
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::event::RequestError;
use crate::request::{Request, RequestId};

use super::job::{Completion, Delivery, InferenceJob, InferenceResult};
use super::types::{ResourceCost, TaskMetadata};

/// The version that is written, and the only one that is read.
const VERSION: u64 = 1;
const FIELD: &str = "version";

#[derive(Serialize)]
struct Versioned<T> {
    version: u64,
    #[serde(flatten)]
    content: T,
}

fn write<S: Serializer>(content: impl Serialize, serializer: S) -> Result<S::Ok, S::Error> {
    Versioned { version: VERSION, content }.serialize(serializer)
}

/// Reads what was written with a version, which is looked at first: members that another version has are no fault.
fn read<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let mut members = serde_json::Map::deserialize(deserializer)?;
    let known = format!("this program knows version {VERSION}");
    match members.remove(FIELD) {
        None => return Err(D::Error::custom(format!("{FIELD} is missing; {known}"))),
        Some(version) if version.as_u64() == Some(VERSION) => {}
        Some(version) => return Err(D::Error::custom(format!("{FIELD} is {version}; {known}"))),
    }
    serde_json::from_value(Value::Object(members)).map_err(D::Error::custom)
}

#[derive(Serialize)]
struct WrittenJob<'a> {
    request: &'a Request,
    delivery: Delivery,
    format: Option<&'a Format>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadJob {
    request: Request,
    delivery: Delivery,
    format: Option<Format>,
}

/// A compiled format is written as what it was compiled from.
impl Serialize for InferenceJob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let compiled = self.request.format.as_ref().map(|grammar| grammar.source());
        let format = self.format.as_ref().or(compiled);
        write(WrittenJob { request: &self.request, delivery: self.delivery, format }, serializer)
    }
}

impl<'de> Deserialize<'de> for InferenceJob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ReadJob { request, delivery, format } = read(deserializer)?;
        Ok(InferenceJob { request, delivery, format })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum WrittenResult<'a> {
    Complete(&'a Completion),
    Error(&'a RequestError),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReadResult {
    Complete(Completion),
    Error(RequestError),
}

/// A stream cannot be written: [`InferenceResult::collected`] makes it one piece.
impl Serialize for InferenceResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            InferenceResult::Complete(completion) => write(WrittenResult::Complete(completion), serializer),
            InferenceResult::Error(error) => write(WrittenResult::Error(error), serializer),
            InferenceResult::Streaming(stream) => {
                let message = format!("the answer to request {} is a stream; collect it first", stream.id());
                Err(S::Error::custom(message))
            }
        }
    }
}

impl<'de> Deserialize<'de> for InferenceResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match read(deserializer)? {
            ReadResult::Complete(completion) => InferenceResult::Complete(completion),
            ReadResult::Error(error) => InferenceResult::Error(error),
        })
    }
}

/// [`TaskMetadata`] whose moments are times from one moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelativeMetadata {
    /// The request.
    pub id: RequestId,
    /// On whose account it runs.
    pub tenant: String,
    /// Its priority class.
    pub class: Class,
    /// Its place among its tenant's requests with the same deadline, lower first.
    pub rank: i64,
    /// How long from now the whole answer must be there; zero if that has passed.
    pub deadline: Option<Duration>,
    /// How long from now its first token must be there; zero if that has passed.
    pub first_token_deadline: Option<Duration>,
    /// What it costs.
    pub cost: ResourceCost,
    /// How long ago it came.
    pub age: Duration,
}

impl TaskMetadata {
    /// With times from `now` on.
    pub fn relative_to(&self, now: Instant) -> RelativeMetadata {
        let left = |moment: Option<Instant>| moment.map(|moment| moment.saturating_duration_since(now));
        RelativeMetadata {
            id: self.id.clone(),
            tenant: self.tenant.clone(),
            class: self.class,
            rank: self.rank,
            deadline: left(self.deadline),
            first_token_deadline: left(self.first_token_deadline),
            cost: self.cost,
            age: now.saturating_duration_since(self.submitted_at),
        }
    }
}

impl RelativeMetadata {
    /// With moments, counted from `now`. Those that the clock cannot tell are left out: a deadline beyond it is none, and what came before it
    /// came now.
    pub fn at(self, now: Instant) -> TaskMetadata {
        let moment = |left: Option<Duration>| left.and_then(|left| now.checked_add(left));
        TaskMetadata {
            id: self.id,
            tenant: self.tenant,
            class: self.class,
            rank: self.rank,
            deadline: moment(self.deadline),
            first_token_deadline: moment(self.first_token_deadline),
            cost: self.cost,
            submitted_at: now.checked_sub(self.age).unwrap_or(now),
        }
    }
}

/// As [`RelativeMetadata`], from the moment on in which it is written.
impl Serialize for TaskMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(self.relative_to(Instant::now()), serializer)
    }
}

/// As [`RelativeMetadata`], from the moment on in which it is read.
impl<'de> Deserialize<'de> for TaskMetadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(read::<RelativeMetadata, D>(deserializer)?.at(Instant::now()))
    }
}
