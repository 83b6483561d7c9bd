//! What texts take where layers read only so far back.

use std::sync::Arc;

use parkade_kernels::KvLayout;

/// Rows that a sequence may always have in a pass, however short the windows are.
const LEAST_ROWS: usize = 512;

/// The groups of a model's layers: a text has a block of each group for the same tokens, and those of a group with a window are given back
/// when the window has left them behind. The first group keeps all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvGroups {
    block_len: usize,
    /// By group behind the first, how many keys up to its own a row reads.
    windows: Arc<[usize]>,
    /// What is read begins at a multiple of so many tokens.
    chunk: usize,
    /// How many rows a sequence may have in a pass.
    rows: usize,
}

impl KvGroups {
    /// As [`KvLayout::reaches`] tells them.
    ///
    /// # Panics
    /// If a block holds no token.
    pub fn new(reaches: &[Option<usize>], block_len: usize) -> KvGroups {
        assert!(block_len > 0, "a block holds at least one token");
        let windows: Arc<[usize]> = reaches.iter().skip(1).map(|reach| reach.unwrap_or(usize::MAX)).collect();
        // Blocks are given back between passes: what a pass writes beyond the window is there for one pass.
        let rows = windows.iter().min().map_or(usize::MAX, |&window| window.max(LEAST_ROWS));
        KvGroups { block_len, windows, chunk: KvLayout::CHUNK, rows }
    }

    /// Where passes have at most so many rows anyway, or as many as a block.
    #[must_use]
    pub fn in_passes_of(self, rows: usize) -> KvGroups {
        let rows = if self.windows.is_empty() { self.rows } else { self.rows.min(rows.max(self.block_len)) };
        KvGroups { rows, ..self }
    }

    /// Of a backend that reads keys from multiples of `chunk` on, and computes at most `rows` rows of a sequence in a pass.
    #[must_use]
    pub fn in_steps_of(self, chunk: usize, rows: usize) -> KvGroups {
        KvGroups { chunk, rows, ..self }
    }

    /// Tokens in a block.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        1 + self.windows.len()
    }

    /// How many places for blocks `tokens` tokens have in a table, each for a block of every group.
    pub fn places(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.block_len)
    }

    /// The first place of a group behind the first that is still read when all before `position` is computed.
    pub fn first_place(&self, group: usize, position: usize) -> usize {
        let seen = (position + 1).saturating_sub(self.windows[group - 1].max(1));
        seen / self.chunk * self.chunk / self.block_len
    }

    /// Places whose blocks a window leaves behind at once.
    pub(crate) fn places_at_once(&self) -> usize {
        self.places(self.chunk)
    }

    /// How many rows a sequence may have in a pass.
    pub fn rows_in_a_pass(&self) -> usize {
        self.rows
    }

    /// The most blocks that a text has at once while it grows to `tokens` tokens.
    pub fn most_blocks(&self, tokens: usize) -> usize {
        self.most_blocks_of(0, tokens, 1)
    }

    /// The most blocks that `n` texts have at once, which share the first `shared` tokens and grow to `tokens` each.
    pub fn most_blocks_of(&self, shared: usize, tokens: usize, n: usize) -> usize {
        let shared = shared / self.block_len;
        let all = shared.saturating_add(n.saturating_mul(self.places(tokens) - shared));
        let of_windows = self.windows.iter().map(|&window| all.min(n.saturating_mul(self.most_of(window))));
        of_windows.fold(all, usize::saturating_add)
    }

    /// Whether blocks are given back before a text has `tokens` tokens.
    pub fn slides(&self, tokens: usize) -> bool {
        (1..self.count()).any(|group| self.first_place(group, tokens) > 0)
    }

    /// The most blocks that a text has in a group, however long it becomes.
    fn most_of(&self, window: usize) -> usize {
        // From what the first row reads to what the last one writes. Answers that wait for their prompt hold up what is given back to its last
        // whole block.
        let tokens = window.saturating_add(self.rows).saturating_add(self.chunk + self.block_len);
        // Where blocks and what is read do not begin at one token, there is one more.
        tokens.div_ceil(self.block_len).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_never_has_more_blocks_than_its_price() {
        let groups = KvGroups::new(&[None, Some(20), Some(300)], 16);
        let rows = groups.rows_in_a_pass();
        assert_eq!((groups.count(), rows), (3, 512));
        let narrow = groups.clone().in_passes_of(48);
        assert_eq!((narrow.rows_in_a_pass(), groups.clone().in_passes_of(1).rows_in_a_pass()), (48, 16));
        assert!(narrow.most_blocks(5_000) < groups.most_blocks(5_000));
        for pass in [1, 16, 100, rows] {
            let (mut past, mut most) = (0, 0);
            while past < 5_000 {
                let end = past + pass;
                let held: usize = (0..groups.count())
                    .map(|group| groups.places(end) - if group == 0 { 0 } else { groups.first_place(group, past) })
                    .sum();
                most = most.max(held);
                assert!(most <= groups.most_blocks(end), "{most} blocks after {end} tokens by {pass}");
                past = end;
            }
        }
        assert!(groups.most_blocks(100_000) < 100_000 / 16 + 140, "windows take no more than their own");
    }

    #[test]
    fn without_windows_it_is_what_the_tokens_fill() {
        let groups = KvGroups::new(&[None], 4);
        assert_eq!(groups.clone().in_passes_of(8).rows_in_a_pass(), usize::MAX);
        assert_eq!((groups.most_blocks(0), groups.most_blocks(9)), (0, 3));
        assert_eq!(groups.most_blocks_of(6, 8, 3), 1 + 3, "the full block is shared");
    }
}
