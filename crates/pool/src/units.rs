//! Costs and capacities as small vectors of named units.

use std::fmt;

/// How many kinds of units a lot can count.
pub const MAX_UNITS: usize = 4;

/// An amount of each kind of unit that a lot counts: KV blocks, batch slots, bytes, whatever [`Capacity`] names.
///
/// Kinds that a lot does not name stay zero. Sums are checked or saturating; nothing wraps.
///
/// ```
/// use parkade_pool::Units;
/// let cost = Units::from([12, 1]);
/// assert!(cost.fits_in(Units::from([12, 4])));
/// assert_eq!(cost.checked_add(Units::from([u64::MAX, 0])), None);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Units([u64; MAX_UNITS]);

impl Units {
    /// Nothing of any kind.
    pub const ZERO: Units = Units([0; MAX_UNITS]);
    /// More than any machine has: a bound that does not bind.
    pub const MAX: Units = Units([u64::MAX; MAX_UNITS]);

    /// The amount of the unit with this index.
    pub fn get(self, unit: usize) -> u64 {
        self.0[unit]
    }

    /// The same amounts with one replaced.
    pub fn with(mut self, unit: usize, amount: u64) -> Units {
        self.0[unit] = amount;
        self
    }

    /// Whether every amount is at most that of `room`.
    pub fn fits_in(self, room: Units) -> bool {
        self.0.iter().zip(room.0).all(|(need, room)| *need <= room)
    }

    /// Whether every amount is zero.
    pub fn is_zero(self) -> bool {
        self == Units::ZERO
    }

    /// The sum, or `None` if one amount overflows.
    pub fn checked_add(self, other: Units) -> Option<Units> {
        let mut sum = self;
        for (a, b) in sum.0.iter_mut().zip(other.0) {
            *a = a.checked_add(b)?;
        }
        Some(sum)
    }

    /// The difference, or `None` if one amount would go below zero.
    pub fn checked_sub(self, other: Units) -> Option<Units> {
        let mut difference = self;
        for (a, b) in difference.0.iter_mut().zip(other.0) {
            *a = a.checked_sub(b)?;
        }
        Some(difference)
    }

    /// The sum, at most `u64::MAX` of each kind.
    pub fn saturating_add(self, other: Units) -> Units {
        self.zip(other, u64::saturating_add)
    }

    /// The difference, at least zero of each kind.
    pub fn saturating_sub(self, other: Units) -> Units {
        self.zip(other, u64::saturating_sub)
    }

    /// The smaller amount of each kind.
    pub fn min(self, other: Units) -> Units {
        self.zip(other, u64::min)
    }

    /// The first kind of which there is more here than in `room`.
    pub(crate) fn first_over(self, room: Units) -> Option<usize> {
        (0..MAX_UNITS).find(|&unit| self.0[unit] > room.0[unit])
    }

    /// The amounts, for arithmetic on predictions.
    #[cfg(feature = "parking-lot-scheduler")]
    pub(crate) fn amounts(self) -> [u64; MAX_UNITS] {
        self.0
    }

    fn zip(self, other: Units, f: impl Fn(u64, u64) -> u64) -> Units {
        Units(std::array::from_fn(|unit| f(self.0[unit], other.0[unit])))
    }
}

impl<const N: usize> From<[u64; N]> for Units {
    /// The first `N` kinds; more than [`MAX_UNITS`] do not compile.
    fn from(amounts: [u64; N]) -> Units {
        const { assert!(N <= MAX_UNITS, "a lot counts at most MAX_UNITS kinds of units") };
        let mut units = Units::ZERO;
        units.0[..N].copy_from_slice(&amounts);
        units
    }
}

impl fmt::Debug for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.0.iter().rposition(|&amount| amount != 0).map_or(1, |last| last + 1);
        f.debug_list().entries(&self.0[..used]).finish()
    }
}

/// The units that a lot counts: their names and how many there are in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    names: Vec<String>,
    total: Units,
}

impl Capacity {
    /// Names each kind of unit, in the order of its index, with its total.
    ///
    /// # Panics
    /// If there are more than [`MAX_UNITS`] kinds: that is a mistake in the program.
    ///
    /// ```
    /// let capacity = parkade_pool::Capacity::new([("kv-blocks", 4096), ("sequences", 64)]);
    /// assert_eq!(capacity.total().get(0), 4096);
    /// ```
    pub fn new<'a>(units: impl IntoIterator<Item = (&'a str, u64)>) -> Capacity {
        let mut names = Vec::new();
        let mut total = Units::ZERO;
        for (unit, (name, amount)) in units.into_iter().enumerate() {
            assert!(unit < MAX_UNITS, "a lot counts at most {MAX_UNITS} kinds of units, '{name}' is one too many");
            names.push(name.to_owned());
            total = total.with(unit, amount);
        }
        Capacity { names, total }
    }

    /// All there is.
    pub fn total(&self) -> Units {
        self.total
    }

    /// The name of the unit with this index; units without a name have a total of zero.
    pub fn name(&self, unit: usize) -> &str {
        self.names.get(unit).map_or("unnamed unit", String::as_str)
    }

    /// How many kinds of units have names.
    pub fn kinds(&self) -> usize {
        self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_wrap() {
        let most = Units::from([u64::MAX, 1]);
        assert_eq!(most.checked_add(Units::from([1])), None);
        assert_eq!(most.saturating_add(Units::from([1, 1])), Units::from([u64::MAX, 2]));
        assert_eq!(Units::from([1]).checked_sub(Units::from([2])), None);
        assert_eq!(Units::from([1, 5]).saturating_sub(Units::from([2, 1])), Units::from([0, 4]));
    }

    #[test]
    fn fits_asks_every_kind() {
        assert!(Units::from([1, 2]).fits_in(Units::from([1, 2])));
        assert!(!Units::from([1, 3]).fits_in(Units::from([9, 2])));
        assert_eq!(Units::from([1, 3]).first_over(Units::from([9, 2])), Some(1));
    }
}
