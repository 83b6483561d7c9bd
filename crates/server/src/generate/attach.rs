//! Reading along with a stream that another response carries, or carried.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use parkade_core::Event;
use parkade_core::parking_lot::{AttachError, AttachedStream};

use crate::generate::{ChunkEncoder, Entry, Silence};
use crate::http::{ApiError, Frames, Retry, event_stream, quote};

/// Answers with the events of one of the entry's prompts, each numbered, from number `from` on.
///
/// Whoever has read all of a stream that has ended is told so by 204, on which browsers stop coming back.
///
/// # Errors
/// 404 if its stream is not remembered, 410 if its beginning is not any more, 400 if there are not so many events.
pub(crate) fn respond(entry: &Entry, (prompt, from): (usize, u64), silence: Silence) -> Result<Response, ApiError> {
    let Some(encoder) = entry.encoder() else {
        let message = format!("the answer to request {} has no stream, or none that is remembered", quote(&entry.id));
        return Err(ApiError::not_found("stream_not_found", message));
    };
    let Some(id) = entry.engine_ids.get(prompt) else {
        let message = format!("prompt is {prompt}; request {} has {}", quote(&entry.id), entry.engine_ids.len());
        return Err(ApiError::invalid_value("prompt", message));
    };
    let stream = entry.model.engine.pool().streams().attach(id, from).map_err(refused)?;
    if stream.is_over() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(read_along(stream, encoder.chunks(), prompt, from, silence))
}

struct Reading {
    stream: AttachedStream,
    chunks: Box<dyn ChunkEncoder>,
    prompt: usize,
    silence: Silence,
    frames: Frames,
    ended: bool,
}

fn refused(error: AttachError) -> ApiError {
    let message = error.to_string();
    match error {
        AttachError::TooFarBack { .. } => {
            ApiError::new(StatusCode::GONE, "events_forgotten", message, Retry::Never).with_param("from")
        }
        AttachError::TooFarAhead { .. } => ApiError::bad_request("out_of_range", message).with_param("from"),
        _ => ApiError::not_found("stream_not_found", message),
    }
}

fn read_along(
    stream: AttachedStream,
    chunks: Box<dyn ChunkEncoder>,
    prompt: usize,
    from: u64,
    silence: Silence,
) -> Response {
    let mut reading = Reading { stream, chunks, prompt, silence, frames: Frames::default(), ended: false };
    if from == 0 {
        reading.chunks.open(&mut reading.frames);
    }
    let bytes = stream::unfold(reading, |mut reading| async move {
        let bytes = reading.next_bytes().await?;
        Some((Ok::<_, Infallible>(bytes), reading))
    });
    event_stream(Body::from_stream(bytes))
}

impl Reading {
    async fn next_bytes(&mut self) -> Option<Bytes> {
        while self.frames.is_empty() && !self.ended {
            let patience = self.silence.patience();
            match tokio::time::timeout(patience, self.stream.next()).await {
                Err(_) => self.silence.lasts(patience, &mut self.frames),
                Ok(None) => self.ended = true,
                Ok(Some(Ok((number, event)))) => {
                    self.silence.is_broken();
                    self.write(number, event);
                }
                Ok(Some(Err(error))) => {
                    // What is missing cannot be made up: an answer with a hole in it would look whole.
                    self.chunks.error(&refused(error), &mut self.frames);
                    self.ended = true;
                }
            }
        }
        Some(self.frames.take()).filter(|bytes| !bytes.is_empty())
    }

    fn write(&mut self, number: u64, event: Event) {
        match event {
            Event::Failed(error) => {
                self.chunks.error(&error.into(), &mut self.frames);
                self.frames.number(number);
                self.ended = true;
            }
            Event::Done(usage) => {
                self.chunks.close(&usage, &mut self.frames);
                self.frames.number(number);
                self.ended = true;
            }
            event => {
                self.chunks.event(self.prompt, event, &mut self.frames);
                self.frames.number(number);
            }
        }
    }
}
