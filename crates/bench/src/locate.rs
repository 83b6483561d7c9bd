//! Which model file is meant.

use crate::BenchError;
use std::path::PathBuf;

/// Turns a `--model` (or its absence) into a GGUF file, or says in words why it cannot.
pub type Locate<'a> = dyn Fn(Option<&str>) -> Result<PathBuf, String> + 'a;

/// As [`Locate`], with the benchmark's error.
pub(crate) fn locate(model: Option<&str>, by: &Locate<'_>) -> Result<PathBuf, BenchError> {
    by(model).map_err(|reason| BenchError::Model { path: model.unwrap_or("default").into(), reason })
}
