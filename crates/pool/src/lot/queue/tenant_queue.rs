//! The waiting tasks of one tenant in one class, in order.

use std::collections::BTreeSet;

use crate::Time;
use crate::lot::task::Task;

/// A place in a line. The order of its fields is the policy inside a tenant: earliest deadline, then rank, then arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) deadline: Time,
    pub(crate) rank: i64,
    pub(crate) arrival: u64,
    pub(crate) task: u32,
}

impl Spot {
    /// Where a task stands among the waiting or parked of its class.
    pub(crate) fn of(index: u32, task: &Task) -> Spot {
        Spot { deadline: task.start_deadline(), rank: task.rank, arrival: task.arrival, task: index }
    }
}

/// Spots in order. The first is kept apart: it is what is asked for, and a tenant with one waiting task, of which there
/// can be very many, needs no memory beside it.
#[derive(Debug, Default)]
pub(crate) struct TenantQueue {
    first: Option<Spot>,
    rest: BTreeSet<Spot>,
}

impl TenantQueue {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Spot> {
        self.first.iter().chain(&self.rest)
    }

    pub(crate) fn contains(&self, spot: &Spot) -> bool {
        self.first.as_ref() == Some(spot) || self.rest.contains(spot)
    }

    pub(crate) fn insert(&mut self, spot: Spot) {
        let first = *self.first.get_or_insert(spot);
        if spot < first {
            self.first = Some(spot);
        }
        if spot != first {
            self.rest.insert(first.max(spot));
        }
    }

    /// False if it was not there.
    pub(crate) fn remove(&mut self, spot: &Spot) -> bool {
        if self.first.as_ref() != Some(spot) {
            return self.rest.remove(spot);
        }
        self.first = self.rest.pop_first();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_in_order_whatever_comes_and_goes() {
        let spot = |deadline: u64, task: u32| Spot { deadline: Time::from_nanos(deadline), rank: 0, arrival: 0, task };
        let mut queue = TenantQueue::default();
        let mut model = BTreeSet::new();
        let mut state = 7_u64;
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let it = spot(state >> 61, (state >> 33) as u32 % 4);
            if state >> 40 & 1 == 0 {
                queue.insert(it);
                model.insert(it);
            } else {
                assert_eq!(queue.remove(&it), model.remove(&it));
            }
            assert_eq!(queue.iter().collect::<Vec<_>>(), model.iter().collect::<Vec<_>>());
            assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
            assert_eq!(queue.contains(&it), model.contains(&it));
        }
    }
}
