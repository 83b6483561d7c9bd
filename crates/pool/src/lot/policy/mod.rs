//! The policy proper: who is next, and who has to go.

pub(super) mod order;
pub(super) mod victims;
