//! Calls as JSON objects.

use serde_json::json;

use super::lark::{Lark, quote};
use super::{Functions, Section, arguments};
use crate::forms::Json;

/// Objects between markers: a list of them, or one in each pair of markers, or separated by semicolons if there are no markers.
pub(super) fn section(lark: &mut Lark<'_>, form: &Json, functions: Functions<'_>, parallel: bool) -> Section {
    objects(lark, form, functions);
    let (open, close) = (lark.marker(form.open), lark.marker(form.close));
    let (first, more) = match form {
        Json { is_list: true, .. } => (format!("{} call", quote("[")), "\", \" call".to_owned()),
        Json { open: "", .. } => ("call".to_owned(), "\"; \" call".to_owned()),
        _ => (format!("\"\\n\" call \"\\n\" {close}"), format!("\"\\n\" {open} \"\\n\" call \"\\n\" {close}")),
    };
    let last = if form.is_list { format!(" {} {close}", quote("]")) } else { String::new() };
    let more = if parallel { format!(" ({more})*") } else { String::new() };
    let other = form.open.is_empty().then_some(r"/[^{ \n\t\r](.|\n)*/");
    Section { open: form.open, tail: format!("{first}{more}{last}"), other }
}

/// Adds the rule `call`: an object that calls one of the functions.
fn objects(lark: &mut Lark<'_>, form: &Json, functions: Functions<'_>) {
    // Cohere's have an id.
    let id = if form.keys.is_some_and(|(name, _)| name == "tool_name") {
        lark.rule("ID", "/[0-9]{1,3}/");
        format!("{} ID {}", quote("{\"tool_call_id\": \""), quote("\", "))
    } else {
        quote("{")
    };
    let mut calls = Vec::with_capacity(functions.len());
    for (number, function) in functions {
        let arguments = lark.schema(arguments(function), *number);
        let head = match form.keys {
            Some((name, key)) => format!("\"{name}\": {}, \"{key}\": ", json!(function.name)),
            None => format!("{}: ", json!(function.name)),
        };
        lark.rule(&format!("call{number}"), &format!("{id} {} {arguments} {}", quote(&head), quote("}")));
        calls.push(format!("call{number}"));
    }
    lark.call(&calls);
}
