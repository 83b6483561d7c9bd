//! Who waits, and in which order.

pub(super) mod class_queue;
pub(super) mod order;
pub(super) mod shares;
pub(super) mod tenant_queue;
pub(super) mod tenants;
