//! The members of what a chat is made of: messages, their parts and calls, tools, documents, the template's own variables.
//!
//! Most of them are the chat template's affair, and templates differ in what they know. A member that the model's template
//! can read is used; one that nobody reads is ignored, and reported by its path. What clients send along without a meaning for
//! the answer, such as ids and times, is harmless.

use std::sync::LazyLock;

use parkade_model::chat_template::{ChatTemplate, Member};
use serde_json::Value;

use super::Endpoint;
use super::Nothing::{EmptyList, EmptyObject, EmptyText, False};
use super::Place::Both;
use super::{Row, Treatment, Treatments, by_name, check_object, harmless, read};
use crate::dialects::fields::Fields;
use crate::dialects::request::calls;
use crate::generate::IgnoredFields;
use crate::http::ApiError;

const fn passed(names: &'static [&'static str]) -> Row {
    Row { place: Both, names, treatment: Treatment::Passed { nothing: &[False, EmptyText, EmptyList, EmptyObject] } }
}

/// What clients keep beside anything that they got from an API.
const KEPT: Row = harmless(Both, &["id", "index", "object", "metadata", "cache_control", "provider_specific_fields"]);

/// The same in other clients' spelling.
const KEPT_ELSEWHERE: Row = harmless(
    Both,
    &["providerOptions", "provider_options", "providerMetadata", "provider_metadata", "extra_content", "signature"],
);

const MESSAGE: &[Row] = &[
    KEPT,
    KEPT_ELSEWHERE,
    read(Both, &["role", "content", "tool_calls", "function_call", "audio", "images"]),
    // Of an answer that is sent back.
    harmless(Both, &["annotations", "logprobs", "finish_reason", "stop_reason", "model", "usage", "parsed", "status"]),
    harmless(Both, &["created", "created_at", "createdAt", "timestamp", "invalid_tool_calls"]),
    harmless(Both, &["response_metadata", "usage_metadata", "additional_kwargs", "example"]),
    // Whether the answer goes on with it.
    read(Both, &["prefix", "partial"]),
    passed(&["refusal", "name", "tool_call_id", "toolCalls", "tool_plan", "is_error"]),
    passed(&["reasoning", "reasoning_content", "reasoning_details", "thinking", "thinking_blocks"]),
];

/// A part of a message's content, of which nothing but its text is passed on.
const PART: &[Row] = &[
    KEPT,
    KEPT_ELSEWHERE,
    read(Both, &["type"]),
    harmless(Both, &["annotations", "logprobs"]),
    passed(&["text", "refusal", "thinking", "citations"]),
];

const CALL: &[Row] =
    &[KEPT, KEPT_ELSEWHERE, read(Both, &["type", "function"]), harmless(Both, &["thought_signature", "caller"])];

const CALLED: &[Row] =
    &[KEPT, KEPT_ELSEWHERE, read(Both, &["name", "arguments"]), harmless(Both, &["parsed_arguments"])];

const TOOL: &[Row] = &[KEPT, KEPT_ELSEWHERE, read(Both, &["type", "function"])];

const DESCRIBED: &[Row] =
    &[KEPT, KEPT_ELSEWHERE, read(Both, &["name", "strict"]), passed(&["description", "parameters"])];

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let table = |rows: &'static [Row]| by_name(rows, Endpoint::Chat);
    Tables {
        message: table(MESSAGE),
        part: table(PART),
        call: table(CALL),
        called: table(CALLED),
        tool: table(TOOL),
        described: table(DESCRIBED),
        document: Treatments::new(),
    }
});

struct Tables {
    message: Treatments,
    part: Treatments,
    call: Treatments,
    called: Treatments,
    tool: Treatments,
    described: Treatments,
    document: Treatments,
}

/// Collects the members of a chat that neither this server nor the template reads. What has not the form that it should have is
/// left to those who read it.
///
/// # Errors
/// Names a member that changes answers elsewhere, and that the template does not read.
pub(crate) fn check(
    fields: &Fields<'_>,
    template: &ChatTemplate,
    in_words: bool,
    ignored: &mut IgnoredFields,
) -> Result<(), ApiError> {
    let tools =
        if fields.get("tool_choice").is_some_and(|choice| choice == "none") { None } else { fields.get("tools") };
    let with_tools = tools.and_then(Value::as_array).is_some_and(|tools| !tools.is_empty());
    let mut check = Check { template, with_tools, in_words, ignored };
    let messages = objects(fields.get("messages"), "messages");
    for (_, message) in messages {
        check.message(&message)?;
    }
    for (_, tool) in objects(tools, "tools") {
        check.object(&tool, &TABLES.tool, Member::Tool)?;
        if let Some(function) = object(&tool, "function") {
            check.object(&function, &TABLES.described, Member::DescribedFunction)?;
        }
    }
    for (_, document) in objects(fields.get("documents"), "documents") {
        check.object(&document, &TABLES.document, Member::Document)?;
    }
    check.variables(fields);
    Ok(())
}

struct Check<'a> {
    template: &'a ChatTemplate,
    with_tools: bool,
    /// Whether tools, calls and results are put into words, whatever the template reads.
    in_words: bool,
    ignored: &'a mut IgnoredFields,
}

impl Check<'_> {
    fn reads(&self, of: Member, name: &str) -> bool {
        self.template.reads_member(self.with_tools, of, name)
    }

    fn object(&mut self, fields: &Fields<'_>, known: &Treatments, of: Member) -> Result<(), ApiError> {
        let (template, with_tools) = (self.template, self.with_tools);
        let in_words = self.in_words && of != Member::Document;
        let reads = |name: &str| (in_words && known.contains_key(name)) || template.reads_member(with_tools, of, name);
        check_object(fields, known, reads, self.ignored)
    }

    fn message(&mut self, message: &Fields<'_>) -> Result<(), ApiError> {
        let (template, with_tools) = (self.template, self.with_tools);
        let is_result = message.get("role").is_some_and(|role| role == "tool" || role == "function");
        let says_nothing_else = message.get("content").is_none();
        let reads = |name: &str| match name {
            // Which call it answers: where the template does not tell, the order does.
            "name" | "tool_call_id" if is_result => true,
            "refusal" if says_nothing_else => true,
            _ => template.reads_member(with_tools, Member::Message, name),
        };
        check_object(message, &TABLES.message, reads, self.ignored)?;
        for (_, part) in objects(message.get("content"), &message.name("content")) {
            self.part(&part)?;
        }
        let sent_as = calls::sent_as(message).ok().flatten();
        for (_, call) in objects(message.get("tool_calls"), &message.name("tool_calls")) {
            self.object(&call, &TABLES.call, Member::Call)?;
            if let Some(function) = object(&call, "function") {
                self.object(&function, &TABLES.called, Member::CalledFunction)?;
            }
        }
        match object(message, "function_call") {
            Some(function) if sent_as == Some("function_call") => {
                self.object(&function, &TABLES.called, Member::CalledFunction)
            }
            // The newer form of the same is there.
            Some(_) => {
                self.ignored.add(|| message.name("function_call"));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn part(&mut self, part: &Fields<'_>) -> Result<(), ApiError> {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
        let is_thought = matches!(kind, "thinking" | "reasoning");
        // Thoughts become the message's `reasoning_content`.
        let reads_thoughts = self.reads(Member::Message, "reasoning_content");
        let reads = |name: &str| match name {
            "text" | "thinking" if is_thought => reads_thoughts,
            "refusal" => kind == "refusal",
            "text" => kind != "refusal",
            _ => false,
        };
        check_object(part, &TABLES.part, reads, self.ignored)
    }

    /// What is given to the template by name. `false` is what a name has that was not given.
    fn variables(&mut self, fields: &Fields<'_>) {
        let unread = |name: &str| !self.template.reads_variable(self.with_tools, name);
        if fields.get("add_generation_prompt") == Some(&Value::Bool(false)) && unread("add_generation_prompt") {
            self.ignored.add(|| fields.name("add_generation_prompt"));
        }
        if let Some(variables) = object(fields, "chat_template_kwargs") {
            for (name, value) in variables.members() {
                if value != &Value::Bool(false) && unread(name) {
                    self.ignored.add(|| variables.name(name));
                }
            }
        }
    }
}

/// The objects in a list, with their places.
fn objects<'a>(list: Option<&'a Value>, path: &str) -> impl Iterator<Item = (usize, Fields<'a>)> {
    let list = list.and_then(Value::as_array).into_iter().flatten().enumerate();
    list.filter_map(move |(i, value)| Some((i, Fields::at(value, format!("{path}[{i}]")).ok()?)))
}

fn object<'a>(fields: &Fields<'a>, name: &str) -> Option<Fields<'a>> {
    fields.get(name).and_then(|value| Fields::at(value, fields.name(name)).ok())
}
