//! How the memory for sequences is split: blocks of keys and values, and slots of states for models whose layers carry some.

/// What there is to be split, and among whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Bytes of a KV block; 0 for a model whose layers all carry states instead.
    pub(crate) block_bytes: usize,
    /// Groups of layers: the shortest text has a block of each.
    pub(crate) groups: usize,
    /// Bytes of a state; 0 for most models.
    pub(crate) state_bytes: usize,
    /// The most blocks that are of use.
    pub(crate) most_blocks: usize,
    /// The most sequences that may run.
    pub(crate) max_seqs: usize,
}

/// What the memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SequenceMemory {
    pub(crate) blocks: usize,
    /// One for each sequence that may run, and some for snapshots of texts that may go on.
    pub(crate) slots: usize,
    /// The most sequences that may run: as many as were asked for, or as states fit.
    pub(crate) seqs: usize,
    pub(crate) bytes: u64,
}

/// Snapshots for each sequence that may run. More would mostly be of texts whose blocks are gone.
const SNAPSHOTS_EACH: usize = 8;

impl Shares {
    /// Bytes without which nothing runs: a state and a block of each group.
    pub(crate) fn least(&self) -> u64 {
        (self.block_bytes as u64).saturating_mul(self.groups as u64).saturating_add(self.state_bytes as u64)
    }

    /// The states of all sequences get at most half of `budget` bytes (and one is always there), snapshots a quarter, blocks the rest. `None` if
    /// it is less than [`least`](Self::least).
    pub(crate) fn split(&self, budget: u64) -> Option<SequenceMemory> {
        if budget < self.least() {
            return None;
        }
        let (seqs, slots) = if self.state_bytes == 0 { (self.max_seqs, 0) } else { self.states(budget) };
        let states = slots as u64 * self.state_bytes as u64;
        let blocks = if self.block_bytes == 0 { u64::MAX } else { (budget - states) / self.block_bytes as u64 };
        let blocks = usize::try_from(blocks).unwrap_or(usize::MAX).min(self.most_blocks).min(u32::MAX as usize);
        Some(SequenceMemory { blocks, slots, seqs, bytes: states + blocks as u64 * self.block_bytes as u64 })
    }

    /// How many sequences may run, and how many slots there are.
    fn states(&self, budget: u64) -> (usize, usize) {
        let fit = |bytes: u64| usize::try_from(bytes / self.state_bytes as u64).unwrap_or(usize::MAX);
        let beside_blocks = fit(budget - (self.least() - self.state_bytes as u64));
        let seqs = fit(budget / 2).min(beside_blocks).clamp(1, self.max_seqs.max(1));
        let snapshots = fit(budget / 4).min(seqs.saturating_mul(SNAPSHOTS_EACH));
        // Snapshots leave room for blocks too.
        let snapshots = snapshots.min(beside_blocks.saturating_sub(seqs));
        (seqs, seqs.saturating_add(snapshots).min(u32::MAX as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: Shares = Shares { block_bytes: 5, groups: 1, state_bytes: 10, most_blocks: usize::MAX, max_seqs: 16 };

    fn split(shares: Shares, budget: u64) -> (usize, usize, usize) {
        let SequenceMemory { blocks, slots, seqs, bytes } = shares.split(budget).unwrap();
        assert!(bytes <= budget && blocks > 0 && seqs > 0 && (slots >= seqs || shares.state_bytes == 0));
        (blocks, slots, seqs)
    }

    #[test]
    fn sequences_come_first_and_blocks_keep_a_part() {
        assert_eq!(split(SHARES, 10_000), ((10_000 - 1440) / 5, 16 + 128, 16), "as many snapshots as are of use");
        assert_eq!(split(SHARES, 1_000), ((1_000 - 410) / 5, 16 + 25, 16));
        assert_eq!(split(SHARES, 200), ((200 - 150) / 5, 10 + 5, 10), "fewer sequences than were allowed");
        for budget in 15..3_000 {
            split(SHARES, budget);
        }
        assert_eq!(split(SHARES, 15), (1, 1, 1));
        assert_eq!(SHARES.split(14), None);
    }

    #[test]
    fn the_shortest_text_has_a_block_of_each_group() {
        let grouped = Shares { groups: 6, ..SHARES };
        assert_eq!((grouped.split(39), split(grouped, 40)), (None, (6, 1, 1)));
    }

    #[test]
    fn models_without_states_or_without_keys_have_one_kind_only() {
        assert_eq!(split(Shares { state_bytes: 0, ..SHARES }, 1_000), (200, 0, 16));
        assert_eq!(split(Shares { state_bytes: 0, most_blocks: 50, ..SHARES }, 1_000), (50, 0, 16));
        assert_eq!(split(Shares { block_bytes: 0, most_blocks: 50, ..SHARES }, 1_000), (50, 16 + 25, 16));
        assert_eq!(split(Shares { block_bytes: 1, ..SHARES }, u64::MAX).0, u32::MAX as usize);
    }
}
