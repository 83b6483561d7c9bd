//! A response, as it is at any moment.

use parkade_core::Usage;
use serde_json::{Map, Value, json};

use super::items;
use super::keep::Keeper;
use crate::dialects::chat::{Answered, Form};
use crate::http::ApiError;

/// The code of an answer that somebody has cancelled.
const CANCELLED: &str = "request_cancelled";

/// How the answer is written, and whether it is kept.
pub(crate) struct Responses {
    pub id: String,
    pub created: u64,
    pub service_tier: &'static str,
    /// What it repeats of its request.
    pub settings: Map<String, Value>,
    /// How its text is read.
    pub reading: Form,
    /// Whether it is computed whether or not somebody reads it.
    pub background: bool,
    /// llama.cpp's `timings_per_token`: events tell how fast it goes.
    pub timings: bool,
    /// Keeps it, if it is kept.
    pub keeper: Option<Keeper>,
}

impl Responses {
    /// The response as it is at some moment.
    pub fn body(&self, status: &str, output: Vec<Value>, usage: Option<Value>) -> Value {
        let mut body = Map::from_iter([
            ("id".to_owned(), self.id.as_str().into()),
            ("object".to_owned(), "response".into()),
            ("created_at".to_owned(), self.created.into()),
            ("status".to_owned(), status.into()),
            ("error".to_owned(), Value::Null),
            ("incomplete_details".to_owned(), Value::Null),
            ("service_tier".to_owned(), self.service_tier.into()),
        ]);
        body.extend(self.settings.iter().map(|(name, value)| (name.clone(), value.clone())));
        body.insert("output".to_owned(), output.into());
        body.insert("usage".to_owned(), usage.unwrap_or_default());
        body.into()
    }

    /// The response when its answer is complete; it is kept from now on.
    pub fn ended(&self, answered: &Answered, cut: bool, usage: &Usage) -> Value {
        let output = items::of(&self.id, answered, cut);
        let usage = usage_of(usage, answered.thought_tokens);
        let mut body = self.body(if cut { "incomplete" } else { "completed" }, output, Some(usage));
        if cut {
            body["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        self.keep(&body);
        body
    }

    /// The response when its answer has failed.
    pub fn failed(&self, error: &ApiError, answered: &Answered) -> Value {
        let is_cancelled = error.code() == CANCELLED;
        let status = if is_cancelled { "cancelled" } else { "failed" };
        let mut body = self.body(status, items::of(&self.id, answered, true), None);
        if !is_cancelled {
            body["error"] = json!({"code": error.code(), "message": error.message()});
        }
        if self.background {
            self.keep(&body);
        }
        body
    }

    fn keep(&self, body: &Value) {
        if let Some(keeper) = &self.keeper {
            keeper.keep(&self.id, body.clone());
        }
    }
}

fn usage_of(usage: &Usage, thought_tokens: usize) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": thought_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    })
}
