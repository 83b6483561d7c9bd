//! An answer that is computed here for the store: its events, and its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parkade_store::{AnswerEnd, Deed, Delivery, Node, Store, StoreError};

use super::encoder::Encoder;
use super::kept::{Course, EventLog, Job, Kept, owner_name};
use super::{AppState, events};

/// How often events are written.
const PUSH: Duration = Duration::from_millis(250);

/// When a store that cannot be reached is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The right to say what becomes of an answer, as long as this process is the same node.
pub(crate) struct Claim {
    state: AppState,
    store: Store,
    node: Node,
    id: String,
    owner: String,
}

/// What an answer has become that is to be told: none tells nobody.
pub(crate) type Told = Option<&'static str>;

impl Claim {
    /// That of a node which has put the answer into the store, or taken it up there.
    pub fn new(state: &AppState, store: &Store, node: &Node, kept: &Kept) -> Self {
        Self {
            state: state.clone(),
            store: store.clone(),
            node: node.clone(),
            id: kept.id.clone(),
            owner: owner_name(kept.owner.as_deref()).to_owned(),
        }
    }

    /// Comes back when the claim does not hold any more.
    pub async fn lost(&self) {
        self.state.durable().lost(&self.node).await;
    }

    /// How many of its events are written.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn count_events(&self) -> Result<u64, StoreError> {
        self.store.count_events(&self.id).await
    }

    /// Forgets the answer as if it had never been asked for.
    pub async fn withdraw(&self) {
        if let Err(error) = self.store.withdraw_answer(&self.node, &self.id).await {
            tracing::warn!(answer = self.id, %error, "an answer that was refused is still in the store");
        }
    }

    /// Writes the end, and tells what has become of it: `response.completed`. Tries until the store takes it.
    ///
    /// # Errors
    /// The claim is lost, or the answer has been deleted.
    pub async fn finish(&self, end: &AnswerEnd, action: &str, told: Told) -> Result<(), StoreError> {
        let (owner, object) = (self.owner.clone(), self.id.clone());
        let deed = Deed {
            tenant: owner,
            actor: "parkade".to_owned(),
            action: action.to_owned(),
            object,
            detail: String::new(),
        };
        let policy = self.state.access().policy();
        let event = told.map_or_else(Delivery::none, |kind| events::of(&policy, &self.owner, kind, &self.id));
        drop(policy);
        loop {
            match self.store.finish_answer(&self.node, end, (Some(&deed), &event)).await {
                Err(StoreError::Fenced) => return Err(StoreError::Fenced),
                Err(error) => self.wait(&error).await,
                Ok(()) => break,
            }
        }
        // What is to be told is told soon.
        self.state.durable().wake();
        Ok(())
    }

    async fn wait(&self, error: &StoreError) {
        tracing::warn!(answer = self.id, %error, "an answer waits for its store");
        tokio::time::sleep(AGAIN).await;
    }

    /// Writes events as they come and, when the answer is there, what it is.
    pub async fn follow(self, log: Arc<EventLog>, job: Arc<dyn Job>, encoder: Arc<dyn Encoder>) {
        let written = tokio::select! {
            written = self.write(&log, encoder.as_ref()) => written,
            () = self.lost() => Err(StoreError::Fenced),
        };
        if written.is_err() {
            // Others go on with it, or nobody wants it.
            tracing::debug!(answer = self.id, "an answer is not computed here any more");
            log.leave();
            job.cancel();
        }
        self.state.kept().leave(&self.id);
    }

    async fn write(&self, log: &EventLog, encoder: &dyn Encoder) -> Result<(), StoreError> {
        // Those that were written before are the same.
        let mut written = loop {
            match self.count_events().await {
                Ok(count) => break usize::try_from(count).unwrap_or(usize::MAX),
                Err(error) => self.wait(&error).await,
            }
        };
        loop {
            let (_, course) = log.beyond(written).await;
            if course == Course::Open {
                log.ended(PUSH).await;
            }
            let (count, course) = log.progress();
            let events: Vec<_> = log.between(written, count).iter().map(text).collect();
            if course != Course::Open {
                let Some(kept) = encoder.kept() else { return Err(StoreError::Fenced) };
                let (body, messages) = (kept.body.to_string(), kept.messages.to_string());
                let end = AnswerEnd { id: self.id.clone(), body, messages, first: written as u64, events };
                let action = encoder.outcome();
                return self.finish(&end, action, Some(action)).await;
            }
            match self.store.push_events(&self.node, &self.id, written as u64, &events).await {
                Ok(()) => written = count,
                Err(StoreError::Fenced) => return Err(StoreError::Fenced),
                Err(error) => self.wait(&error).await,
            }
        }
    }
}

/// Events are JSON and words around it.
fn text(event: &Bytes) -> String {
    String::from_utf8_lossy(event).into_owned()
}
