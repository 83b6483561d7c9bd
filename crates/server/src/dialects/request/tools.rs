//! `tools`, `tool_choice` and `parallel_tool_calls`.

use parkade_calls::Function;
use serde_json::{Value, json};

use crate::dialects::chat::{Choice, Tools};
use crate::dialects::fields::{Fields, describe};
use crate::http::{ApiError, quote};

pub(crate) const TOOLS: &str = "tools";
pub(crate) const CHOICE: &str = "tool_choice";

/// What a body says of tools.
pub(crate) fn read(fields: &Fields<'_>) -> Result<Tools, ApiError> {
    let mut tools = Tools::none(TOOLS);
    for (i, tool) in fields.list(TOOLS)?.into_iter().flatten().enumerate() {
        let described = Fields::at(tool, format!("{TOOLS}[{i}]"))?;
        let kind = described.string("type")?;
        let kind = kind.ok_or_else(|| ApiError::missing(&described.name("type"), "\"function\""))?;
        if kind != "function" {
            let path = described.name("type");
            let message =
                format!("{path} is {}; allowed: function (this server runs no tools of its own)", quote(kind));
            return Err(ApiError::invalid_value(path, message));
        }
        let function =
            described.get("function").ok_or_else(|| ApiError::missing(&described.name("function"), "an object"))?;
        let function = Fields::at(function, described.name("function"))?;
        tools.add(read_function(&function)?, without_strict(tool), &function.name("name"))?;
    }
    tools.parallel = fields.boolean("parallel_tool_calls")?.unwrap_or(true);
    read_choice(fields, &mut tools)?;
    tools.check(CHOICE)?;
    Ok(tools)
}

/// A function's name, description, parameters and strictness.
pub(crate) fn read_function(fields: &Fields<'_>) -> Result<Function, ApiError> {
    let name = fields.string("name")?;
    let name = name.ok_or_else(|| ApiError::missing(&fields.name("name"), "the function's name"))?;
    Ok(Function {
        name: name.to_owned(),
        description: fields.string("description")?.map(str::to_owned),
        parameters: fields.object("parameters")?.map_or_else(|| json!({}), |schema| Value::Object(schema.clone())),
        strict: fields.boolean("strict")?.unwrap_or(false),
    })
}

/// A tool as templates know it: whether its calls are held to its schema is not the model's affair.
fn without_strict(tool: &Value) -> Value {
    let mut tool = tool.clone();
    if let Some(function) = tool.get_mut("function").and_then(Value::as_object_mut) {
        function.retain(|name, value| name != "strict" && !value.is_null());
    }
    tool
}

pub(crate) fn read_choice(fields: &Fields<'_>, tools: &mut Tools) -> Result<(), ApiError> {
    match fields.get(CHOICE) {
        None => {}
        Some(Value::String(_)) => {
            let words =
                [("auto", Word::Auto), ("none", Word::None), ("required", Word::Required), ("any", Word::Required)];
            tools.choice = match fields.word(CHOICE, &words)? {
                Some(Word::None) => Choice::None,
                Some(Word::Required) => Choice::Required,
                Some(Word::Auto) | None => Choice::Auto,
            };
        }
        Some(value @ Value::Object(_)) => read_choice_object(&Fields::at(value, CHOICE.to_owned())?, tools)?,
        Some(other) => {
            let message = format!(
                "{CHOICE} is {}; allowed: auto, none, required, or an object that names a function",
                describe(other)
            );
            return Err(ApiError::invalid_type(CHOICE, message));
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Word {
    Auto,
    None,
    Required,
}

/// A function by name, or some of the tools. OpenAI's newer API has no envelope around names.
fn read_choice_object(choice: &Fields<'_>, tools: &mut Tools) -> Result<(), ApiError> {
    let kinds = [("function", false), ("allowed_tools", true)];
    let are_several = choice.word("type", &kinds)?.unwrap_or(false);
    if !are_several {
        tools.choice = Choice::Named(named(choice)?.to_owned());
        return Ok(());
    }
    let inner = choice.get("allowed_tools").map(|inner| Fields::at(inner, choice.name("allowed_tools"))).transpose()?;
    let allowed = inner.as_ref().unwrap_or(choice);
    tools.choice = match allowed.word("mode", &[("auto", false), ("required", true)])? {
        Some(true) => Choice::Required,
        _ => Choice::Auto,
    };
    let list =
        allowed.list("tools")?.ok_or_else(|| ApiError::missing(&allowed.name("tools"), "a list of functions"))?;
    let name = |(i, tool): (usize, &Value)| {
        let tool = Fields::at(tool, format!("{}[{i}]", allowed.name("tools")))?;
        named(&tool).map(str::to_owned)
    };
    let names = list.iter().enumerate().map(name).collect::<Result<Vec<_>, _>>()?;
    tools.allow_only(&names, CHOICE)
}

fn named<'a>(fields: &Fields<'a>) -> Result<&'a str, ApiError> {
    if let Some(name) = fields.string("name")? {
        return Ok(name);
    }
    let function =
        fields.get("function").ok_or_else(|| ApiError::missing(&fields.name("function"), "an object with a name"))?;
    let function = Fields::at(function, fields.name("function"))?;
    function.string("name")?.ok_or_else(|| ApiError::missing(&function.name("name"), "the function's name"))
}
