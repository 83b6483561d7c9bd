//! What becomes of a task.

use std::fmt;

use thiserror::Error;

use crate::PoolError;

/// The one outcome of a task that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It did what it was to do.
    Completed(T),
    /// It could not.
    Failed(Failure),
    /// Somebody did not want it any more.
    Cancelled,
    /// Its deadline passed, or could no longer be met.
    Expired,
}

impl<T> Outcome<T> {
    /// The result, if there is one.
    pub fn completed(self) -> Option<T> {
        match self {
            Outcome::Completed(output) => Some(output),
            _ => None,
        }
    }
}

/// Why a task failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// The executor said so.
    #[error("{0}")]
    Error(String),
    /// The executor, or the job, panicked.
    #[error("panicked: {0}")]
    Panic(String),
}

/// A refused task, which is given back.
#[derive(Error)]
#[error("{error}")]
pub struct Rejected<T> {
    /// Why.
    pub error: PoolError,
    /// What was to be done.
    pub task: T,
}

impl<T> fmt::Debug for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("error", &self.error).finish_non_exhaustive()
    }
}
