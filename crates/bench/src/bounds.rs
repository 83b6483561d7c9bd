//! Options that must lie between bounds.

use crate::BenchError;
use std::ops::RangeInclusive;

/// The most of anything that is counted, if nothing else bounds it.
pub(crate) const MOST: usize = 1 << 20;

/// Refuses the first value that lies outside.
pub(crate) fn within(name: &str, bounds: RangeInclusive<usize>, values: &[usize]) -> Result<(), BenchError> {
    let (least, most) = (bounds.start(), bounds.end());
    match values.iter().find(|value| !bounds.contains(value)) {
        Some(value) => Err(BenchError::Options(format!("{name} is {value}; it must be from {least} to {most}"))),
        None => Ok(()),
    }
}
