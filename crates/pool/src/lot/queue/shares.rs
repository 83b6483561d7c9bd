//! Virtual token counters (VTC, OSDI 2024): what each party has been served, divided by its weight. The smallest goes
//! first. A party that comes back is lifted to the smallest of those that are there: absence earns no credit.

use crate::{TokenPrices, Work};

/// Virtual tokens count in parts of this many, so that dividing by a weight loses nothing that matters.
const PARTS: u64 = 1 << 16;

/// Served tokens by price and weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Virtual(u64);

impl Virtual {
    /// What serving this much adds to the counter of a party with this weight.
    pub(crate) fn of(work: Work, prices: TokenPrices, weight: u32) -> Virtual {
        let (priced, weight) = (priced(work, prices), weight.max(1));
        // Nearly always 64 bits are enough, and dividing 128 takes several times as long.
        Virtual(match priced.checked_mul(PARTS) {
            Some(parts) => parts / u64::from(weight),
            None => narrow(u128::from(priced) * u128::from(PARTS) / u128::from(weight)),
        })
    }

    pub(crate) fn plus(self, other: Virtual) -> Virtual {
        Virtual(self.0.saturating_add(other.0))
    }

    /// How many priced tokens a party of this weight is ahead of `other`.
    pub(crate) fn tokens_ahead_of(self, other: Virtual, weight: u32) -> u64 {
        narrow(u128::from(self.0.saturating_sub(other.0)) * u128::from(weight) / u128::from(PARTS))
    }
}

fn narrow(amount: u128) -> u64 {
    u64::try_from(amount).unwrap_or(u64::MAX)
}

/// Tokens by price.
pub(crate) fn priced(work: Work, prices: TokenPrices) -> u64 {
    let prefill = work.prefill.saturating_mul(u64::from(prices.prefill));
    prefill.saturating_add(work.decode.saturating_mul(u64::from(prices.decode)))
}

/// The counter that a newcomer starts from: that of the party whose turn it was last. It never falls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Floor {
    floor: Virtual,
    highest: Virtual,
}

impl Floor {
    pub(crate) fn get(self) -> Virtual {
        self.floor
    }

    /// The smallest counter among those who want to be served, when one of them is.
    pub(crate) fn rise(&mut self, smallest: Virtual) {
        self.floor = self.floor.max(smallest);
    }

    /// A counter has moved.
    pub(crate) fn note(&mut self, counter: Virtual) {
        self.highest = self.highest.max(counter);
    }

    /// Nobody is left: old debts are forgotten, since there is nobody whom they were owed to.
    pub(crate) fn forget(&mut self) {
        self.floor = self.highest;
    }
}
