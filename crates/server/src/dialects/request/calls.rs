//! Tool calls in a chat's history, and which message answers which of them.
//!
//! A model wrote the arguments, so they are any string, JSON or not. What clients leave out is put in, because templates
//! rely on it: ids, arguments of a function that has none, and the id that a result belongs to.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use crate::dialects::fields::{Fields, wrong_type};
use crate::http::ApiError;
use crate::http::body;

/// Reads the calls of all messages, first to last.
pub(crate) struct Calls {
    /// How many JSON values the arguments may still have.
    values_left: usize,
    /// How many ids were made up.
    made_up: usize,
    /// Ids of calls that no message has answered yet.
    open: VecDeque<String>,
}

impl Calls {
    /// For the history of one chat; the arguments together may have `max_values` JSON values.
    pub fn new(max_values: usize) -> Self {
        Self { values_left: max_values, made_up: 0, open: VecDeque::new() }
    }

    /// The calls that a message makes, complete; `None` if there are none.
    pub fn made(&mut self, fields: &Fields<'_>, role: &str) -> Result<Option<Value>, ApiError> {
        let Some(field) = sent_as(fields)? else {
            return Ok(None);
        };
        let path = fields.name(field);
        if matches!(role, "system" | "user" | "tool") {
            let message = format!("{field} stands in a message of the role {role}; only the assistant calls");
            return Err(ApiError::invalid_value(path, message));
        }
        self.open.clear();
        match fields.get(field) {
            Some(Value::Array(calls)) => {
                let calls = calls.iter().enumerate().map(|(i, call)| self.call(call, format!("{path}[{i}]")));
                Ok(Some(calls.collect::<Result<_, _>>()?))
            }
            Some(function) => {
                let function = self.function(function, path)?;
                Ok(Some(Value::Array(vec![self.complete(Map::new(), None, function)])))
            }
            None => Ok(None),
        }
    }

    fn call(&mut self, call: &Value, path: String) -> Result<Value, ApiError> {
        let fields = Fields::at(call, path)?;
        let function =
            fields.get("function").ok_or_else(|| ApiError::missing(&fields.name("function"), "an object"))?;
        let function = self.function(function, fields.name("function"))?;
        let id = fields.string("id")?.filter(|id| !id.is_empty());
        Ok(self.complete(without_nulls(call), id, function))
    }

    /// The function that is called, with its arguments.
    fn function(&mut self, function: &Value, path: String) -> Result<Map<String, Value>, ApiError> {
        let fields = Fields::at(function, path)?;
        if fields.string("name")?.is_none() {
            return Err(ApiError::missing(&fields.name("name"), "the function's name"));
        }
        let mut read = without_nulls(function);
        read.insert("arguments".into(), self.arguments(&fields)?);
        Ok(read)
    }

    /// A call with all its members, open until it is answered.
    fn complete(&mut self, mut call: Map<String, Value>, id: Option<&str>, function: Map<String, Value>) -> Value {
        let id = id.map_or_else(|| self.make_up_id(), str::to_owned);
        call.entry("type").or_insert_with(|| "function".into());
        call.insert("id".into(), id.clone().into());
        call.insert("function".into(), function.into());
        self.open.push_back(id);
        Value::Object(call)
    }

    /// A function's arguments: an object, or any text. The text is usually JSON, and read by whoever can.
    fn arguments(&mut self, function: &Fields<'_>) -> Result<Value, ApiError> {
        let path = || function.name("arguments");
        match function.get("arguments") {
            // Clients send nothing at all as the arguments of a function that has none.
            None => Ok("{}".into()),
            Some(Value::String(text)) if text.trim().is_empty() => Ok("{}".into()),
            Some(text @ Value::String(json)) => {
                let values = body::count_values(json.as_bytes());
                self.values_left = self
                    .values_left
                    .checked_sub(values)
                    .ok_or_else(|| ApiError::invalid_value(path(), "the tool calls hold too many JSON values"))?;
                Ok(text.clone())
            }
            Some(object @ Value::Object(_)) => Ok(object.clone()),
            Some(other) => Err(wrong_type(path(), other, "a string, usually of JSON, or an object")),
        }
    }

    /// Nine letters and digits: some templates insist on that.
    fn make_up_id(&mut self) -> String {
        self.made_up += 1;
        format!("call{:05}", self.made_up)
    }

    /// A result: without an id it answers the first call that is open.
    pub fn answered(&mut self, fields: &Fields<'_>, message: &mut Map<String, Value>) -> Result<(), ApiError> {
        match fields.string("tool_call_id")?.filter(|id| !id.is_empty()) {
            Some(id) => self.open.retain(|open| open != id),
            None => {
                if let Some(id) = self.open.pop_front() {
                    message.insert("tool_call_id".into(), id.into());
                }
            }
        }
        Ok(())
    }
}

/// The field that a message's calls were sent in, if it makes any: `tool_calls`, or OpenAI's older form, which is one call without an id.
pub(crate) fn sent_as(fields: &Fields<'_>) -> Result<Option<&'static str>, ApiError> {
    if fields.list("tool_calls")?.is_some_and(|calls| !calls.is_empty()) {
        return Ok(Some("tool_calls"));
    }
    Ok(fields.object("function_call")?.map(|_| "function_call"))
}

/// The members of an object; `null` is as good as absent, as everywhere.
pub(crate) fn without_nulls(object: &Value) -> Map<String, Value> {
    let mut members = object.as_object().cloned().unwrap_or_default();
    members.retain(|_, value| !value.is_null());
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::request::messages;
    use serde_json::json;

    fn read(messages: Value) -> Result<Value, ApiError> {
        let body = json!({ "messages": messages });
        messages::read(&Fields::top(&body).expect("an object"), 100)
    }

    fn arguments(sent: Value) -> Result<Value, ApiError> {
        let call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": sent}});
        let read = read(json!([{"role": "assistant", "content": null, "tool_calls": [call]}]))?;
        Ok(read[0]["tool_calls"][0]["function"]["arguments"].clone())
    }

    #[test]
    fn arguments_are_whatever_the_model_wrote() {
        for text in
            ["{\"a\": 1}", "{\"a\": 2, \"b\"", "{", "not json", "[1, 2]", "5", "null", "{\"a\": NaN}", "<|im_end|>"]
        {
            assert_eq!(arguments(json!(text)), Ok(json!(text)));
        }
        for nothing in [json!(""), json!(" \n"), json!(null)] {
            assert_eq!(arguments(nothing), Ok(json!("{}")));
        }
        assert_eq!(arguments(json!({"a": 1})), Ok(json!({"a": 1})));
        for other in [json!(5), json!([1]), json!(true)] {
            let error = arguments(other).expect_err("neither a string nor an object");
            assert_eq!(error.param(), Some("messages[0].tool_calls[0].function.arguments"));
        }
    }

    #[test]
    fn arguments_with_too_many_values_are_refused() {
        let error = arguments(json!(format!("[{}1]", "1,".repeat(200)))).expect_err("too many");
        assert_eq!(error.param(), Some("messages[0].tool_calls[0].function.arguments"));
    }

    #[test]
    fn what_clients_leave_out_is_put_in() {
        let read = read(json!([
            {"role": "assistant", "tool_calls": [
                {"function": {"name": "f"}}, {"id": "mine", "index": 1, "function": {"name": "g", "arguments": "{}"}},
            ]},
            {"role": "tool", "content": "a"},
            {"role": "tool", "content": "b", "tool_call_id": "mine"},
            {"role": "tool", "content": "c"},
        ]))
        .expect("valid");
        let calls = &read[0]["tool_calls"];
        assert_eq!(
            calls[0],
            json!({"id": "call00001", "type": "function", "function": {"name": "f", "arguments": "{}"}})
        );
        assert_eq!(
            (&calls[1]["id"], &calls[1]["type"], &calls[1]["index"]),
            (&json!("mine"), &json!("function"), &json!(1))
        );
        assert_eq!(read[1]["tool_call_id"], "call00001");
        assert_eq!(read[2]["tool_call_id"], "mine");
        assert_eq!(read[3].get("tool_call_id"), None, "nothing is open");
    }

    #[test]
    fn the_older_form_of_a_call_becomes_the_newer_one() {
        let read = read(json!([
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{\"a\": 1"}},
            {"role": "function", "name": "f", "content": "7"},
        ]))
        .expect("valid");
        let call = json!({"id": "call00001", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1"}});
        assert_eq!(read[0], json!({"role": "assistant", "tool_calls": [call]}));
        assert_eq!(read[1], json!({"role": "tool", "name": "f", "content": "7", "tool_call_id": "call00001"}));
    }

    #[test]
    fn only_the_assistant_calls() {
        for role in ["user", "system", "tool"] {
            let error = read(json!([{"role": role, "content": "a", "tool_calls": [{"function": {"name": "f"}}]}]));
            assert_eq!(error.expect_err(role).param(), Some("messages[0].tool_calls"));
            let error = read(json!([{"role": role, "content": "a", "function_call": {"name": "f"}}]));
            assert_eq!(error.expect_err(role).param(), Some("messages[0].function_call"));
        }
    }

    #[test]
    fn the_older_form_is_named_as_it_was_sent() {
        for (call, param) in [
            (json!({}), "messages[0].function_call.name"),
            (json!({"name": 5}), "messages[0].function_call.name"),
            (json!({"name": "f", "arguments": 5}), "messages[0].function_call.arguments"),
            (json!("f"), "messages[0].function_call"),
        ] {
            let error = read(json!([{"role": "assistant", "function_call": call}])).expect_err(param);
            assert_eq!(error.param(), Some(param));
        }
    }
}
