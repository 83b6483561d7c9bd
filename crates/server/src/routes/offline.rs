//! Batches without a server: the lines of a file, answered in this process as the server's own paths answer them.

use std::io::{self, Read};

use axum::Router;

use super::inside;
use crate::access::Identity;
use crate::dialects::BATCH_ENDPOINTS;
use crate::generate::AppState;
use crate::http::quote;
use crate::work;

/// Why a file cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It has too much in it, or nothing.
    #[error("{0}")]
    File(String),
    /// There is no such path.
    #[error("the endpoint {} is not one of {}", quote(.0), BATCH_ENDPOINTS.join(", "))]
    Endpoint(String),
}

/// A line that can be run, and where it stands in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineLine {
    /// Its number, from 1.
    pub number: u64,
    /// Its own name.
    pub custom_id: String,
    /// Its first byte.
    pub start: u64,
    /// Its length in bytes.
    pub length: usize,
}

/// The lines of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfflineLines {
    /// Those that can be run, in the order that the prefix cache likes best.
    pub sound: Vec<OfflineLine>,
    /// The numbers of those that cannot be run, and what is written of each: a line of JSON.
    pub refused: Vec<(u64, String)>,
}

impl OfflineLines {
    /// Reads a file whose lines are all for one of the paths that batches are for.
    ///
    /// # Errors
    /// What is wrong with it as a whole.
    pub fn read(file: impl Read, endpoint: &str) -> Result<Self, OfflineError> {
        if !BATCH_ENDPOINTS.contains(&endpoint) {
            return Err(OfflineError::Endpoint(endpoint.to_owned()));
        }
        let mut lines = Self::default();
        for line in work::read_here(file, endpoint)?.into_lines().map_err(OfflineError::File)? {
            match line.refusal {
                Some(written) => lines.refused.push((line.number, written)),
                None => lines.sound.push(OfflineLine {
                    number: line.number,
                    custom_id: line.custom_id,
                    start: line.start,
                    length: usize::try_from(line.length).unwrap_or(usize::MAX),
                }),
            }
        }
        lines.refused.sort_by_key(|(number, _)| *number);
        Ok(lines)
    }
}

/// A server that listens nowhere. Cheap to clone.
#[derive(Clone)]
pub struct Offline {
    state: AppState,
    inside: Router,
}

impl Offline {
    /// One with the models of a state.
    pub fn new(state: AppState) -> Self {
        Self { inside: inside(state.clone()), state }
    }

    /// How many lines should be in hand at once, so that the models are never idle.
    pub fn lines_at_once(&self) -> usize {
        work::most_lines(&self.state)
    }

    /// Runs a line of this text to its end: whether it has been answered, and what is written of it, a line of JSON. It can be dropped at any
    /// moment, which cancels it.
    pub async fn run(&self, endpoint: &str, line: &OfflineLine, text: &[u8]) -> (bool, String) {
        match work::body_of(text, &line.custom_id, line.number) {
            Ok(body) => {
                let identity = Identity::ANONYMOUS.offline();
                work::answer(&self.inside, (endpoint, &line.custom_id), identity, body).await
            }
            Err(written) => (false, written),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "/v1/completions";

    #[test]
    fn lines_are_told_from_those_that_cannot_be_run() {
        let line = |id: &str| format!(r#"{{"custom_id": "{id}", "url": "{ENDPOINT}", "body": {{"prompt": "{id}"}}}}"#);
        let text = format!("{}\nbroken\n{}", line("a"), line("b"));
        let mut lines = OfflineLines::read(text.as_bytes(), ENDPOINT).expect("lines");
        lines.sound.sort_by_key(|line| line.number);
        let sound: Vec<_> = lines.sound.iter().map(|line| (line.number, line.custom_id.as_str())).collect();
        assert_eq!(sound, [(1, "a"), (3, "b")]);
        let last = &lines.sound[1];
        assert_eq!(&text[last.start as usize..][..last.length], line("b"));
        assert!(lines.refused[0].0 == 2 && lines.refused[0].1.contains("invalid_json"), "{lines:?}");
        assert!(matches!(OfflineLines::read(&b""[..], ENDPOINT), Err(OfflineError::File(_))));
        assert!(matches!(OfflineLines::read(&b"{}"[..], "/v1/models"), Err(OfflineError::Endpoint(_))));
    }
}
