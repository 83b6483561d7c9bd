//! Calls for models whose chat template knows no tools: what a system message says of the functions, and how calls and results stand in the history.
//!
//! The notation is that of Nous Hermes in ordinary text, which most models have seen. It is short, for small models and small contexts.

use serde_json::{Value, json};

use crate::{Choice, Function};

/// What calls stand between.
const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// What a system message says of the functions.
pub fn describe(functions: &[Function], choice: &Choice<'_>, parallel: bool) -> String {
    let mut text = String::from("You can call these functions:\n");
    for function in functions.iter().filter(|function| choice.allows(&function.name)) {
        let mut shown = json!({ "name": function.name });
        if let Some(description) = &function.description {
            shown["description"] = Value::from(description.as_str());
        }
        shown["parameters"] = function.parameters.clone();
        text.push_str(&format!("{shown}\n"));
    }
    text.push_str("\nTo call a function, write its name and its arguments as JSON, in this form:\n");
    text.push_str(&call("NAME", r#"{"KEY": "VALUE"}"#));
    text.push_str("\n\n");
    text.push_str(match choice {
        Choice::Auto => "If no function helps, answer in words. The result of a call is given to you afterwards.",
        Choice::Required => "You must call a function now, and write nothing else.",
        Choice::Named(_) => "You must call this function now, and write nothing else.",
    });
    if !parallel {
        text.push_str(" Call one function at a time.");
    }
    text
}

/// A call as it stands in the history. Arguments are JSON; what is none stands there as it is.
pub fn call(name: &str, arguments: &str) -> String {
    let arguments = match arguments.trim() {
        "" => "{}",
        arguments => arguments,
    };
    format!("{OPEN}\n{{\"name\": {}, \"arguments\": {arguments}}}\n{CLOSE}", json!(name))
}

/// The result of a call as it stands in the history.
pub fn result(name: Option<&str>, text: &str) -> String {
    match name {
        Some(name) => {
            format!("<tool_response>\n{{\"name\": {}, \"content\": {}}}\n</tool_response>", json!(name), json!(text))
        }
        None => format!("<tool_response>\n{text}\n</tool_response>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions() -> Vec<Function> {
        ["weather", "time"]
            .map(|name| Function {
                name: name.to_owned(),
                description: Some(format!("Tells the {name}.")),
                parameters: json!({ "type": "object", "properties": { "city": { "type": "string" } } }),
                strict: false,
            })
            .into()
    }

    #[test]
    fn functions_are_described_with_how_to_call_them() {
        let text = describe(&functions(), &Choice::Auto, true);
        assert!(text.contains(r#"{"name":"weather","description":"Tells the weather.","parameters":{"type":"object""#));
        assert!(text.contains("<tool_call>\n{\"name\": \"NAME\", \"arguments\": {\"KEY\": \"VALUE\"}}\n</tool_call>"));
        assert!(text.contains("answer in words") && !text.contains("one function at a time"));
        let text = describe(&functions(), &Choice::Named("time"), false);
        assert!(text.contains("must call this function") && !text.contains("weather"));
        assert!(text.ends_with("one function at a time."));
    }

    #[test]
    fn calls_and_results_stand_in_the_history_as_they_are_written() {
        let written = "<tool_call>\n{\"name\": \"a\\\"b\", \"arguments\": {\"x\":1}}\n</tool_call>";
        assert_eq!(call("a\"b", "{\"x\":1}"), written);
        assert_eq!(call("a", " "), "<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>");
        assert_eq!(result(None, "12 °C"), "<tool_response>\n12 °C\n</tool_response>");
        let named = "<tool_response>\n{\"name\": \"a\", \"content\": \"12\"}\n</tool_response>";
        assert_eq!(result(Some("a"), "12"), named);
    }
}
