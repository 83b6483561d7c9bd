//! Answers that are computed whether or not somebody reads.

use std::sync::Arc;

use super::answers::Answers;
use super::call::{Again, Saved};
use super::durable::{deed, of_store};
use super::kept::{EventLog, Kept, Progress, new_row};
use super::record::Claim;
use crate::access::Identity;
use crate::generate::{AppState, Encoder};
use crate::http::{ApiError, Frames};

/// Begins an answer that is kept: from now on it can be asked for, and is computed to its end. `saved` is how it was asked for, or `again`
/// that it is in the store already.
///
/// # Errors
/// The store cannot be reached, or the claim is lost; then nothing has begun.
pub(super) async fn begin(
    (state, identity): (&AppState, &Identity),
    answers: Answers,
    encoder: Arc<dyn Encoder>,
    begun: Kept,
    (saved, again): (Option<Saved>, Option<Arc<Again>>),
) -> Result<Arc<Kept>, ApiError> {
    let (state, identity) = (state.clone(), identity.clone());
    // A task of its own: a handler is dropped when its client leaves, and what has been put must be computed.
    let beginning = tokio::spawn(async move {
        let log = EventLog::new();
        let job = answers.entry().clone();
        let kept = Kept { progress: Progress::Here(job.clone()), events: Some(Arc::clone(&log)), ..begun };
        let claim = match &again {
            Some(again) => Some(taken_up(&state, again, &answers).await?),
            None => put(&state, &identity, &kept, saved).await?,
        };
        state.kept().begin(kept.clone());
        let shared = state.clone();
        if let Some(claim) = claim {
            tokio::spawn(claim.follow(Arc::clone(&log), job, Arc::clone(&encoder)));
        }
        tokio::spawn(run(shared, answers, encoder, log));
        Ok(Arc::new(kept))
    });
    beginning.await.unwrap_or_else(|failure| {
        tracing::error!(%failure, "an answer in the background could not begin");
        Err(ApiError::internal("the server failed on this request; it may be sent again"))
    })
}

async fn taken_up(state: &AppState, again: &Again, answers: &Answers) -> Result<Claim, ApiError> {
    let store = state.durable().store()?;
    if again.is_foreign_to(&answers.entry().model.fingerprint) {
        tracing::warn!(answer = again.kept.id, "an answer was begun by another model, and is begun anew");
        store.forget_events(&again.node, &again.kept.id).await.map_err(of_store)?;
    }
    Ok(Claim::new(state, store, &again.node, &again.kept))
}

/// Puts an answer into the store, if there is one.
async fn put(
    state: &AppState,
    identity: &Identity,
    kept: &Kept,
    saved: Option<Saved>,
) -> Result<Option<Claim>, ApiError> {
    let (Some(store), Some(saved)) = (state.durable().any_store(), saved) else { return Ok(None) };
    let request = saved.write().map_err(|error| {
        tracing::error!(%error, "a request could not be written as JSON");
        ApiError::internal("the request could not be kept")
    })?;
    let node = state.durable().joined().await?;
    let deed = deed(identity, "response.created", &kept.id);
    store.put_answer(&new_row(kept, Some(request)), Some(&node), Some(&deed)).await.map_err(of_store)?;
    Ok(Some(Claim::new(state, store, &node, kept)))
}

/// Computes answers to their end and writes down what happens.
async fn run(state: AppState, mut answers: Answers, encoder: Arc<dyn Encoder>, log: Arc<EventLog>) {
    let mut chunks = Arc::clone(&encoder).chunks();
    let mut frames = Frames::default();
    chunks.open(&mut frames);
    loop {
        log.push(&mut frames, false);
        match answers.next().await {
            Ok(Some((prompt, event))) => chunks.event(prompt, event, &mut frames),
            Ok(None) => {
                chunks.close(answers.usage(), &mut frames);
                break;
            }
            Err(error) => {
                chunks.error(&error.into(), &mut frames);
                break;
            }
        }
    }
    // Before its last event: whoever has read that finds what it says.
    if let Some(kept) = encoder.kept() {
        let id = kept.id.clone();
        state.kept().end(Kept { events: Some(Arc::clone(&log)), ..kept });
        log.push(&mut frames, true);
        state.kept().weigh(&id);
    } else {
        log.push(&mut frames, true);
    }
}
