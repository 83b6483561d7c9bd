//! From the messages of a chat to the prompt that the model reads.

use axum::http::StatusCode;
use parkade_calls::{Reasoning, Style};
use parkade_model::chat_template::{ChatInput, ChatTemplate, TemplateError};
use parkade_model::{Prompt, Source};
use serde_json::Value;

use super::{Conversation, plain_tools};
use crate::http::{ApiError, Retry};

/// Renders a conversation. With a template that does not write tools, calls or results they are put into words.
pub(super) fn render(
    chat: &Conversation,
    template: &ChatTemplate,
    style: Style,
    markers: Option<&Reasoning>,
) -> Result<Prompt, ApiError> {
    let with_tools = !chat.tools.is_empty();
    let described = chat.tools.described().filter(|_| style != Style::Generic);
    // Without a template for such a request rendering fails, and says so.
    let uses = template.uses(described.is_some()).ok();
    if uses.is_some_and(|uses| !uses.documents) && chat.documents.as_ref().is_some_and(|list| !is_empty(list)) {
        return Err(ApiError::unsupported(
            "documents",
            "documents would not reach the model: its chat template does not use documents; put their text into a message",
        ));
    }
    let messages = plain_tools::in_words(
        &chat.messages,
        plain_tools::Lacking {
            description: (with_tools && described.is_none()).then(|| plain_tools::describe(&chat.tools)),
            calls: style == Style::Generic || uses.is_some_and(|uses| !uses.tool_calls),
            results: style == Style::Generic || uses.is_some_and(|uses| !uses.tool_results),
        },
    );
    let (messages, begun) = if chat.continues_last { without_last(messages) } else { (messages, None) };
    let input = ChatInput {
        messages: &messages,
        tools: described.as_ref(),
        documents: chat.documents.as_ref(),
        add_generation_prompt: chat.add_generation_prompt || begun.is_some(),
        extra: &chat.variables,
    };
    let mut prompt = template.render(&input).map_err(|error| unrenderable(&error, &messages, chat.param))?;
    if let Some(begun) = begun {
        go_on(&mut prompt, &begun, markers);
    }
    Ok(prompt)
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

/// What an answer begins with that was begun already.
struct Begun {
    thoughts: String,
    text: String,
}

/// The messages without the last one, if that is the assistant's, and what it says.
fn without_last(mut messages: Value) -> (Value, Option<Begun>) {
    let Some(list) = messages.as_array_mut().filter(|list| list.len() > 1) else { return (messages, None) };
    if list.last().is_none_or(|last| last["role"] != "assistant") {
        return (messages, None);
    }
    let last = list.pop().unwrap_or_default();
    let text = match &last["content"] {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        content => content.as_str().unwrap_or_default().to_owned(),
    };
    let thoughts = last["reasoning_content"].as_str().unwrap_or_default().to_owned();
    (messages, Some(Begun { thoughts, text }))
}

/// Writes the beginning of the answer behind the prompt. Where the model would begin to think, what is there already are its thoughts, and
/// they end where its text begins.
fn go_on(prompt: &mut Prompt, begun: &Begun, markers: Option<&Reasoning>) {
    if let Some(markers) = markers {
        let mut is_open = markers.is_open_after(prompt.text());
        if !is_open && !begun.thoughts.is_empty() {
            prompt.push(&markers.start, Source::Template);
            prompt.push("\n", Source::Template);
            is_open = true;
        }
        prompt.push(&begun.thoughts, Source::Request);
        if is_open && !begun.text.is_empty() {
            prompt.push("\n", Source::Template);
            prompt.push(&markers.end, Source::Template);
            prompt.push("\n\n", Source::Template);
        }
    }
    prompt.push(&begun.text, Source::Request);
}

/// The error for messages that the template does not take, or for a template that fails on any.
fn unrenderable(error: &TemplateError, messages: &Value, param: &'static str) -> ApiError {
    if error.is_about_messages(messages.to_string().len()) {
        return ApiError::invalid_value(param, error.to_string());
    }
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "chat_template_failed",
        format!("{error}; the operator must serve another template or model"),
        Retry::Never,
    )
}
