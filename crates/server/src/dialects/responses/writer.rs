//! The events of a streamed answer.

use std::sync::Arc;

use parkade_calls::Piece;
use parkade_core::{Event, FinishReason, Usage};
use serde_json::{Value, json};

use super::items::{self, Status};
use super::response::Responses;
use crate::dialects::chat::{Answered, Part, Turn};
use crate::dialects::progress::PromptReport;
use crate::dialects::timings::{Stopwatch, Timings};
use crate::generate::ChunkEncoder;
use crate::http::{ApiError, Frames};

/// Writes them, numbered.
pub(super) struct Writer {
    response: Arc<Responses>,
    turn: Turn,
    answered: Answered,
    /// Whether the last part may still grow.
    is_open: bool,
    cut: bool,
    sequence: usize,
    watch: Stopwatch,
    /// As far as it is known.
    prompt_tokens: usize,
    /// Tokens of the answer so far.
    tokens: usize,
}

impl Writer {
    pub fn new(response: Arc<Responses>) -> Self {
        let turn = Turn::new(&response.reading);
        Self {
            response,
            turn,
            answered: Answered::default(),
            is_open: false,
            cut: false,
            sequence: 0,
            watch: Stopwatch::start(),
            prompt_tokens: 0,
            tokens: 0,
        }
    }

    fn send(&mut self, kind: &str, mut event: Value, frames: &mut Frames) {
        event["type"] = kind.into();
        event["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        frames.named(kind, &event);
    }

    /// The number of the part that is written, and its item's name.
    fn place(&self) -> (usize, String) {
        let index = self.answered.parts.len().saturating_sub(1);
        let id = self.answered.parts.last().map(|part| items::id(&self.response.id, part, index));
        (index, id.unwrap_or_default())
    }

    fn item(&self, status: Status) -> Value {
        let (index, _) = self.place();
        let part = self.answered.parts.last();
        part.map_or(Value::Null, |part| items::item(&self.response.id, part, index, status))
    }

    fn piece(&mut self, piece: Piece, frames: &mut Frames) {
        let is_new = !self.is_open
            || !matches!(
                (&piece, self.answered.parts.last()),
                (Piece::Text(_), Some(Part::Text(_)))
                    | (Piece::Reasoning(_), Some(Part::Thoughts(_)))
                    | (Piece::Arguments { .. } | Piece::End { .. }, Some(Part::Call(_)))
            );
        if is_new {
            self.end_item(Status::Completed, frames);
        }
        let (delta, kind) = match &piece {
            Piece::Text(text) => (text.clone(), "response.output_text.delta"),
            Piece::Reasoning(text) => (text.clone(), "response.reasoning_text.delta"),
            Piece::Arguments { text, .. } => (text.clone(), "response.function_call_arguments.delta"),
            Piece::Call { .. } => (String::new(), ""),
            Piece::End { .. } => return self.end_item(Status::Completed, frames),
        };
        self.answered.add(piece);
        if is_new {
            self.begin_item(frames);
        }
        if !delta.is_empty() {
            self.delta(kind, &delta, frames);
        }
    }

    fn delta(&mut self, kind: &str, delta: &str, frames: &mut Frames) {
        let (index, id) = self.place();
        let mut event = json!({"item_id": id, "output_index": index, "delta": delta});
        match self.answered.parts.last() {
            Some(Part::Text(_)) => {
                event["content_index"] = 0.into();
                event["logprobs"] = json!([]);
            }
            Some(Part::Thoughts(_)) => event["content_index"] = 0.into(),
            _ => {}
        }
        if self.response.timings {
            event["timings"] = json!(Timings::of(&self.watch.usage(self.prompt_tokens, self.tokens)));
        }
        self.send(kind, event, frames);
    }

    fn begin_item(&mut self, frames: &mut Frames) {
        self.is_open = true;
        let (index, id) = self.place();
        let item = self.item(Status::InProgress);
        self.send("response.output_item.added", json!({"output_index": index, "item": item}), frames);
        let part = match self.answered.parts.last() {
            Some(Part::Text(_)) => items::output_text(""),
            Some(Part::Thoughts(_)) => items::reasoning_text(""),
            _ => return,
        };
        let event = json!({"item_id": id, "output_index": index, "content_index": 0, "part": part});
        self.send("response.content_part.added", event, frames);
    }

    fn end_item(&mut self, status: Status, frames: &mut Frames) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let (index, id) = self.place();
        let place = |mut event: Value| {
            event["item_id"] = id.as_str().into();
            event["output_index"] = index.into();
            event
        };
        let content = |event: Value| {
            place({
                let mut event = event;
                event["content_index"] = 0.into();
                event
            })
        };
        let events = match self.answered.parts.last() {
            Some(Part::Text(text)) => vec![
                ("response.output_text.done", content(json!({"text": text, "logprobs": []}))),
                ("response.content_part.done", content(json!({"part": items::output_text(text)}))),
            ],
            Some(Part::Thoughts(text)) => vec![
                ("response.reasoning_text.done", content(json!({"text": text}))),
                ("response.content_part.done", content(json!({"part": items::reasoning_text(text)}))),
            ],
            Some(Part::Call(call)) => vec![(
                "response.function_call_arguments.done",
                place(json!({"name": call.name, "arguments": call.arguments})),
            )],
            None => return,
        };
        for (kind, event) in events {
            self.send(kind, event, frames);
        }
        let item = self.item(status);
        self.send("response.output_item.done", json!({"output_index": index, "item": item}), frames);
    }
}

impl ChunkEncoder for Writer {
    fn open(&mut self, frames: &mut Frames) {
        for kind in ["response.created", "response.in_progress"] {
            let response = self.response.body("in_progress", Vec::new(), None);
            self.send(kind, json!({ "response": response }), frames);
        }
    }

    fn event(&mut self, _: usize, event: Event, frames: &mut Frames) {
        let mut pieces = Vec::new();
        match event {
            Event::Token { text, .. } => {
                self.watch.token();
                self.tokens += 1;
                self.turn.token(&text, &mut pieces);
            }
            Event::PromptProgress(told) => {
                self.prompt_tokens = told.tokens;
                let response = self.response.body("in_progress", Vec::new(), None);
                let progress = PromptReport::new(&told, &self.watch);
                let event = json!({"response": response, "prompt_progress": progress});
                return self.send("response.in_progress", event, frames);
            }
            Event::Finished { reason, text, .. } => {
                self.turn.finish(&text, reason, &mut pieces);
                self.cut = reason == FinishReason::Length;
                if pieces.is_empty() && self.answered.parts.is_empty() {
                    pieces.push(Piece::Text(String::new()));
                }
            }
            _ => return,
        }
        pieces.into_iter().for_each(|piece| self.piece(piece, frames));
    }

    fn close(&mut self, usage: &Usage, frames: &mut Frames) {
        self.end_item(if self.cut { Status::Incomplete } else { Status::Completed }, frames);
        let mut answered = std::mem::take(&mut self.answered);
        answered.thought_tokens = self.turn.thought_tokens();
        let body = self.response.ended(&answered, self.cut, usage);
        let kind = if self.cut { "response.incomplete" } else { "response.completed" };
        let mut event = json!({ "response": body });
        if self.response.timings {
            event["timings"] = json!(Timings::of(usage));
        }
        self.send(kind, event, frames);
    }

    fn error(&mut self, error: &ApiError, frames: &mut Frames) {
        let answered = std::mem::take(&mut self.answered);
        let body = self.response.failed(error, &answered);
        self.send("response.failed", json!({ "response": body }), frames);
    }
}
