//! Functions and which of them are called.

use parkade_calls::Function;
use serde_json::{Value, json};

use super::partial::whole_part;
use crate::dialects::chat::{Choice, Tools};
use crate::dialects::fields::Fields;
use crate::http::{ApiError, quote};

const TOOLS: &str = "tools";
const CHOICE: &str = "tool_choice";

/// What a body says of tools.
pub(super) fn read(fields: &Fields<'_>) -> Result<Tools, ApiError> {
    let mut tools = Tools::none(TOOLS);
    for (i, tool) in fields.list(TOOLS)?.into_iter().flatten().enumerate() {
        let tool = Fields::at(tool, format!("{TOOLS}[{i}]"))?;
        let path = tool.name("type");
        if let Some(kind) = tool.string("type")?.filter(|kind| *kind != "custom") {
            let message = format!("{path} is {}; allowed: custom (this server runs no tools of its own)", quote(kind));
            return Err(ApiError::invalid_value(path, message));
        }
        let name = tool.string("name")?.ok_or_else(|| ApiError::missing(&tool.name("name"), "the function's name"))?;
        let schema = tool.object("input_schema")?;
        let schema = schema.ok_or_else(|| ApiError::missing(&tool.name("input_schema"), "a JSON schema"))?;
        let function = Function {
            name: name.to_owned(),
            description: tool.string("description")?.map(str::to_owned),
            parameters: Value::Object(schema.clone()),
            strict: tool.boolean("strict")?.unwrap_or(false),
        };
        tools.add_bare(function, &tool.name("name"))?;
    }
    read_choice(fields, &mut tools)?;
    tools.check(CHOICE)?;
    Ok(tools)
}

fn read_choice(fields: &Fields<'_>, tools: &mut Tools) -> Result<(), ApiError> {
    let Some(choice) = fields.get(CHOICE) else { return Ok(()) };
    let choice = Fields::at(choice, CHOICE.to_owned())?;
    tools.parallel = !choice.boolean("disable_parallel_tool_use")?.unwrap_or(false);
    let kinds = [("auto", "auto"), ("any", "any"), ("tool", "tool"), ("none", "none")];
    let kind = choice.word("type", &kinds)?;
    tools.choice = match kind.ok_or_else(|| ApiError::missing(&choice.name("type"), "auto, any, tool or none"))? {
        "none" => Choice::None,
        "any" => Choice::Required,
        "tool" => {
            let name = choice.string("name")?;
            Choice::Named(
                name.ok_or_else(|| ApiError::missing(&choice.name("name"), "the function's name"))?.to_owned(),
            )
        }
        _ => Choice::Auto,
    };
    Ok(())
}

/// What this server says of the arguments of a call: an object. Where the answer was cut in them it has the members that are whole, as
/// clients make it of a stream's `input_json_delta`; `stop_reason` is `max_tokens` then.
pub(super) fn input(arguments: &str) -> Value {
    let whole = serde_json::from_str(arguments).ok().or_else(|| whole_part(arguments));
    whole.filter(Value::is_object).unwrap_or_else(|| json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(body: Value) -> Result<Tools, ApiError> {
        read(&Fields::top(&body).expect("an object"))
    }

    #[test]
    fn tools_and_choices_are_read() {
        let tool = json!({"name": "f", "description": "d", "input_schema": {"type": "object"}, "cache_control": {}});
        let read = tools(
            json!({"tools": [tool], "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true}}),
        );
        let read = read.expect("valid");
        assert_eq!((&read.choice, read.parallel), (&Choice::Named("f".into()), false));
        let described = json!([{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]);
        assert_eq!(read.described(), Some(described));
        for (choice, param) in [
            (json!("auto"), "tool_choice"),
            (json!({}), "tool_choice.type"),
            (json!({"type": "some"}), "tool_choice.type"),
            (json!({"type": "tool"}), "tool_choice.name"),
            (json!({"type": "tool", "name": "g"}), "tool_choice"),
        ] {
            let error = tools(json!({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": choice}));
            assert_eq!(error.expect_err("no choice").param(), Some(param));
        }
        for (tool, param) in [
            (json!({"input_schema": {}}), "tools[0].name"),
            (json!({"name": "f"}), "tools[0].input_schema"),
            (json!({"type": "web_search_20250305", "name": "web_search"}), "tools[0].type"),
        ] {
            assert_eq!(tools(json!({"tools": [tool]})).expect_err("no tool").param(), Some(param));
        }
    }

    #[test]
    fn arguments_are_an_object_in_any_case() {
        assert_eq!(input("{\"a\": 1}"), json!({"a": 1}));
        assert_eq!(input("{\"a\": 1, \"b\": [2, "), json!({"a": 1, "b": [2]}));
        assert_eq!(input(""), json!({}));
        assert_eq!(input("5"), json!({}));
    }
}
