//! What carries a state from token to token, in place of attention or beside it, and how large the state is.

use parkade_kernels::Convolution;

use crate::error::ModelError;
use crate::keys::Keys;

/// Taps of a convolution that are believed; published models have 3 or 4.
const MAX_TAPS: u32 = 16;

/// What a layer has that carries a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePlan {
    /// A gated convolution over the last few tokens.
    ShortConvolution {
        /// Tokens that it sees, the own one included.
        taps: usize,
        /// Values of a token.
        channels: usize,
    },
}

impl StatePlan {
    /// A short convolution, by the file's numbers.
    pub(crate) fn short_convolution(keys: &Keys<'_>, channels: usize) -> Result<StatePlan, ModelError> {
        Ok(StatePlan::ShortConvolution { taps: taps(keys, "shortconv.l_cache")?, channels })
    }

    /// Floats of the state of a sequence. The numbers of the plan are bounded, so it cannot overflow.
    pub fn values(&self) -> usize {
        match *self {
            StatePlan::ShortConvolution { taps, channels } => Convolution::state_values(taps, channels),
        }
    }
}

/// The taps of a convolution, at least two.
fn taps(keys: &Keys<'_>, key: &'static str) -> Result<usize, ModelError> {
    match keys.size(key, MAX_TAPS)? {
        1 => Err(keys.wrong(key, 1, format!("2 to {MAX_TAPS}"))),
        taps => Ok(taps),
    }
}
