//! Which model is measured, on how many threads, with which random choices.

use crate::BenchError;
use crate::bounds::within;
use crate::locate::Locate;
use crate::random::fresh_seed;
use std::path::PathBuf;

/// What benchmarks that load a model themselves have in common.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Subject {
    /// Model to measure [default: the default model]
    #[arg(long)]
    pub model: Option<String>,
    /// Threads that compute [default: as many as this process may use]
    #[arg(long)]
    pub threads: Option<usize>,
    /// Seed of all random choices [default: a new one for each run]
    #[arg(long)]
    pub seed: Option<u64>,
}

impl Subject {
    /// The file and the seed, when the options make sense.
    ///
    /// # Errors
    /// If there is no such model, or the number of threads makes no sense.
    pub(crate) fn resolve(&self, by: &Locate<'_>) -> Result<(PathBuf, u64), BenchError> {
        within("--threads", 1..=1024, self.threads.as_slice())?;
        let missing = |reason| BenchError::Model { path: self.model.as_deref().unwrap_or("default").into(), reason };
        Ok((by(self.model.as_deref()).map_err(missing)?, self.seed.unwrap_or_else(fresh_seed)))
    }
}
