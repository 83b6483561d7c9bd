//! The answers of `/v1/messages` on the wire, whole and streamed.

use std::sync::Arc;

use parkade_calls::Piece;
use parkade_core::{Event, FinishReason, Usage};
use serde_json::{Value, json};

use super::error::envelope;
use super::tools::input;
use crate::dialects::chat::{Answered, Form, Part, Turn, part_id};
use crate::generate::{ChunkEncoder, CollectedPrompt, Encoder};
use crate::http::{ApiError, Frames};

/// How the answer to a chat is written.
pub(crate) struct Messages {
    pub id: String,
    pub model: String,
    /// How its text is read.
    pub reading: Form,
    /// Tokens of the prompt.
    pub input_tokens: usize,
}

impl Messages {
    fn message(&self, content: Vec<Value>, stop: Value, stop_sequence: Option<&str>, usage: Value) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": stop_sequence,
            "usage": usage,
        })
    }

    fn call_id(&self, index: usize) -> String {
        part_id("toolu_", &self.id, (0, index), 24)
    }

    fn content(&self, answered: &Answered) -> Vec<Value> {
        let mut calls = 0;
        let block = |part: &Part| match part {
            Part::Thoughts(text) => json!({"type": "thinking", "thinking": text, "signature": ""}),
            Part::Text(text) => json!({"type": "text", "text": text}),
            Part::Call(call) => {
                calls += 1;
                json!({"type": "tool_use", "id": self.call_id(calls - 1), "name": call.name, "input": input(&call.arguments)})
            }
        };
        answered.parts.iter().map(block).collect()
    }
}

/// Anthropic counts tokens that came from the cache by themselves.
fn usage_of(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    })
}

/// `stop_reason`.
fn stop_reason(reason: FinishReason, called: bool, stop_string: Option<&str>) -> &'static str {
    match reason {
        FinishReason::Length => "max_tokens",
        _ if called => "tool_use",
        _ if stop_string.is_some() => "stop_sequence",
        _ => "end_turn",
    }
}

impl Encoder for Messages {
    fn whole(&self, answers: &[CollectedPrompt], usage: &Usage) -> serde_json::Result<Vec<u8>> {
        let choice = answers.first().and_then(|answer| answer.choices.first());
        let Some(choice) = choice else {
            return serde_json::to_vec(&self.message(Vec::new(), Value::Null, None, usage_of(usage)));
        };
        let answered = Answered::of(&self.reading, choice);
        let called = answered.calls().next().is_some();
        let stop_string = choice.stop_string.as_deref();
        let stop = choice.reason.map(|reason| stop_reason(reason, called, stop_string));
        serde_json::to_vec(&self.message(self.content(&answered), stop.into(), stop_string, usage_of(usage)))
    }

    fn bytes(&self) -> usize {
        self.reading.bytes()
    }

    fn chunks(self: Arc<Self>) -> Box<dyn ChunkEncoder> {
        Box::new(Chunks {
            turn: Turn::new(&self.reading),
            message: self,
            open: None,
            blocks: 0,
            stop: Value::Null,
            stop_sequence: None,
        })
    }
}

/// A kind of block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Text,
    Thinking,
    Call,
}

/// Writes the events of a streamed answer.
struct Chunks {
    message: Arc<Messages>,
    turn: Turn,
    /// The block that is being written.
    open: Option<Block>,
    /// How many have begun.
    blocks: usize,
    stop: Value,
    stop_sequence: Option<String>,
}

impl Chunks {
    fn end_block(&mut self, frames: &mut Frames) {
        if self.open.take().is_some() {
            let index = self.blocks - 1;
            frames.named("content_block_stop", &json!({"type": "content_block_stop", "index": index}));
        }
    }

    fn begin_block(&mut self, kind: Block, block: Value, frames: &mut Frames) {
        self.end_block(frames);
        let body = json!({"type": "content_block_start", "index": self.blocks, "content_block": block});
        frames.named("content_block_start", &body);
        (self.open, self.blocks) = (Some(kind), self.blocks + 1);
    }

    fn delta(&self, delta: Value, frames: &mut Frames) {
        let index = self.blocks.saturating_sub(1);
        frames.named("content_block_delta", &json!({"type": "content_block_delta", "index": index, "delta": delta}));
    }

    fn piece(&mut self, piece: Piece, frames: &mut Frames) {
        match piece {
            Piece::Text(text) => {
                if self.open != Some(Block::Text) {
                    self.begin_block(Block::Text, json!({"type": "text", "text": ""}), frames);
                }
                self.delta(json!({"type": "text_delta", "text": text}), frames);
            }
            Piece::Reasoning(text) => {
                if self.open != Some(Block::Thinking) {
                    self.begin_block(
                        Block::Thinking,
                        json!({"type": "thinking", "thinking": "", "signature": ""}),
                        frames,
                    );
                }
                self.delta(json!({"type": "thinking_delta", "thinking": text}), frames);
            }
            Piece::Call { index, name } => {
                let id = self.message.call_id(index);
                let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                self.begin_block(Block::Call, block, frames);
            }
            Piece::Arguments { text, .. } => {
                self.delta(json!({"type": "input_json_delta", "partial_json": text}), frames);
            }
            Piece::End { .. } => self.end_block(frames),
        }
    }
}

impl ChunkEncoder for Chunks {
    fn open(&mut self, frames: &mut Frames) {
        // What came from the cache is known at the end.
        let usage = json!({"input_tokens": self.message.input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0});
        let message = self.message.message(Vec::new(), Value::Null, None, usage);
        frames.named("message_start", &json!({"type": "message_start", "message": message}));
        frames.named("ping", &json!({"type": "ping"}));
    }

    fn event(&mut self, _: usize, event: Event, frames: &mut Frames) {
        let mut pieces = Vec::new();
        match event {
            Event::Token { text, .. } => self.turn.token(&text, &mut pieces),
            Event::Finished { reason, text, stop_string, .. } => {
                self.turn.finish(&text, reason, &mut pieces);
                self.stop = stop_reason(reason, self.turn.calls() > 0, stop_string.as_deref()).into();
                self.stop_sequence = stop_string;
            }
            _ => return,
        }
        pieces.into_iter().for_each(|piece| self.piece(piece, frames));
    }

    fn close(&mut self, usage: &Usage, frames: &mut Frames) {
        self.end_block(frames);
        let delta = json!({"stop_reason": self.stop, "stop_sequence": self.stop_sequence});
        frames.named("message_delta", &json!({"type": "message_delta", "delta": delta, "usage": usage_of(usage)}));
        frames.named("message_stop", &json!({"type": "message_stop"}));
    }

    fn error(&mut self, error: &ApiError, frames: &mut Frames) {
        frames.named("error", &envelope(error));
    }
}
