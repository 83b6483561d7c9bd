//! What is kept of sequences between passes besides keys and values: one state of fixed size for each, in numbered slots.

use crate::buffer::Buffer;
use crate::error::KernelError;
use crate::kv_cache::Span;
use crate::team::{Disjoint, Team};

/// Where a span's state is read, and where the pass leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotPair {
    /// The slot that holds the state of the tokens before the span; `None` at a sequence's beginning.
    pub from: Option<u32>,
    /// The slot that holds the state of all its tokens afterwards. It may be the same.
    pub to: u32,
}

impl SlotPair {
    /// Whether the pairs of a pass name slots below `slots`, and no slot that one of them writes is read or written by another.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(pairs: &[SlotPair], slots: usize) -> Result<(), String> {
        for (span, pair) in pairs.iter().enumerate() {
            if let Some(slot) = [Some(pair.to), pair.from].into_iter().flatten().find(|&slot| slot as usize >= slots) {
                return Err(format!("span {span} names state slot {slot}; there are {slots}"));
            }
        }
        let mut written: Vec<u32> = pairs.iter().map(|pair| pair.to).collect();
        written.sort_unstable();
        if let Some(twice) = written.windows(2).find(|two| two[0] == two[1]) {
            return Err(format!("state slot {} is written by two spans", twice[0]));
        }
        let read_and_written =
            |pair: &SlotPair| pair.from.filter(|from| *from != pair.to && written.binary_search(from).is_ok());
        match pairs.iter().find_map(read_and_written) {
            Some(slot) => Err(format!("state slot {slot} is read by one span and written by another")),
            None => Ok(()),
        }
    }
}

/// Equal pieces of a slot, one after the other. A piece is computed by one thread, row after row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pieces {
    /// Where in the slot the first begins.
    start: usize,
    count: usize,
    /// Values of a piece.
    values: usize,
}

/// The rows of a pass, and the part of their sequences' states that is one operation's own.
pub struct StateRows<'a> {
    /// Each sequence's rows.
    pub spans: &'a [Span<'a>],
    /// All states.
    pub states: &'a mut StateCache,
    /// Where the state of each span is read and left.
    pub slots: &'a [SlotPair],
    /// Where in a slot the part begins.
    pub start: usize,
}

impl StateRows<'_> {
    /// Calls `f(span, piece, state)` for each of `count` pieces of `values` floats of each span's state, see [`StateCache::each`].
    ///
    /// # Panics
    /// If there is not one pair for each span, spans share rows or have more than `rows`, or as [`StateCache::each`] does.
    pub(crate) fn each(
        self,
        team: &Team,
        rows: usize,
        (count, values): (usize, usize),
        grain: usize,
        f: &(dyn Fn(&Span<'_>, usize, &mut [f32]) + Sync),
    ) {
        let StateRows { spans, states, slots, start } = self;
        assert_eq!(spans.len(), slots.len(), "each span has its slots");
        let mut free = 0;
        for span in spans {
            assert!(span.first_row >= free, "spans come in order and share no rows");
            free = span.first_row.checked_add(span.rows).expect("the span's rows overflow");
        }
        assert!(free <= rows, "a span ends at row {free} of {rows}");
        let pieces = Pieces { start, count, values };
        states.each(team, slots, pieces, grain, &|span, piece, state| f(&spans[span], piece, state));
    }
}

/// The states of sequences: slots of `values` floats.
pub struct StateCache {
    slots: usize,
    values: usize,
    buffer: Buffer,
}

impl StateCache {
    /// A cache of `slots` slots of `values` floats. Without values it takes no memory.
    ///
    /// # Errors
    /// If the size overflows, or there is no memory for it.
    pub fn new(slots: usize, values: usize) -> Result<StateCache, KernelError> {
        if u32::try_from(slots).is_err() {
            return Err(KernelError::invalid("slots", slots, "slot numbers have 32 bits"));
        }
        let bytes = values.checked_mul(size_of::<f32>()).and_then(|bytes| bytes.checked_mul(slots));
        let bytes = bytes.ok_or_else(|| {
            KernelError::invalid("state size", format!("{slots} slots of {values} values"), "ask for fewer slots")
        })?;
        Ok(StateCache {
            slots,
            values,
            buffer: Buffer::zeroed(bytes, "the states of sequences", "ask for fewer slots")?,
        })
    }

    /// Number of slots.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Floats of a slot.
    pub fn values(&self) -> usize {
        self.values
    }

    /// Bytes of memory that the cache takes.
    pub fn memory_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Calls `f(span, piece, state)` for each piece of each span's state, in parallel. The state is what the span's slot has left of the piece, or
    /// zeros at a beginning; what `f` makes of it stays in the slot that it goes to.
    ///
    /// # Panics
    /// If the pairs do not pass [`SlotPair::check`], or the pieces end past the slot.
    fn each(
        &mut self,
        team: &Team,
        pairs: &[SlotPair],
        pieces: Pieces,
        grain: usize,
        f: &(dyn Fn(usize, usize, &mut [f32]) + Sync),
    ) {
        let Pieces { start, count, values } = pieces;
        if let Err(message) = SlotPair::check(pairs, self.slots) {
            panic!("{message}");
        }
        let end = count.checked_mul(values).and_then(|all| all.checked_add(start));
        assert!(end.is_some_and(|end| end <= self.values), "the pieces end past the slot");
        let stride = self.values;
        let floats = Disjoint::new(bytemuck::cast_slice_mut::<u8, f32>(self.buffer.as_mut_slice()));
        team.for_chunks(pairs.len() * count, grain, &|range| {
            for item in range {
                let (span, piece) = (item / count, item % count);
                let place = |slot: u32| {
                    let first = slot as usize * stride + start + piece * values;
                    first..first + values
                };
                let SlotPair { from, to } = pairs[span];
                // SAFETY: the item is in one chunk, pieces do not overlap, and the check above keeps all others from a slot that is written.
                let state = unsafe { floats.part(place(to)) };
                match from {
                    None => state.fill(0.0),
                    Some(from) if from == to => {}
                    // SAFETY: a slot that is read by a span which writes another is written by nobody.
                    Some(from) => state.copy_from_slice(unsafe { floats.shared(place(from)) }),
                }
                f(span, piece, state);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(from: impl Into<Option<u32>>, to: u32) -> SlotPair {
        SlotPair { from: from.into(), to }
    }

    #[test]
    fn hostile_sizes_are_errors() {
        assert_eq!(StateCache::new(3, 5).unwrap().memory_bytes(), 60);
        assert_eq!(StateCache::new(3, 0).unwrap().memory_bytes(), 0);
        assert!(matches!(StateCache::new(usize::MAX, 1), Err(KernelError::Invalid { .. })));
        assert!(matches!(StateCache::new(2, usize::MAX / 4), Err(KernelError::Invalid { .. })));
        assert!(matches!(StateCache::new(1 << 30, 1 << 25), Err(KernelError::OutOfMemory { .. })));
    }

    #[test]
    fn a_slot_that_is_written_is_nobody_elses() {
        let check = |pairs: &[SlotPair]| SlotPair::check(pairs, 4).err().unwrap_or_default();
        assert_eq!(check(&[pair(None, 0), pair(1, 1), pair(3, 2)]), "");
        assert_eq!(check(&[pair(3, 0), pair(3, 1), pair(3, 2)]), "");
        assert!(check(&[pair(None, 4)]).contains("names state slot 4; there are 4"));
        assert!(check(&[pair(9, 0)]).contains("names state slot 9"));
        assert!(check(&[pair(None, 1), pair(2, 1)]).contains("slot 1 is written by two"));
        assert!(check(&[pair(3, 3), pair(3, 1)]).contains("slot 3 is read by one span and written by another"));
    }

    #[test]
    fn states_go_from_slot_to_slot() {
        let team = Team::new(3);
        let mut cache = StateCache::new(4, 7).unwrap();
        let pieces = Pieces { start: 1, count: 3, values: 2 };
        let add = |span: usize, piece: usize, state: &mut [f32]| {
            state.iter_mut().for_each(|x| *x += (10 * (span + 1) + piece) as f32);
        };
        let slot = |cache: &StateCache, slot: usize| {
            bytemuck::cast_slice::<u8, f32>(cache.buffer.as_slice())[slot * 7..(slot + 1) * 7].to_vec()
        };
        cache.each(&team, &[pair(None, 2)], pieces, 1, &add);
        assert_eq!(slot(&cache, 2), [0.0, 10.0, 10.0, 11.0, 11.0, 12.0, 12.0]);
        // Two go on from one, a third begins where rubbish was.
        cache.each(&team, &[pair(2, 0), pair(2, 1)], pieces, 1, &add);
        cache.each(&team, &[pair(0, 0), pair(None, 1)], pieces, 1, &add);
        assert_eq!(slot(&cache, 2), [0.0, 10.0, 10.0, 11.0, 11.0, 12.0, 12.0]);
        assert_eq!(slot(&cache, 0), [0.0, 30.0, 30.0, 33.0, 33.0, 36.0, 36.0]);
        assert_eq!(slot(&cache, 1), [0.0, 20.0, 20.0, 21.0, 21.0, 22.0, 22.0]);
    }
}
