//! Calls as a name and a JSON object.

use super::lark::{Lark, quote};
use super::{Functions, Section, arguments};
use crate::forms::Named;

pub(super) fn section(lark: &mut Lark<'_>, form: &Named, functions: Functions<'_>, parallel: bool) -> Section {
    let [open, close, end, begin] = [form.open, form.close, form.end, form.begin].map(|marker| lark.marker(marker));
    let middle = lark.marker(form.middle.first().copied().unwrap_or_default());
    let mut calls = Vec::with_capacity(functions.len());
    if form.is_numbered {
        lark.rule("NUMBER", "/[0-9]{1,3}/");
    }
    for (number, function) in functions {
        let arguments = lark.schema(arguments(function), *number);
        let mut name = quote(&format!("{}{}", form.prefix, function.name));
        if form.is_numbered {
            name.push_str(" \":\" NUMBER");
        }
        let arguments = match form.is_fenced {
            true => format!("\"\\n\" {arguments} \"\\n```\""),
            false => arguments,
        };
        lark.rule(&format!("call{number}"), &format!("{open} {name} {middle} {arguments} {close}"));
        calls.push(format!("call{number}"));
    }
    lark.call(&calls);
    // Where nothing stands behind all calls, each has the marker.
    let more = match (parallel, form.end) {
        (false, _) => String::new(),
        (true, "") => format!("({begin} call)*"),
        (true, _) if form.is_fenced => "(\"\\n\" call)*".to_owned(),
        (true, _) => "call*".to_owned(),
    };
    Section { open: form.begin, tail: format!("call {more} {end}"), other: None }
}
