//! `POST /infill`: as `/completion`, but the answer fills the gap between two texts.

use parkade_core::TaskKind;
use serde_json::Value;

use super::parse::Wish;
use crate::access::Identity;
use crate::dialects::fields::Fields;
use crate::dialects::fill_in::Gap;
use crate::dialects::request::generation;
use crate::generate::{AppState, Deadlines, Operation, Task};
use crate::http::ApiError;

/// What stands before the gap.
const PREFIX: &str = "input_prefix";

/// Fields that OpenAI's completions do not read, or that are not called so there.
pub(super) const OWN: &[&str] = &[
    PREFIX,
    "input_suffix",
    "input_extra",
    "prompt",
    "n_probs",
    "return_tokens",
    "response_fields",
    "timings_per_token",
    "post_sampling_probs",
];

/// The most other files.
const MAX_FILES: usize = 256;

/// The operation; there is nothing of it.
pub(super) enum Infill {}

impl Operation for Infill {
    const INLINE_BYTES: usize = 16 << 10;

    fn read(state: &AppState, body: &Value, identity: &Identity, deadlines: Deadlines) -> Result<Task, ApiError> {
        let fields = Fields::top(body)?;
        let model = state.model_for(TaskKind::Generate, generation::model_name(&fields)?)?;
        let wish = Wish::read(state, &fields, &model, OWN)?;
        let text = |name: &'static str| fields.string(name);
        let required = |name: &'static str| text(name)?.ok_or_else(|| ApiError::missing(name, "a string"));
        // What was typed last goes on with what stands before.
        let prefix = format!("{}{}", required(PREFIX)?, text("prompt")?.unwrap_or_default());
        let gap = Gap { prefix: &prefix, suffix: required("input_suffix")?, files: files(&fields)? };
        let prompt = gap.prompt(&model, wish.max_tokens.unwrap_or(0).min(model.config.context_length / 4), PREFIX)?;
        Ok(wish.task(model, vec![prompt], false, PREFIX, identity, deadlines))
    }
}

/// Other files that may help: `input_extra`.
fn files<'a>(fields: &Fields<'a>) -> Result<Vec<(&'a str, &'a str)>, ApiError> {
    const FIELD: &str = "input_extra";
    let list = fields.list(FIELD)?.map_or(&[][..], |list| list);
    if list.len() > MAX_FILES {
        let message = format!("{FIELD} has {} entries; allowed: at most {MAX_FILES}", list.len());
        return Err(ApiError::invalid_value(FIELD, message));
    }
    let read = |(i, value): (usize, &'a Value)| {
        let file = Fields::at(value, format!("{FIELD}[{i}]"))?;
        let text = file.string("text")?.ok_or_else(|| ApiError::missing(&file.name("text"), "a string"))?;
        Ok((file.string("filename")?.unwrap_or("tmp"), text))
    };
    list.iter().enumerate().map(read).collect()
}
