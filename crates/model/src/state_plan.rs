//! What carries a state from token to token, in place of attention or beside it, and how large the state is.

use parkade_kernels::{Convolution, KeyHeads, Recurrence};

use crate::config::{MAX_HEAD_DIM, MAX_HEADS, MAX_WIDTH};
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
    /// Mamba 2 (<https://arxiv.org/abs/2405.21060>).
    Mamba2(StateSpace),
    /// A gated delta net (<https://arxiv.org/abs/2412.06464>).
    DeltaNet {
        /// Its numbers.
        space: StateSpace,
        /// Which heads share keys and queries.
        order: KeyHeads,
    },
    /// RWKV 7 (<https://arxiv.org/abs/2503.14456>): a time mix and a channel mix, which is all that there is to a layer.
    Rwkv7 {
        /// Values of a token.
        channels: usize,
        /// Values of a head; divides `channels`.
        head: usize,
        /// Values in the middle of the channel mix.
        width: usize,
    },
}

/// A matrix of state for each head, behind a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateSpace {
    /// Tokens that the convolution sees, the own one included.
    pub taps: usize,
    /// Values of all heads.
    pub inner: usize,
    /// Values of a key and of a query.
    pub state: usize,
    /// Heads; divides `inner`.
    pub heads: usize,
    /// Heads of keys and queries; divides `heads` and `inner`.
    pub groups: usize,
}

impl StateSpace {
    /// Reads the numbers of a file's metadata.
    pub(crate) fn read(keys: &Keys<'_>) -> Result<StateSpace, ModelError> {
        let inner = keys.size("ssm.inner_size", MAX_WIDTH)?;
        let heads = keys.size("ssm.time_step_rank", MAX_HEADS)?;
        let groups = keys.size("ssm.group_count", MAX_HEADS)?;
        if !inner.is_multiple_of(heads) || inner / heads > MAX_HEAD_DIM as usize {
            let expected = format!("a divisor of ssm.inner_size {inner}, with heads of at most {MAX_HEAD_DIM} values");
            return Err(keys.wrong("ssm.time_step_rank", heads, expected));
        }
        if !heads.is_multiple_of(groups) {
            return Err(keys.wrong("ssm.group_count", groups, format!("a divisor of ssm.time_step_rank {heads}")));
        }
        let (taps, state) = (taps(keys, "ssm.conv_kernel")?, keys.size("ssm.state_size", MAX_HEAD_DIM)?);
        Ok(StateSpace { taps, inner, state, heads, groups })
    }

    /// Values that are convolved: values, keys and queries.
    pub(crate) fn convolved(&self) -> usize {
        self.inner + 2 * self.groups * self.state
    }

    /// Floats of the convolution's state, which come before those of the heads.
    pub(crate) fn convolution_values(&self) -> usize {
        Convolution::state_values(self.taps, self.convolved())
    }

    fn values(&self) -> usize {
        self.convolution_values() + Recurrence::state_values(self.heads, self.state, self.inner / self.heads)
    }
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
            StatePlan::Mamba2(space) | StatePlan::DeltaNet { space, .. } => space.values(),
            StatePlan::Rwkv7 { channels, head, .. } => {
                2 * Convolution::state_values(2, channels) + Recurrence::state_values(channels / head, head, head)
            }
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
