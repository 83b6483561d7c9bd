//! An answer as a stream of events, while the engine computes it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use parkade_core::{Event, RequestError};

use super::answers::Answers;
use crate::access::Identity;
use crate::generate::{AppState, ChunkEncoder, Encoder, Silence};
use crate::http::{ApiError, Frames, event_stream};

struct Running {
    state: AppState,
    answers: Answers,
    encoder: Arc<dyn Encoder>,
    chunks: Box<dyn ChunkEncoder>,
    silence: Silence,
    frames: Frames,
    ended: bool,
}

impl Running {
    /// Waits for an event, or long enough for a comment, and writes it. An error is given back, not written: before
    /// the first event it can still become the status.
    async fn advance(&mut self, patience: Duration) -> Result<(), ApiError> {
        match tokio::time::timeout(patience, self.answers.next()).await {
            Err(_) => self.silence.lasts(patience, &mut self.frames),
            Ok(next) => {
                self.silence.is_broken();
                self.write(next)?;
            }
        }
        // What is there already goes out in the same piece: each piece costs a system call and a packet.
        while !self.ended && !self.frames.is_full() {
            match self.answers.next().now_or_never() {
                Some(next) => self.write(next)?,
                None => break,
            }
        }
        Ok(())
    }

    fn write(&mut self, next: Result<Option<(usize, Event)>, RequestError>) -> Result<(), ApiError> {
        match next {
            Ok(Some((prompt, event))) => self.chunks.event(prompt, event, &mut self.frames),
            Ok(None) => {
                self.chunks.close(self.answers.usage(), &mut self.frames);
                self.ended = true;
            }
            Err(error) => {
                self.ended = true;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The next bytes, or `None` when all were sent.
    async fn next_bytes(&mut self) -> Option<Bytes> {
        // An event may give no bytes: a token that is only a part of a character.
        while self.frames.is_empty() && !self.ended {
            if let Err(error) = self.advance(self.silence.patience()).await {
                self.chunks.error(&error, &mut self.frames);
            }
        }
        // Whoever has read the end can ask for it.
        if self.ended
            && !self.frames.is_empty()
            && let Some(kept) = self.encoder.kept()
        {
            self.state.kept().put(kept).await;
        }
        Some(self.frames.take()).filter(|bytes| !bytes.is_empty())
    }
}

/// Answers with a stream. The head is held back until the first event, so that a request which fails in line still
/// gets its status and one that runs says how long it was there, but no longer than the configuration says.
///
/// # Errors
/// What became of the request if it failed before its first event.
pub(crate) async fn respond(
    answers: Answers,
    encoder: Arc<dyn Encoder>,
    identity: &Identity,
    has_deadline: bool,
    state: &AppState,
) -> Result<Response, ApiError> {
    let config = state.config();
    let silence = Silence::new(answers.entry().clone(), identity, config);
    let (chunks, state) = (Arc::clone(&encoder).chunks(), state.clone());
    let mut running =
        Running { state: state.clone(), answers, encoder, chunks, silence, frames: Frames::default(), ended: false };
    running.chunks.open(&mut running.frames);
    let hold = if has_deadline { config.head_hold } else { config.head_hold.min(config.waiting_comment) };
    running.advance(hold).await?;
    match running.answers.queued() {
        Some(queued) => running.answers.log().set_queue_time(queued),
        None => running.answers.log().set_headers(|headers| headers.extend(running.silence.headers())),
    }
    let bytes = stream::unfold(running, |mut running| async move {
        let bytes = running.next_bytes().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), running))
    });
    Ok(event_stream(Body::from_stream(bytes)))
}
