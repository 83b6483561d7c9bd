//! What models, tools and agents wrote earlier, as real clients send it back: none of it may end a conversation.

use serde_json::{Value, json};

use crate::support::{CHAT, api, api_with_template, post};

/// The history between two messages of the user.
async fn send(history: &[Value]) -> crate::support::Answer {
    let mut messages = vec![json!({"role": "user", "content": "a"})];
    messages.extend_from_slice(history);
    messages.push(json!({"role": "user", "content": "b"}));
    post(&api(), CHAT, &json!({"messages": messages, "max_tokens": 1})).await
}

fn call(arguments: Value) -> Value {
    json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}})
}

#[tokio::test]
async fn histories_of_real_clients_are_taken() {
    let result = json!({"role": "tool", "tool_call_id": "c1", "content": "7"});
    let histories = [
        // openai-python: message.model_dump().
        vec![
            json!({"content": null, "refusal": null, "role": "assistant", "annotations": [], "audio": null,
                   "function_call": null, "tool_calls": [call(json!("{\"a\": 1}"))]}),
            result.clone(),
        ],
        vec![json!({"content": "x", "refusal": null, "role": "assistant", "annotations": null, "audio": null,
                    "function_call": null, "tool_calls": null})],
        // LangChain.
        vec![
            json!({"role": "assistant", "content": "", "tool_calls": [call(json!("{}"))]}),
            json!({"role": "tool", "content": "7", "tool_call_id": "c1", "name": "f"}),
        ],
        // LiteLLM.
        vec![json!({"role": "assistant", "content": null, "tool_calls": null, "function_call": null,
                    "provider_specific_fields": {"refusal": null}, "thinking_blocks": null})],
        // Vercel's AI SDK.
        vec![
            json!({"role": "assistant", "content": null, "tool_calls": [call(json!("{\"a\": 2, \"b\""))]}),
            json!({"role": "tool", "tool_call_id": "c1", "content": null}),
        ],
        vec![json!({"role": "assistant", "content": [{"type": "text", "text": "x", "providerOptions": {}}]})],
        // Continue, aider and others: an empty answer, members of their own.
        vec![json!({"role": "assistant", "content": "", "toolCalls": []})],
        vec![json!({"role": "assistant", "content": null, "tool_calls": []})],
        vec![json!({"role": "assistant", "content": "x", "prefix": true, "id": "m1", "created_at": 5})],
        vec![json!({"role": "assistant"})],
        // Two calls at once, one of them without anything that could be left out.
        vec![
            json!({"role": "assistant", "tool_calls": [{"function": {"name": "g"}}, call(json!(""))]}),
            json!({"role": "tool", "content": [{"type": "text", "text": "7"}]}),
            result,
        ],
        // OpenAI's older form.
        vec![
            json!({"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{"}}),
            json!({"role": "function", "name": "f", "content": "7"}),
        ],
        // Parts that are plain strings, or of no type; thoughts; a refusal.
        vec![json!({"role": "assistant", "content": ["x", {"text": "y"}, null]})],
        vec![
            json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "h"}, {"type": "text", "text": "x"}]}),
        ],
        vec![json!({"role": "assistant", "content": null, "refusal": "no"})],
        vec![json!({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]})],
        // Roles of other models.
        vec![json!({"role": "ipython", "content": "7"}), json!({"role": "observation", "content": null})],
    ];
    for history in &histories {
        let answer = send(history).await;
        assert_eq!(answer.status, 200, "{history:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn arguments_that_are_no_json_reach_every_kind_of_template() {
    // As they are; as JSON; member by member, for which a text must be wrapped.
    let body = "{% for m in messages %}{{ m.role }}{{ m.content }}{% for c in m.tool_calls or [] %}CALL{% endfor %}{% endfor %}";
    for print in [
        "{{ c.function.arguments }}",
        "{{ c.function.arguments | tojson }}",
        "{% for name, value in c.function.arguments.items() %}{{ name }}={{ value }}{% endfor %}",
    ] {
        let api = api_with_template(&body.replace("CALL", print));
        for arguments in ["{\"a\": 2, \"b\"", "{", "oops", "[1]", "5", "null", "{\"a\": 1}"] {
            let messages = json!([
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": null, "tool_calls": [call(json!(arguments))]},
                {"role": "tool", "tool_call_id": "c1", "content": "7"},
            ]);
            let answer = post(&api, CHAT, &json!({"messages": messages, "max_tokens": 1})).await;
            assert_eq!(answer.status, 200, "{print} {arguments}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_understood_is_still_refused_by_its_place() {
    for (history, param) in [
        (json!({"role": "assistant", "content": 5}), "messages[1].content"),
        (json!({"role": "assistant", "content": {"text": "x"}}), "messages[1].content"),
        (
            json!({"role": "tool", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}),
            "messages[1].content[0].type",
        ),
        (json!({"role": "assistant", "tool_calls": "f()"}), "messages[1].tool_calls"),
        (json!({"role": "assistant", "tool_calls": ["f()"]}), "messages[1].tool_calls[0]"),
        (json!({"role": "assistant", "tool_calls": [call(json!(5))]}), "messages[1].tool_calls[0].function.arguments"),
        (json!({"role": "assistant", "function_call": "f"}), "messages[1].function_call"),
        (json!({"role": "assistant", "content": "x", "audio": {"id": "y"}}), "messages[1].audio"),
        (json!({"role": "assistant", "content": "x", "images": ["QUJD"]}), "messages[1].images"),
        (json!({"role": "tool", "content": "x", "tool_call_id": 5}), "messages[1].tool_call_id"),
    ] {
        let answer = send(std::slice::from_ref(&history)).await;
        let (status, found, _) = answer.error();
        assert_eq!((status, found.as_deref()), (400, Some(param)), "{history}: {}", answer.text);
    }
}
