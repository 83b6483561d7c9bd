//! System messages for templates that have none: what they say goes before what the user says next.

use serde_json::{Value, json};

/// Puts the text of system messages before the next of the user, or makes one of the user of it.
pub(super) fn fold(messages: Vec<Value>) -> Vec<Value> {
    let mut folded = Vec::with_capacity(messages.len());
    let mut waiting: Vec<String> = Vec::new();
    for mut message in messages {
        if message["role"] == "system" {
            waiting.push(text_of(&message["content"]).trim().to_owned());
            continue;
        }
        if !waiting.is_empty() {
            let said = std::mem::take(&mut waiting).join("\n\n");
            if message["role"] == "user" {
                put_before(&mut message["content"], said);
            } else {
                folded.push(json!({"role": "user", "content": said}));
            }
        }
        folded.push(message);
    }
    if !waiting.is_empty() {
        folded.push(json!({"role": "user", "content": waiting.join("\n\n")}));
    }
    folded
}

/// The text of a content, which is a string or a list of text parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        content => content.as_str().unwrap_or_default().to_owned(),
    }
}

fn put_before(content: &mut Value, said: String) {
    match content {
        Value::Array(parts) => parts.insert(0, json!({"type": "text", "text": format!("{said}\n\n")})),
        Value::String(text) if !text.is_empty() => *text = format!("{said}\n\n{text}"),
        content => *content = Value::String(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(role: &str, content: Value) -> Value {
        json!({"role": role, "content": content})
    }

    #[test]
    fn what_the_system_says_goes_before_the_users_next_words() {
        let messages = vec![
            say("system", json!("a")),
            say("system", json!("b")),
            say("user", json!("c")),
            say("assistant", json!("d")),
            say("system", json!("e")),
            say("user", json!([{"type": "text", "text": "f"}])),
        ];
        let parts = json!([{"type": "text", "text": "e\n\n"}, {"type": "text", "text": "f"}]);
        let expected = [say("user", json!("a\n\nb\n\nc")), say("assistant", json!("d")), say("user", parts)];
        assert_eq!(fold(messages), expected);
    }

    #[test]
    fn without_a_next_word_of_the_user_it_becomes_one() {
        assert_eq!(fold(vec![say("system", json!("a"))]), [say("user", json!("a"))]);
        let messages = vec![say("system", json!("a")), say("assistant", json!("b"))];
        assert_eq!(fold(messages), [say("user", json!("a")), say("assistant", json!("b"))]);
        assert_eq!(fold(vec![say("system", json!("a")), say("user", json!(""))]), [say("user", json!("a"))]);
    }
}
