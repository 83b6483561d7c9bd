//! Who holds units, whether the growth of all fits, and who has to give them back.

pub(super) mod forecast;
pub(super) mod ledger;
pub(super) mod preemption;
