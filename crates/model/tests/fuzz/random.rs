//! What a case's number decides.

pub use crate::splitmix::Random;

impl Random {
    pub fn new(case: u64) -> Random {
        Random(case.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// Yes, once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}
