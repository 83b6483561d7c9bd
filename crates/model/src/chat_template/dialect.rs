//! Finding out what a template expects of messages, by rendering small conversations and looking at what comes out.

use serde_json::{Value, json};

use super::messages::Dialect;

const NEEDLE: &str = "needle-7f3a";

/// Tries `render` on small conversations. What cannot be found out is what most templates expect.
pub(super) fn probe(render: impl Fn(Vec<Value>) -> Option<String>) -> Dialect {
    let user = |content: Value| json!({"role": "user", "content": content});
    let shows_needle = |content: Value| render(vec![user(content)]).is_some_and(|text| text.contains(NEEDLE));
    let content_parts = !shows_needle(json!(NEEDLE)) && shows_needle(json!([{"type": "text", "text": NEEDLE}]));

    let text = |text: &str| if content_parts { json!([{"type": "text", "text": text}]) } else { json!(text) };
    // Nine letters and digits: some templates insist on that.
    let id = "call00001";
    let with_call = |content: Value, arguments: Value| {
        let function = json!({"name": "look_up", "arguments": arguments});
        let calls = json!([{"id": id, "type": "function", "function": function}]);
        render(vec![
            user(text("a")),
            json!({"role": "assistant", "content": content, "tool_calls": calls}),
            json!({"role": "tool", "tool_call_id": id, "name": "look_up", "content": text("b")}),
        ])
    };

    let object = with_call(text(""), json!({NEEDLE: 1}));
    let string = with_call(text(""), json!(json!({NEEDLE: 1}).to_string()));
    let as_json =
        |rendered: &Option<String>| rendered.as_ref().is_some_and(|out| out.contains(&format!("\"{NEEDLE}\":")));
    let object_arguments = as_json(&object) || !as_json(&string);

    let arguments = if object_arguments { json!({NEEDLE: 1}) } else { json!(json!({NEEDLE: 1}).to_string()) };
    let nones = |rendered: &str| rendered.matches("None").count();
    let null_content = match (with_call(Value::Null, arguments.clone()), with_call(text(""), arguments)) {
        (Some(null), Some(empty)) => nones(&null) <= nones(&empty),
        (null, empty) => null.is_some() && empty.is_none(),
    };
    Dialect { content_parts, null_content, object_arguments }
}
