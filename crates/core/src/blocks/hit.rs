//! How far a text that begins like one that was seen before can begin with that one's blocks.

use crate::kv_groups::KvGroups;

/// What the prefix index has for a text, up to where the text can be gone on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// Places of its table, from the first on, that need not be computed.
    pub places: usize,
    /// Blocks for them that no table holds: taking them takes from what is available.
    pub idle: usize,
    /// Those of the first group that tables hold, and that stay as long as the text does.
    pub held: usize,
    /// Those of groups with windows that tables hold.
    pub held_in_windows: usize,
}

/// What is known of a place of an indexed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether any table holds its block of the first group.
    pub(super) is_held: bool,
    /// Whether a text can go on after it, as far as the model's state is concerned.
    pub(super) goes_on: bool,
    /// The groups with windows of which it has a block, by bits, the second group's the lowest; and those whose blocks tables hold.
    pub(super) windows: u32,
    pub(super) held_windows: u32,
}

/// Goes along a text that is indexed.
pub(super) struct Walk<'a> {
    groups: &'a KvGroups,
    seen: Vec<Seen>,
    /// By group with a window: how many places up to the last one have a block of it, without a gap.
    runs: Vec<usize>,
    /// Where the text can be gone on from.
    places: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(groups: &'a KvGroups) -> Self {
        Walk { groups, seen: Vec::new(), runs: vec![0; groups.count() - 1], places: 0 }
    }

    /// The next place.
    pub(super) fn push(&mut self, seen: Seen) {
        self.seen.push(seen);
        let places = self.seen.len();
        let mut goes_on = seen.goes_on;
        for (bit, run) in self.runs.iter_mut().enumerate() {
            *run = if seen.windows & 1 << bit == 0 { 0 } else { *run + 1 };
            goes_on &= places - *run <= self.groups.first_place(bit + 1, places * self.groups.block_len());
        }
        if goes_on {
            self.places = places;
        }
    }

    pub(super) fn hit(self) -> Hit {
        let Walk { groups, seen, runs, places } = self;
        let held = seen[..places].iter().filter(|seen| seen.is_held).count();
        let mut hit = Hit { places, idle: places - held, held, held_in_windows: 0 };
        for bit in 0..runs.len() {
            let read = &seen[groups.first_place(bit + 1, places * groups.block_len())..places];
            let held = read.iter().filter(|seen| seen.held_windows & 1 << bit != 0).count();
            hit.held_in_windows += held;
            hit.idle += read.len() - held;
        }
        hit
    }
}
