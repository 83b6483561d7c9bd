//! Tools in words, for chat templates that know none: what a system message says of them, and how calls and results stand in the history.

use parkade_calls::generic;
use serde_json::{Map, Value, json};

use super::{Choice, Tools};

/// What a template does not write by itself.
pub(super) struct Lacking {
    /// What is said of the functions.
    pub description: Option<String>,
    pub calls: bool,
    pub results: bool,
}

/// What the model is told of the functions, and of how to call them.
pub(super) fn describe(tools: &Tools) -> String {
    let choice = match &tools.choice {
        Choice::Named(name) => parkade_calls::Choice::Named(name),
        Choice::Required => parkade_calls::Choice::Required,
        Choice::Auto | Choice::None => parkade_calls::Choice::Auto,
    };
    generic::describe(&tools.functions(), &choice, tools.parallel)
}

/// The messages with what the template lacks put into words.
pub(super) fn in_words(messages: &Value, lacking: Lacking) -> Value {
    let list = messages.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut written: Vec<Value> = Vec::with_capacity(list.len() + 1);
    if let Some(description) = &lacking.description {
        written.push(json!({"role": "system", "content": description}));
    }
    let mut names: Vec<(&str, &str)> = Vec::new();
    let mut after_result = false;
    for (at, message) in list.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        names.extend(calls.iter().filter_map(|call| Some((call["id"].as_str()?, call["function"]["name"].as_str()?))));
        let is_result = role == "tool" && lacking.results;
        if role == "system" && at == 0 && lacking.description.is_some() {
            join(&mut written[0], &text_of(&message["content"]), true);
        } else if is_result {
            let result = generic::result(name_of(message, &names), &text_of(&message["content"]));
            // Templates want the user and the assistant in turns.
            match written.last_mut().filter(|_| after_result) {
                Some(before) => join(before, &result, false),
                None => written.push(json!({"role": "user", "content": result})),
            }
        } else if !calls.is_empty() && lacking.calls {
            written.push(called_in_words(message, calls));
        } else {
            written.push(message.clone());
        }
        after_result = is_result;
    }
    Value::Array(written)
}

/// The function whose result a message is.
fn name_of<'a>(message: &'a Value, names: &[(&'a str, &'a str)]) -> Option<&'a str> {
    let id = message["tool_call_id"].as_str();
    let called = || names.iter().rev().find(|(known, _)| Some(*known) == id).map(|(_, name)| *name);
    message["name"].as_str().or_else(called)
}

/// An assistant's message whose calls stand in its text.
fn called_in_words(message: &Value, calls: &[Value]) -> Value {
    let mut text = text_of(&message["content"]);
    for call in calls {
        let function = &call["function"];
        let arguments = match &function["arguments"] {
            Value::String(json) => json.clone(),
            other => other.to_string(),
        };
        if !text.is_empty() {
            text.push('\n');
        }
        text += &generic::call(function["name"].as_str().unwrap_or_default(), &arguments);
    }
    let mut members: Map<String, Value> = message.as_object().cloned().unwrap_or_default();
    members.remove("tool_calls");
    members.insert("content".into(), text.into());
    Value::Object(members)
}

/// Puts more text behind a message's own, or before it.
fn join(message: &mut Value, more: &str, before: bool) {
    let own = text_of(&message["content"]);
    let (first, second) = if before { (more, own.as_str()) } else { (own.as_str(), more) };
    let between = if first.is_empty() || second.is_empty() {
        ""
    } else if before {
        "\n\n"
    } else {
        "\n"
    };
    message["content"] = format!("{first}{between}{second}").into();
}

fn text_of(content: &Value) -> String {
    match content {
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part.as_str().or_else(|| part["text"].as_str()));
            texts.collect::<Vec<_>>().join("\n")
        }
        content => content.as_str().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(description: Option<&str>) -> Lacking {
        Lacking { description: description.map(str::to_owned), calls: true, results: true }
    }

    #[test]
    fn the_description_follows_what_the_system_says() {
        let said = json!([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "a"}]);
        let read = in_words(&said, lacking(Some("TOOLS")));
        assert_eq!(read[0], json!({"role": "system", "content": "Be kind.\n\nTOOLS"}));
        let read = in_words(&json!([{"role": "user", "content": "a"}]), lacking(Some("TOOLS")));
        assert_eq!(read[0], json!({"role": "system", "content": "TOOLS"}));
        assert_eq!(read.as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn calls_and_results_stand_in_the_text() {
        let call = |id: &str, name: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{\"a\":1}"}});
        let messages = json!([
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "I look.", "tool_calls": [call("1", "f"), call("2", "g")]},
            {"role": "tool", "tool_call_id": "2", "content": "two"},
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "one"}]},
            {"role": "assistant", "content": "done"},
        ]);
        let read = in_words(&messages, lacking(None));
        let roles: Vec<_> =
            read.as_array().expect("a list").iter().map(|m| m["role"].as_str().expect("a role")).collect();
        assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
        let called = read[1]["content"].as_str().expect("text");
        assert!(called.starts_with("I look.\n") && called.contains("\"f\"") && called.contains("\"g\""), "{called}");
        assert!(read[1].get("tool_calls").is_none());
        let results = read[2]["content"].as_str().expect("text");
        let (first, second) = (results.find("two"), results.find("one"));
        assert!(first.is_some() && first < second, "{results}");
        assert!(results.find('g') < results.find("two"), "the name of its function: {results}");
    }

    #[test]
    fn what_a_template_writes_itself_stays() {
        let messages = json!([{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]}, {"role": "tool", "content": "r"}]);
        assert_eq!(in_words(&messages, Lacking { description: None, calls: false, results: false }), messages);
    }
}
