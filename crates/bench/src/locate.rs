//! Which model file is meant.

use std::path::PathBuf;

/// Turns a `--model` (or its absence) into a GGUF file, or says in words why it cannot.
pub type Locate<'a> = dyn Fn(Option<&str>) -> Result<PathBuf, String> + 'a;
