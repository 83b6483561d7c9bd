//! Functions and which of them are called. Unlike in chats, a function has no envelope around it.

use serde_json::Value;

use crate::dialects::chat::Tools;
use crate::dialects::fields::Fields;
use crate::dialects::request::tools::{CHOICE, TOOLS, read_choice, read_function};
use crate::http::{ApiError, quote};

/// What a body says of tools.
pub(super) fn read(fields: &Fields<'_>) -> Result<Tools, ApiError> {
    let mut tools = Tools::none(TOOLS);
    for (i, tool) in fields.list(TOOLS)?.into_iter().flatten().enumerate() {
        add(&Fields::at(tool, format!("{TOOLS}[{i}]"))?, &mut tools)?;
    }
    tools.parallel = fields.boolean("parallel_tool_calls")?.unwrap_or(true);
    read_choice(fields, &mut tools)?;
    tools.check(CHOICE)?;
    Ok(tools)
}

fn add(tool: &Fields<'_>, tools: &mut Tools) -> Result<(), ApiError> {
    let path = tool.name("type");
    match tool.string("type")?.ok_or_else(|| ApiError::missing(&path, "\"function\""))? {
        "function" => {
            // Some clients send the form of chats.
            let inner = tool.get("function").filter(|value| Value::is_object(value));
            let inner = inner.map(|value| Fields::at(value, tool.name("function"))).transpose()?;
            let function = inner.as_ref().unwrap_or(tool);
            tools.add_bare(read_function(function)?, &function.name("name"))
        }
        kind => {
            let message =
                format!("{path} is {}; allowed: function (this server runs no tools of its own)", quote(kind));
            Err(ApiError::unsupported(path, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::chat::Choice;
    use serde_json::json;

    fn tools(body: Value) -> Result<Tools, ApiError> {
        read(&Fields::top(&body).expect("an object"))
    }

    #[test]
    fn functions_are_read_with_and_without_an_envelope() {
        let bare = json!({"type": "function", "name": "f", "description": null, "parameters": {"type": "object"}, "strict": true});
        let wrapped =
            json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": true}});
        let described = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
        for tool in [bare, wrapped] {
            let read =
                tools(json!({"tools": [tool], "tool_choice": {"type": "function", "name": "f"}})).expect("valid");
            assert_eq!(read.described(), Some(described.clone()));
            assert_eq!(read.choice, Choice::Named("f".into()));
            assert!(read.callable()[0].strict);
        }
        for (tool, param) in [
            (json!({"name": "f"}), "tools[0].type"),
            (json!({"type": "function"}), "tools[0].name"),
            (json!({"type": "web_search"}), "tools[0].type"),
        ] {
            assert_eq!(tools(json!({"tools": [tool]})).expect_err("no tool").param(), Some(param));
        }
    }
}
