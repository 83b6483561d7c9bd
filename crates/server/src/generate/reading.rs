//! Reading the events of an answer, wherever it is computed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use parkade_store::{AnswerState, Store, StoreError};
use tokio::time::Instant;

use super::kept::{Course, EventLog, Kept, Shelf, owner_name};
use crate::generate::AppState;
use crate::http::event_stream;

/// A line that clients skip; it keeps proxies from closing a silent connection.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// How often it is looked for events that another process has written.
const POLL: Duration = Duration::from_millis(250);

/// The most events that are fetched at once.
const AT_ONCE: usize = 500;

struct Reader {
    state: AppState,
    id: String,
    owner: String,
    /// The number of the next event.
    from: usize,
    /// Where they are, if they come from here.
    log: Option<Arc<EventLog>>,
}

/// Answers with the events of an answer from this number on, to the last one that will be.
pub(crate) fn respond(state: &AppState, kept: &Kept, from: usize) -> Response {
    let owner = owner_name(kept.owner.as_deref()).to_owned();
    let reader = Reader { state: state.clone(), id: kept.id.clone(), owner, from, log: kept.events.clone() };
    let bytes = stream::unfold(reader, |mut reader| async move {
        let bytes = reader.next().await?;
        Some((Ok::<_, Infallible>(bytes), reader))
    });
    event_stream(Body::from_stream(bytes))
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        let began = Instant::now();
        let patience = self.state.config().keep_alive_comment;
        loop {
            let Some(left) = patience.checked_sub(began.elapsed()) else { return Some(KEEP_ALIVE.into()) };
            let Some(log) = self.log.clone() else {
                let store = self.state.durable().any_store()?.clone();
                match self.look(&store).await {
                    Ok(Some(events)) if !events.is_empty() => return Some(events.into()),
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(error) if error.is_passing() && !self.state.is_draining() => {}
                    Err(error) => {
                        tracing::warn!(answer = self.id, %error, "its events cannot be read");
                        return None;
                    }
                }
                if self.log.is_none() {
                    tokio::time::sleep(POLL).await;
                }
                continue;
            };
            let Ok((count, course)) = tokio::time::timeout(left, log.beyond(self.from)).await else { continue };
            if count > self.from {
                let events = log.between(self.from, count).concat();
                self.from = count;
                return Some(events.into());
            }
            match course {
                Course::Ended => return None,
                // Perhaps another goes on with it.
                _ => self.log = None,
            }
        }
    }

    /// The next events in the store, as text; none if no more will come.
    async fn look(&mut self, store: &Store) -> Result<Option<String>, StoreError> {
        // Asked for first: an answer that has ended has all its events.
        let state = store.answer_state(&self.owner, &self.id).await?;
        let events = store.events(&self.id, self.from as u64, AT_ONCE).await?;
        self.from += events.len();
        match state {
            None => return Ok(None),
            Some(AnswerState::Ended) if events.is_empty() => return Ok(None),
            // Whoever waits for the next node would keep this one from its end.
            _ if events.is_empty() && self.state.is_draining() => return Ok(None),
            _ => {}
        }
        if events.is_empty() {
            self.log = here(self.state.kept(), &self.id);
        }
        Ok(Some(events.concat()))
    }
}

/// The events of an answer that this process has taken up meanwhile.
fn here(shelf: &Shelf, id: &str) -> Option<Arc<EventLog>> {
    shelf.here(id).and_then(|kept| kept.events.clone()).filter(|log| log.progress().1 != Course::Left)
}
