//! Who holds what. Units leave the ledger in a [`Reservation`] and come back by consuming it, so exactly once.

use crate::Units;

/// Units that one running task holds. It can be neither copied nor cloned: giving it back needs the thing itself.
#[derive(Debug, Default)]
#[must_use = "units that are not given back are lost"]
pub(crate) struct Reservation {
    /// Taken.
    units: Units,
    /// Set aside for its growth, not yet taken.
    promise: Units,
}

impl Reservation {
    pub(crate) fn units(&self) -> Units {
        self.units
    }

    pub(crate) fn promise(&self) -> Units {
        self.promise
    }
}

/// The units of the lot: all there are, what is held, what is promised, and what the owner of the real thing says.
///
/// An executor's own count of free units is the truth. The ledger takes it with [`Ledger::observe`] and keeps on top
/// only what it has handed out since: there is no second count that could drift. Without observations the ledger's
/// own sum decides alone.
#[derive(Debug)]
pub(crate) struct Ledger {
    capacity: Units,
    in_use: Units,
    promised: Units,
    /// Really free when last seen, less what was handed out since.
    observed: Option<Units>,
    /// Handed out, but its task has not been taken by a worker yet: no observation can have seen it.
    in_transit: Units,
}

impl Ledger {
    pub(crate) fn new(capacity: Units) -> Ledger {
        Ledger { capacity, in_use: Units::ZERO, promised: Units::ZERO, observed: None, in_transit: Units::ZERO }
    }

    pub(crate) fn capacity(&self) -> Units {
        self.capacity
    }

    pub(crate) fn in_use(&self) -> Units {
        self.in_use
    }

    pub(crate) fn promised(&self) -> Units {
        self.promised
    }

    pub(crate) fn in_transit(&self) -> Units {
        self.in_transit
    }

    /// What nobody holds.
    pub(crate) fn free(&self) -> Units {
        let by_ledger = self.capacity.saturating_sub(self.in_use);
        self.observed.map_or(by_ledger, |observed| observed.min(by_ledger))
    }

    /// What nobody holds and nobody was promised.
    pub(crate) fn unpromised(&self) -> Units {
        self.free().saturating_sub(self.promised)
    }

    /// Takes the truth about free units, as of now.
    pub(crate) fn observe(&mut self, free: Units) {
        self.observed = Some(free.saturating_sub(self.in_transit));
    }

    /// Hands out `units` and sets `promise` aside. They are in transit until [`Ledger::arrived`].
    ///
    /// # Panics
    /// If they are not there: the caller has checked.
    pub(crate) fn reserve(&mut self, units: Units, promise: Units) -> Reservation {
        assert!(units.fits_in(self.free()), "reserving {units:?} of {:?} free", self.free());
        self.hand_out(units);
        self.in_transit = self.in_transit.saturating_add(units);
        self.promised = self.promised.saturating_add(promise);
        Reservation { units, promise }
    }

    /// The task of this reservation is with its executor, so the next observation counts it.
    pub(crate) fn arrived(&mut self, reservation: &Reservation) {
        self.in_transit = minus(self.in_transit, reservation.units);
    }

    /// Adds `units` to a reservation, out of its promise first.
    ///
    /// # Panics
    /// If they are not there: the caller has checked.
    pub(crate) fn grow(&mut self, reservation: &mut Reservation, units: Units) {
        assert!(units.fits_in(self.free()), "growing by {units:?} of {:?} free", self.free());
        self.hand_out(units);
        let kept = units.min(reservation.promise);
        self.promised = minus(self.promised, kept);
        reservation.promise = minus(reservation.promise, kept);
        reservation.units = reservation.units.saturating_add(units);
    }

    /// Takes `units` of a reservation back that is with its executor. The next observation shows them.
    pub(crate) fn lend(&mut self, reservation: &mut Reservation, units: Units) {
        self.in_use = minus(self.in_use, units);
        reservation.units = minus(reservation.units, units);
    }

    /// Sets aside no more than this for the rest of the task.
    pub(crate) fn lower_promise(&mut self, reservation: &mut Reservation, most: Units) {
        let given_back = reservation.promise.saturating_sub(most);
        self.promised = minus(self.promised, given_back);
        reservation.promise = minus(reservation.promise, given_back);
    }

    /// Takes back what a task held that was with its executor. The next observation shows what became free.
    pub(crate) fn release(&mut self, reservation: Reservation) {
        self.in_use = minus(self.in_use, reservation.units);
        self.promised = minus(self.promised, reservation.promise);
    }

    /// Takes back what was still in transit: nobody has used it.
    pub(crate) fn release_in_transit(&mut self, reservation: Reservation) {
        self.arrived(&reservation);
        self.observed = self.observed.map(|free| free.saturating_add(reservation.units));
        self.release(reservation);
    }

    fn hand_out(&mut self, units: Units) {
        self.in_use = self.in_use.saturating_add(units);
        self.observed = self.observed.map(|free| free.saturating_sub(units));
    }
}

fn minus(held: Units, given_back: Units) -> Units {
    held.checked_sub(given_back).expect("the ledger holds what was reserved")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(amount: u64) -> Units {
        Units::from([amount])
    }

    #[test]
    fn what_is_reserved_comes_back_exactly() {
        let mut ledger = Ledger::new(units(10));
        let mut held = ledger.reserve(units(4), units(3));
        ledger.arrived(&held);
        assert_eq!((ledger.free(), ledger.unpromised()), (units(6), units(3)));
        ledger.grow(&mut held, units(2));
        assert_eq!((ledger.free(), ledger.unpromised()), (units(4), units(3)));
        ledger.lower_promise(&mut held, units(4));
        assert_eq!(ledger.unpromised(), units(3), "a promise is not raised");
        ledger.lower_promise(&mut held, Units::ZERO);
        assert_eq!(ledger.unpromised(), units(4));
        ledger.lend(&mut held, units(2));
        assert_eq!((ledger.free(), held.units()), (units(6), units(4)));
        ledger.release(held);
        assert_eq!((ledger.free(), ledger.unpromised()), (units(10), units(10)));
    }

    #[test]
    fn an_observation_does_not_hide_what_is_on_its_way() {
        let mut ledger = Ledger::new(units(10));
        let held = ledger.reserve(units(4), Units::ZERO);
        ledger.observe(units(9)); // the executor has not seen the 4 yet, and caches 1
        assert_eq!(ledger.free(), units(5));
        ledger.release_in_transit(held);
        assert_eq!(ledger.free(), units(9));
    }

    #[test]
    #[should_panic(expected = "reserving")]
    fn nothing_is_reserved_twice() {
        let mut ledger = Ledger::new(units(4));
        let _first = ledger.reserve(units(3), Units::ZERO);
        let _second = ledger.reserve(units(2), Units::ZERO);
    }
}
