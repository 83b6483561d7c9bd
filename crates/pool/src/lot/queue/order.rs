//! Who is next.
//!
//! 1. Classes: the highest first, as long as it is not ahead of its share by more than the burst. Those that are
//!    ahead come after those that are not.
//! 2. Inside a class: tasks that were parked, then tenants by virtual token counter.
//! 3. Inside a tenant: earliest deadline, then rank, then arrival.
//!
//! The first that fits is admitted. One that does not fit may be passed by those behind it, but only a bounded
//! number of times; then nobody behind it is looked at any more, so that the units which come free are kept for it.
//! A parked task is never passed by newcomers of its own class.

use std::ops::ControlFlow;

use super::Queue;
use super::shares::Virtual;
use crate::{Class, Limits};

/// How many tasks of one tenant are looked at before it is another tenant's turn.
const PER_TENANT: usize = 4;

impl Queue {
    /// Shows the waiting and parked tasks to `look`, in the order of the policy, until it breaks off.
    pub(in crate::lot) fn look_through<T>(
        &self,
        limits: &Limits,
        mut look: impl FnMut(u32) -> ControlFlow<T>,
    ) -> ControlFlow<T> {
        let (order, count) = self.class_order(limits);
        for &class in &order[..count] {
            let queue = &self.classes[class];
            for spot in queue.parked.iter().take(PER_TENANT) {
                look(spot.task)?;
            }
            if !queue.parked.is_empty() {
                continue; // Newcomers of this class do not pass its parked tasks.
            }
            for turn in &queue.turns {
                for spot in queue.share(turn.share).waiting.iter().take(PER_TENANT) {
                    look(spot.task)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The classes that want something, in the order in which they are looked at.
    fn class_order(&self, limits: &Limits) -> ([Class; Class::COUNT], usize) {
        let mut order = [Class::Low; Class::COUNT];
        let mut count = 0;
        let smallest = self.smallest_class_counter();
        for ahead in [false, true] {
            for class in Class::ALL.into_iter().rev().filter(|&class| self.classes[class].wants()) {
                if self.is_ahead(class, smallest, limits) == ahead {
                    order[count] = class;
                    count += 1;
                }
            }
        }
        (order, count)
    }

    /// The smallest counter of the classes that want something.
    pub(super) fn smallest_class_counter(&self) -> Virtual {
        let wanting = self.classes.iter().filter(|(_, queue)| queue.wants());
        wanting.map(|(_, queue)| queue.counter).min().unwrap_or_else(|| self.floor.get())
    }

    /// Whether a class has been served so much more than its share, compared to `other`, that it has to let others go first.
    pub(super) fn is_ahead(&self, class: Class, other: Virtual, limits: &Limits) -> bool {
        self.classes[class].counter.tokens_ahead_of(other, limits.class_weights[class]) > limits.class_burst
    }
}
