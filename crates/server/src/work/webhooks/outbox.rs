//! The outbox: what is due, and what comes of it.

use std::sync::Arc;

use axum::http::StatusCode;
use parkade_store::{Attempt, Store, StoreError};
use tokio::task::JoinSet;

use super::{again, post};
use crate::access::Policy;
use crate::generate::{AppState, unix_seconds};

/// Events that are sent at once.
const AT_ONCE: usize = 16;

/// Events that are being sent. Those that it drops are sent again.
#[derive(Default)]
pub(crate) struct Outbox {
    in_hand: JoinSet<()>,
}

impl Outbox {
    /// Begins to send what is due.
    ///
    /// # Errors
    /// The store's.
    pub async fn send(&mut self, state: &AppState, store: &Store) -> Result<(), StoreError> {
        while self.in_hand.try_join_next().is_some() {}
        let policy = state.access().policy();
        let free = AT_ONCE - self.in_hand.len();
        if free == 0 || !policy.has_webhooks() {
            return Ok(());
        }
        for attempt in store.take_deliveries(free).await? {
            let (state, store, policy) = (state.clone(), store.clone(), Arc::clone(&policy));
            self.in_hand.spawn(async move {
                let sent = send(&policy, &attempt).await;
                if let Err(error) = settle(&state, &store, &attempt, sent).await {
                    tracing::warn!(event = attempt.delivery.id, %error, "what came of an event could not be noted");
                }
                // Its place is free, and more may be due.
                state.durable().wake();
            });
        }
        Ok(())
    }
}

/// Why an event has not been received.
struct Failure {
    why: String,
    /// Whether its receiver wants no more of it.
    is_final: bool,
}

async fn send(policy: &Policy, attempt: &Attempt) -> Result<(), Failure> {
    let event = &attempt.delivery;
    let Some(webhook) = policy.webhook_of(&event.owner) else {
        return Err(Failure { why: "its owner has no webhook any more".to_owned(), is_final: true });
    };
    match post::post(webhook, event, unix_seconds(), policy.allow_private_webhooks).await {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => Err(Failure { why: answered(status), is_final: status == StatusCode::GONE }),
        Err(why) => Err(Failure { why, is_final: false }),
    }
}

fn answered(status: StatusCode) -> String {
    let redirects = if status.is_redirection() { "; redirects are not followed" } else { "" };
    format!("it answered {status}{redirects}")
}

async fn settle(
    state: &AppState,
    store: &Store,
    attempt: &Attempt,
    sent: Result<(), Failure>,
) -> Result<(), StoreError> {
    let (event, number) = (&attempt.delivery, attempt.number);
    let metrics = &state.http().metrics;
    let Err(Failure { why, is_final }) = sent else {
        metrics.webhook("delivered");
        tracing::info!(event = event.id, kind = event.kind, number, "a webhook was told");
        return store.delivered(&event.id).await;
    };
    let again = again::pause(&event.id, number, attempt.age).filter(|_| !is_final);
    match again {
        Some(pause) => {
            metrics.webhook("failed");
            let seconds = pause.as_secs();
            tracing::warn!(
                event = event.id,
                kind = event.kind,
                number,
                why,
                again_in = seconds,
                "a webhook was not told"
            );
        }
        None => {
            metrics.webhook("given_up");
            tracing::error!(event = event.id, kind = event.kind, number, why, "a webhook is not told any more");
        }
    }
    store.not_delivered(&event.id, &why, again).await
}
