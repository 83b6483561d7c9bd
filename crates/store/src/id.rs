//! Names of what is kept.

use uuid::Uuid;

/// A name that nobody can guess: `file-`, `batch_` and 32 hex digits.
pub(crate) fn new(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::new_v4().simple())
}
