//! HTTP itself, for whatever API is spoken over it: connections, heads, bodies, the request log and the error value.
//!
//! | file | subject |
//! | --- | --- |
//! | `listen.rs` | accepting connections and ending them |
//! | `connection/` | one connection: its place, what it waits for, its requests and answers |
//! | `stall.rs` | readers who do not read |
//! | `authority.rs` | hosts and origins as they stand in headers and settings |
//! | `state.rs` | what all connections and requests share |
//! | `body.rs` | a body, read within bounds of length, time and memory |
//! | `body_memory.rs` | the memory that bodies may take |
//! | `sse.rs` | server-sent events |
//! | `request_log.rs` | a request's id, its counters, and its line in the log |
//! | `metrics.rs` | what is counted of connections and requests |
//! | `error.rs` | what a client is told when something is refused or fails |

pub(crate) mod authority;
pub(crate) mod body;
pub(crate) mod body_memory;
pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod listen;
pub(crate) mod metrics;
pub(crate) mod request_log;
pub(crate) mod sse;
pub(crate) mod stall;
pub(crate) mod state;
