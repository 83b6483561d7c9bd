//! Work that outlives its client: who does it, and in what order.
//!
//! One task does all of it, from the first moment when there may be some: it renews the lease of this process, reads the files of batches,
//! runs their lines, writes their answers, and forgets what is old. A line is asked of the server's own paths, as if its owner had sent it:
//! it is read, priced, charged, parked and refused as any other request.
//!
//! | file | subject |
//! | --- | --- |
//! | `worker.rs` | the task: what it has in hand, and when it does what |
//! | `read.rs` | the file of a batch: which lines can be run, and in what order |
//! | `order.rs` | lines that begin alike |
//! | `run.rs` | one line: asked, waited for, asked again |
//! | `written.rs` | what is written of a line |
//! | `webhooks/` | what webhooks are told: sent, and sent again |
//! | `ending.rs` | the files of a batch that is over |

mod ending;
mod order;
mod read;
mod run;
mod webhooks;
mod worker;
mod written;

pub(crate) use read::{LARGEST_INPUT, read_here};
pub(crate) use run::{answer, body_of};
pub(crate) use worker::{most_lines, start};
