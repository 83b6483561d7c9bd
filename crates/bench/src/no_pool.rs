//! `parkade bench pool` in a build without the parking lot: there is nothing to measure.

use crate::BenchError;
use crate::report::Report;

/// Whatever is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Says why not.
///
/// # Errors
/// Always.
pub fn run(_: Options) -> Result<Report, BenchError> {
    Err(BenchError::Pool(
        "the parking lot is not in this build; build with the feature parking-lot-scheduler".to_owned(),
    ))
}

/// Nothing: there is no lot.
///
/// # Errors
/// Never.
pub(crate) fn decisions(_: u64) -> Result<Option<f64>, BenchError> {
    Ok(None)
}
