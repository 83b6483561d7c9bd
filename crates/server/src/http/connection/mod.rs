//! One connection: its place, what it waits for, and how its requests come in and are answered.
//!
//! | file | subject |
//! | --- | --- |
//! | `door.rs` | the places for connections, and who gives one up |
//! | `gate.rs` | between the socket and the HTTP library: one request at a time, with time limits |
//! | `head.rs` | the check of a request's head |
//! | `framing.rs` | where a body ends |
//! | `presence.rs` | what a connection is waiting for |
//! | `answerer.rs` | its requests to the router, and their answers |
//! | `sender.rs` | whom it comes from |
//! | `refusal.rs` | an error written by hand |

mod answerer;
mod door;
mod framing;
mod gate;
mod head;
mod presence;
mod refusal;
mod sender;

pub(crate) use answerer::{Answerer, Ends};
pub(crate) use door::{Admission, Door, is_probe};
pub(crate) use gate::{Gate, StoodStill};
pub(crate) use sender::Sender;
