//! HTTP itself, for whatever API is spoken over it: connections, heads, bodies, the request log and the error value.
//!
//! | file | subject |
//! | --- | --- |
//! | `listen.rs` | accepting connections and ending them |
//! | `listener.rs` | where connections come from |
//! | `tls.rs`, `tls_socket.rs` | the certificate of TLS, and a socket that speaks it |
//! | `unix_socket.rs` | the file of a Unix socket |
//! | `connection/` | one connection: its place, what it waits for, its requests and answers |
//! | `stall.rs` | readers who do not read |
//! | `authority.rs` | hosts and origins as they stand in headers and settings |
//! | `state.rs` | what all connections and requests share |
//! | `body.rs` | a body, read within bounds of length, time and memory |
//! | `json_fault.rs` | what is wrong with a text that is to be JSON |
//! | `body_memory.rs` | the memory that bodies may take |
//! | `parameters.rs` | what stands in a path or behind its question mark |
//! | `sse.rs` | server-sent events |
//! | `request_log.rs` | a request's id, its counters, and its line in the log |
//! | `metrics.rs` | what is counted of connections and requests |
//! | `error.rs` | what a client is told when something is refused or fails |

mod authority;
pub(crate) mod body;
mod body_memory;
mod connection;
pub(crate) mod error;
mod json_fault;
pub(crate) mod listen;
mod listener;
mod metrics;
mod parameters;
pub(crate) mod request_log;
mod sse;
mod stall;
mod state;
mod tls;
mod tls_socket;
mod unix_socket;

pub(crate) use authority::{ANY, Authority, Host, LOCALHOST, is_local_page, normal_origin};
pub(crate) use body_memory::Payer;
pub(crate) use connection::{Admission, Ends, Sender, is_probe};
pub use error::{ApiError, Retry};
pub(crate) use error::{ErrorBody, quote};
pub(crate) use json_fault::json_fault;
pub use listener::Listener;
pub(crate) use parameters::{Name, Parameters};
pub use request_log::is_request_id;
pub(crate) use request_log::{Quiet, RequestLog};
pub(crate) use sse::{Frames, event_stream};
pub(crate) use state::HttpState;
pub use tls::{Tls, TlsError};
