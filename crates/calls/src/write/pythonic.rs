//! Calls as a list of calls in Python. Values are written as in JSON, but for `True` and `False`.

use serde_json::Value;

use super::lark::{Lark, quote};
use super::{Functions, Section};
use crate::schema::{self, Kinds};

/// A list between markers, which may be empty.
pub(super) fn section(
    lark: &mut Lark<'_>,
    (open, close): (&'static str, &str),
    functions: Functions<'_>,
    parallel: bool,
) -> Section {
    let mut calls = Vec::with_capacity(functions.len());
    for (number, function) in functions {
        let arguments = arguments(lark, *number, &function.parameters);
        let head = quote(&format!("{}(", function.name));
        lark.rule(&format!("call{number}"), &format!("{head} {arguments} {}", quote(")")));
        calls.push(format!("call{number}"));
    }
    lark.call(&calls);
    let more = if parallel { "(\", \" call)*" } else { "" };
    let tail = format!("{} call {more} {} {}", quote("["), quote("]"), lark.marker(close));
    Section { open, tail, other: open.is_empty().then_some(r"/[^\[ \n\t\r](.|\n)*/") }
}

/// The arguments of a function, in the order of its schema.
fn arguments(lark: &mut Lark<'_>, number: usize, parameters: &Value) -> String {
    let mut items = Vec::new();
    for (at, (name, schema, is_required)) in schema::properties(parameters).into_iter().enumerate() {
        let value = if Kinds::of_schema(schema, parameters) == Kinds::BOOLEAN {
            "(\"True\" | \"False\")".to_owned()
        } else {
            lark.schema(schema::part(schema, parameters), number)
        };
        let rule = format!("a{number}_{at}");
        lark.rule(&rule, &format!("{} {value}", quote(&format!("{name}="))));
        items.push((rule, is_required));
    }
    lark.list(&format!("l{number}"), &items, ", ")
}
