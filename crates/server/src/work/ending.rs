//! The end of a batch: its files, and who is told.

use parkade_store::{Batch, BatchState, Deed, Delivery, Node, Outcome, Store, StoreError};

use super::written;
use crate::access::Policy;
use crate::generate::{deeds, events};

/// Who is told that a batch is over: the book of deeds, and its owner's webhook.
pub(super) fn told(policy: &Policy, batch: &Batch, state: BatchState) -> (Deed, Delivery) {
    let action = format!("batch.{}", state.name());
    let event = events::of(policy, &batch.owner, &action, &batch.id);
    (deeds::own(&batch.owner, &action, &batch.id), event)
}

/// Writes the files of a batch of which nothing is to be run any more.
pub(super) async fn end(policy: &Policy, store: &Store, node: &Node, batch: &Batch) -> Result<(), StoreError> {
    let (code, message) = match batch.outcome {
        Outcome::Expired => ("batch_expired", "this request was not run before the batch's completion window was over"),
        _ => ("batch_cancelled", "this request was not run before the batch was cancelled"),
    };
    let unfinished = move |custom_id: &str, line| written::refused(Some(custom_id), line, code, message);
    let told = told(policy, batch, batch.outcome.state());
    store.finish_batch(node, batch, unfinished, (&told.0, &told.1)).await?;
    tracing::info!(batch = batch.id, state = batch.outcome.state().name(), "a batch is over");
    Ok(())
}
