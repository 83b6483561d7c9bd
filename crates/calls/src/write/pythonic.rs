//! Calls in Python. Values are written as in JSON, but for `True` and `False` in lists of calls.

use serde_json::Value;

use super::lark::{Lark, quote};
use super::{Functions, Section};
use crate::forms::Python;
use crate::schema::{self, Kinds};

/// A list, or lines, between markers, which may be empty.
pub(super) fn section(lark: &mut Lark<'_>, form: &Python, functions: Functions<'_>, parallel: bool) -> Section {
    let mut calls = Vec::with_capacity(functions.len());
    for (number, function) in functions {
        let arguments = arguments(lark, form, *number, &function.parameters);
        let head = quote(&format!("{}(", function.name));
        lark.rule(&format!("call{number}"), &format!("{head} {arguments} {}", quote(")")));
        calls.push(format!("call{number}"));
    }
    lark.call(&calls);
    let (first, separator, last) =
        if form.in_lines { (quote("\n"), quote("\n"), quote("\n")) } else { (quote("["), quote(", "), quote("]")) };
    let more = if parallel { format!("({separator} call)*") } else { String::new() };
    let tail = format!("{first} call {more} {last} {}", lark.marker(form.close));
    Section { open: form.open, tail, other: form.open.is_empty().then_some(r"/[^\[ \n\t\r](.|\n)*/") }
}

/// The arguments of a function, in the order of its schema.
fn arguments(lark: &mut Lark<'_>, form: &Python, number: usize, parameters: &Value) -> String {
    let mut items = Vec::new();
    for (at, (name, schema, is_required)) in schema::properties(parameters).into_iter().enumerate() {
        // OLMo 3 was shown JSON's words.
        let value = if !form.in_lines && Kinds::of_schema(schema, parameters) == Kinds::BOOLEAN {
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
