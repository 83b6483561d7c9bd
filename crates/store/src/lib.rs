#![doc = include_str!("../README.md")]

mod answers;
mod audit;
mod batches;
mod claims;
mod database;
mod deliveries;
mod error;
mod events;
mod files;
mod finish;
mod id;
mod kind;
mod lines;
mod migrations;
mod nodes;
mod page;
mod sweep;
mod values;

pub use answers::{Answer, AnswerState, NewAnswer};
pub use audit::{AuditRecord, Deed};
pub use batches::{Batch, BatchState, NewBatch, Outcome};
pub use database::{Place, Store, StoreConfig};
pub use deliveries::{Attempt, Delivery};
pub use error::StoreError;
pub use files::{File, FileWriter, NewFile, Purpose};
pub use finish::FinishedFiles;
pub use lines::{ClaimedLine, LineResult, NewLine};
pub use nodes::Node;
pub use page::{Order, Page};
pub use sweep::{Retention, Swept};
