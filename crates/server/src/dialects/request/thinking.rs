//! What a body says of thoughts, in the words of OpenAI, OpenRouter, Anthropic, DeepSeek, vLLM, llama.cpp and DashScope.

use serde_json::Value;

use crate::dialects::chat::Thinking;
use crate::dialects::fields::{Fields, wrong_type};
use crate::http::{ApiError, quote};

/// The most tokens of thought that can be asked for; more is no bound.
const MOST: usize = 1 << 24;

/// Fields that say the most tokens of thought.
const BUDGETS: [&str; 5] = [
    "thinking_budget",
    "thinking_budget_tokens",
    "thinking_token_budget",
    "reasoning_budget",
    "reasoning_budget_tokens",
];

/// Words for how much a model is to think.
const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// Reads all of these fields.
pub(crate) fn read(fields: &Fields<'_>) -> Result<Thinking, ApiError> {
    let mut thinking = Thinking::default();
    effort(fields, "reasoning_effort", &mut thinking)?;
    if let Some(wanted) = switch(fields)? {
        thinking.wanted = Some(wanted);
    }
    if let Some(value) = fields.get("thinking").filter(|value| value.is_object()) {
        anthropic(&Fields::at(value, fields.name("thinking"))?, &mut thinking)?;
    }
    if let Some(value) = fields.get("reasoning").filter(|value| !value.is_boolean()) {
        open_router(&Fields::at(value, fields.name("reasoning"))?, &mut thinking)?;
    }
    let budget = fields.limit(fields.alias(BUDGETS)?, 0)?;
    set_budget(&mut thinking, budget);
    if let Some(show) = fields.boolean(fields.alias(["include_reasoning", "stream_reasoning"])?)? {
        thinking.shown = show;
    }
    if let Some(separate) = fields.boolean("separate_reasoning")? {
        thinking.separate = separate;
    }
    if fields.boolean("reasoning_in_content")? == Some(true) {
        thinking.separate = false;
    }
    let formats = [
        ("none", false),
        ("auto", true),
        ("deepseek", true),
        ("deepseek-legacy", true),
        ("parsed", true),
        ("raw", false),
    ];
    if let Some(separate) = fields.word("reasoning_format", &formats)? {
        thinking.separate = separate;
    }
    Ok(thinking)
}

fn set_budget(thinking: &mut Thinking, budget: Option<usize>) {
    match budget {
        // As llama.cpp has it: no tokens of thought are no thoughts.
        Some(0) => thinking.wanted = Some(false),
        Some(most) if most < MOST => thinking.budget = Some(most),
        _ => {}
    }
}

/// A switch by itself.
fn switch(fields: &Fields<'_>) -> Result<Option<bool>, ApiError> {
    let mut wanted = None;
    for name in ["enable_thinking", "think", "thinking", "reasoning"] {
        match fields.get(name) {
            Some(Value::Bool(switch)) => wanted = Some(*switch),
            Some(Value::Object(_)) if matches!(name, "thinking" | "reasoning") => {}
            Some(Value::String(_)) if name == "think" => {
                // Ollama's levels.
                let words = [("low", true), ("medium", true), ("high", true)];
                wanted = fields.word(name, &words)?;
            }
            Some(other) => return Err(wrong_type(fields.name(name), other, "true or false")),
            None => {}
        }
    }
    Ok(wanted)
}

fn effort(fields: &Fields<'_>, name: &str, thinking: &mut Thinking) -> Result<(), ApiError> {
    let Some(effort) = fields.string(name)? else { return Ok(()) };
    if !EFFORTS.contains(&effort) {
        let path = fields.name(name);
        let message = format!("{path} is {}; allowed: {}", quote(effort), EFFORTS.join(", "));
        return Err(ApiError::invalid_value(path, message));
    }
    match effort {
        "none" => thinking.wanted = Some(false),
        effort => thinking.effort = Some(effort.to_owned()),
    }
    Ok(())
}

/// Anthropic's `thinking`: a type and a budget.
pub(crate) fn anthropic(fields: &Fields<'_>, thinking: &mut Thinking) -> Result<(), ApiError> {
    let kinds = [("enabled", Some(true)), ("disabled", Some(false)), ("adaptive", None), ("auto", None)];
    if let Some(wanted) = fields.word("type", &kinds)? {
        thinking.wanted = wanted;
    }
    let budget = fields.limit("budget_tokens", 1)?;
    set_budget(thinking, budget);
    Ok(())
}

/// OpenRouter's `reasoning`, and that of OpenAI's Responses.
pub(crate) fn open_router(fields: &Fields<'_>, thinking: &mut Thinking) -> Result<(), ApiError> {
    effort(fields, "effort", thinking)?;
    if let Some(wanted) = fields.boolean("enabled")? {
        thinking.wanted = Some(wanted);
    }
    if fields.boolean("exclude")? == Some(true) {
        thinking.shown = false;
    }
    let budget = fields.limit("max_tokens", 0)?;
    set_budget(thinking, budget);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn thinking(body: Value) -> Result<Thinking, ApiError> {
        read(&Fields::top(&body).expect("an object"))
    }

    #[test]
    fn all_words_for_the_same_mean_the_same() {
        for body in [
            json!({"reasoning_effort": "none"}),
            json!({"enable_thinking": false}),
            json!({"think": false}),
            json!({"thinking": false}),
            json!({"thinking": {"type": "disabled"}}),
            json!({"reasoning": {"enabled": false}}),
            json!({"reasoning": {"effort": "none"}}),
            json!({"reasoning_budget": 0}),
        ] {
            assert_eq!(thinking(body.clone()).map(|thinking| thinking.wanted), Ok(Some(false)), "{body}");
        }
        for body in [
            json!({"thinking": {"type": "enabled", "budget_tokens": 50}}),
            json!({"reasoning": {"max_tokens": 50}}),
            json!({"thinking_budget": 50}),
            json!({"thinking_token_budget": 50.0}),
        ] {
            assert_eq!(thinking(body.clone()).map(|thinking| thinking.budget), Ok(Some(50)), "{body}");
        }
        assert_eq!(thinking(json!({"reasoning_budget": -1})), Ok(Thinking::default()));
        assert_eq!(thinking(json!({})), Ok(Thinking::default()));
    }

    #[test]
    fn what_is_sent_of_thoughts() {
        assert_eq!(
            thinking(json!({"include_reasoning": false})).map(|read| (read.separate, read.shown)),
            Ok((true, false))
        );
        assert_eq!(thinking(json!({"reasoning": {"exclude": true}})).map(|read| read.shown), Ok(false));
        assert_eq!(thinking(json!({"reasoning_format": "none"})).map(|read| read.separate), Ok(false));
    }

    #[test]
    fn what_is_no_value_is_named() {
        for (body, param) in [
            (json!({"reasoning_effort": "huge"}), "reasoning_effort"),
            (json!({"reasoning": {"effort": 5}}), "reasoning.effort"),
            (json!({"thinking": {"type": "sometimes"}}), "thinking.type"),
            (json!({"thinking": {"type": "enabled", "budget_tokens": -5}}), "thinking.budget_tokens"),
            (json!({"thinking_budget": "much"}), "thinking_budget"),
            (json!({"thinking": 5}), "thinking"),
            (json!({"enable_thinking": "yes"}), "enable_thinking"),
            (json!({"thinking_budget": 5, "reasoning_budget": 6}), "reasoning_budget"),
        ] {
            assert_eq!(thinking(body.clone()).expect_err("no value").param(), Some(param), "{body}");
        }
    }
}
