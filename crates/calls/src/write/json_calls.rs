//! Calls as JSON objects.

use serde_json::json;

use super::lark::{Lark, any_of, quote};
use super::{Section, arguments};
use crate::{Function, generic};

/// Objects between markers, one in each pair of them.
pub(super) fn hermes(lark: &mut Lark<'_>, functions: &[(usize, &Function)], parallel: bool) -> Section {
    objects(lark, functions, "name", "arguments");
    let close = lark.marker(generic::CLOSE);
    lark.rule("tail", &format!("\"\\n\" call \"\\n\" {close}"));
    let open = lark.marker(generic::OPEN);
    let more = if parallel { format!(" (\"\\n\" {open} tail)*") } else { String::new() };
    Section { open: generic::OPEN, tail: format!("tail{more}"), other: None }
}

/// The rule `call`: an object that calls one of the functions.
fn objects(lark: &mut Lark<'_>, functions: &[(usize, &Function)], name: &str, key: &str) {
    let mut calls = Vec::with_capacity(functions.len());
    for (number, function) in functions {
        let arguments = lark.schema(arguments(function), *number);
        let head = format!("{{\"{name}\": {}, \"{key}\": ", json!(function.name));
        lark.rule(&format!("call{number}"), &format!("{} {arguments} {}", quote(&head), quote("}")));
        calls.push(format!("call{number}"));
    }
    lark.rule("call", &any_of(&calls));
}
