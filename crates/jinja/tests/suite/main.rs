//! The crate as its users see it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod bounds;
mod names;
mod prices;
mod provenance;
mod support;
mod witness;
