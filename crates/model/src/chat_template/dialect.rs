//! Finding out what a template expects of messages, and what it does with them, by rendering small conversations and
//! looking at what comes out.

use serde_json::{Value, json};

use super::messages::Dialect;

pub(super) const NEEDLE: &str = "needle-7f3a";
/// Nine letters and digits: some templates insist on that.
const CALL_ID: &str = "call00001";

/// Tries `render` on small conversations. What cannot be found out is what most templates expect.
pub(super) fn probe(render: impl Fn(Vec<Value>) -> Option<String>) -> Dialect {
    let user = |content: Value| json!({"role": "user", "content": content});
    let shows_needle = |content: Value| render(vec![user(content)]).is_some_and(|text| text.contains(NEEDLE));
    let content_parts = !shows_needle(json!(NEEDLE)) && shows_needle(json!([{"type": "text", "text": NEEDLE}]));

    let with_call = |content: Value, arguments: Value| {
        let calls = json!([called("look_up", arguments)]);
        render(vec![
            user(text("a", content_parts)),
            json!({"role": "assistant", "content": content, "tool_calls": calls}),
            result(text("b", content_parts)),
        ])
    };

    let forms = || [json!({NEEDLE: 1}), json!(json!({NEEDLE: 1}).to_string())];
    let shows_call = |content: Value| {
        let mut forms = forms().into_iter();
        forms.any(|arguments| with_call(content.clone(), arguments).is_some_and(|out| out.contains(NEEDLE)))
    };
    // Some templates (DeepSeek's) write calls only where the content is null.
    let only_null = !shows_call(text("", content_parts)) && shows_call(Value::Null);
    let nothing = || if only_null { Value::Null } else { text("", content_parts) };
    let [object, string] = forms().map(|arguments| with_call(nothing(), arguments));
    let as_json =
        |rendered: &Option<String>| rendered.as_ref().is_some_and(|out| out.contains(&format!("\"{NEEDLE}\":")));
    let object_arguments = as_json(&object) || !as_json(&string);
    let text_arguments = with_call(nothing(), json!(NEEDLE)).is_some_and(|out| out.contains(NEEDLE));

    let arguments = if object_arguments { json!({NEEDLE: 1}) } else { json!(json!({NEEDLE: 1}).to_string()) };
    let nones = |rendered: &str| rendered.matches("None").count();
    let null_content = only_null
        || match (with_call(Value::Null, arguments.clone()), with_call(nothing(), arguments)) {
            (Some(null), Some(empty)) => nones(&null) <= nones(&empty),
            (null, empty) => null.is_some() && empty.is_none(),
        };
    let under = |system: &str| {
        let system = json!({"role": "system", "content": text(system, content_parts)});
        render(vec![system, user(text("a", content_parts))])
    };
    let (one, other) = (under(NEEDLE), under("b"));
    let fold_system = (one.is_none() || one == other) && shows_needle(text(NEEDLE, content_parts));
    Dialect { content_parts, null_content, object_arguments, text_arguments, fold_system }
}

pub(super) fn text(text: &str, parts: bool) -> Value {
    if parts { json!([{"type": "text", "text": text}]) } else { json!(text) }
}

pub(super) fn called(name: &str, arguments: Value) -> Value {
    json!({"id": CALL_ID, "type": "function", "function": {"name": name, "arguments": arguments}})
}

pub(super) fn result(content: Value) -> Value {
    json!({"role": "tool", "tool_call_id": CALL_ID, "name": "look_up", "content": content})
}

/// What a template writes into the prompt of all that a request can have. The rest would vanish without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    /// The descriptions of tools.
    pub tools: bool,
    /// The calls of earlier answers.
    pub tool_calls: bool,
    /// What tools gave back, as messages of the role `tool`.
    pub tool_results: bool,
    /// Documents.
    pub documents: bool,
}

/// What is rendered to find out what a template uses.
#[derive(Clone)]
pub(super) struct Trial {
    pub(super) messages: Vec<Value>,
    pub(super) tools: Option<Value>,
    pub(super) documents: Option<Value>,
}

/// Tries `render` with each part of a request and without it.
pub(super) fn probe_uses(dialect: Dialect, render: impl Fn(Trial) -> Option<String>) -> Uses {
    let say = |role: &str, words: &str| json!({"role": role, "content": text(words, dialect.content_parts)});
    let calling = |content: Value, name: &str| {
        let arguments = if dialect.object_arguments { json!({"a": 1}) } else { json!("{\"a\": 1}") };
        json!({"role": "assistant", "content": content, "tool_calls": [called(name, arguments)]})
    };
    let called = |words: &str| calling(text(words, dialect.content_parts), "look_up");
    let answered = |words: &str| result(text(words, dialect.content_parts));
    let plain = |messages: &[Value]| Trial { messages: messages.to_vec(), tools: None, documents: None };
    let tooled = |messages: &[Value]| Trial { tools: Some(json!([described()])), ..plain(messages) };
    let informed = |messages: &[Value]| Trial { documents: Some(json!([document()])), ..plain(messages) };
    let differs = |with: Trial, without: Trial| differ(render(with), render(without));

    let questions = [vec![say("user", "a")], vec![say("system", "b"), say("user", "a")]];
    let [with_calls, without] = [called("c"), say("assistant", "c")].map(|assistant| {
        let answered = vec![say("user", "a"), assistant.clone(), answered("d")];
        [answered, vec![say("user", "a"), assistant, say("user", "e")]]
    });
    let histories = || with_calls.iter().zip(&without);
    // Calls that are written only where nothing was said: one name or another.
    let silent = ["look_up", "look_down"].map(|name| vec![say("user", "a"), calling(Value::Null, name), answered("d")]);
    let silent = || dialect.null_content.then(|| differs(plain(&silent[0]), plain(&silent[1])));
    let results = |words: &str| [vec![say("user", "a"), called("c"), answered(words)]];
    Uses {
        tools: any(questions.iter().map(|messages| differs(tooled(messages), plain(messages)))),
        tool_calls: any(histories()
            .map(|(with, without)| differs(plain(with), plain(without)))
            .chain(histories().map(|(with, without)| differs(tooled(with), tooled(without))))
            .chain(silent())),
        tool_results: any(results(NEEDLE).iter().zip(&results("d")).map(|(a, b)| differs(plain(a), plain(b)))),
        documents: any(questions.iter().map(|messages| differs(informed(messages), plain(messages)))),
    }
}

/// Whether two trials show a difference, if they say anything.
pub(super) fn differ(with: Option<String>, without: Option<String>) -> Option<bool> {
    match (with, without) {
        // The template takes neither, so this says nothing.
        (None, None) => None,
        // A template that fails on a part has looked at it, and says itself what it does not like.
        (with, without) => Some(with != without),
    }
}

/// Whether one of the trials shows it. If none of them says anything, it is not held against the template.
pub(super) fn any(trials: impl Iterator<Item = Option<bool>>) -> bool {
    let told: Vec<bool> = trials.flatten().collect();
    told.is_empty() || told.contains(&true)
}

pub(super) fn described() -> Value {
    let parameters = json!({"type": "object", "properties": {"a": {"type": "string", "description": "b"}}});
    json!({"type": "function", "function": {"name": NEEDLE, "description": "c", "parameters": parameters}})
}

/// Templates differ in what they call the parts of a document.
pub(super) fn document() -> Value {
    json!({"title": NEEDLE, "text": NEEDLE, "content": NEEDLE, "contents": NEEDLE, "doc_id": NEEDLE})
}
