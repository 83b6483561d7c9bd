//! Calls whose arguments stand one by one between tags.
//!
//! Texts are written as they are, up to the tag behind them; of what a schema says about texts only lists of values are held to.

use serde_json::Value;

use super::lark::{ANY, Lark, and_without, any_of, quote};
use super::{Functions, Section};
use crate::forms::Tags;
use crate::schema::{self, Kinds};

pub(super) fn section(lark: &mut Lark<'_>, form: &Tags, functions: Functions<'_>, parallel: bool) -> Section {
    text(lark, form);
    let [begin, open, close, end] = [form.begin, form.open, form.close, form.end].map(|marker| lark.marker(marker));
    let named = match form.named {
        ["\n", ..] => "\"\\n\"".to_owned(),
        [named, ..] => format!("{} \"\\n\"", quote(named)),
        [] => String::new(),
    };
    let mut calls = Vec::with_capacity(functions.len());
    for (number, function) in functions {
        let arguments = arguments(lark, form, *number, &function.parameters);
        let name = quote(&function.name);
        lark.rule(&format!("call{number}"), &format!("{open} {name} {named} {arguments} {close}"));
        calls.push(format!("call{number}"));
    }
    lark.call(&calls);
    let (one, more) = match form {
        Tags { end: "", .. } => ("call".to_owned(), format!("\"\\n\" {begin} call")),
        Tags { is_shared: true, .. } => ("\"\\n\" call".to_owned(), "\"\\n\" call".to_owned()),
        _ => (format!("\"\\n\" call \"\\n\" {end}"), format!("\"\\n\" {begin} \"\\n\" call \"\\n\" {end}")),
    };
    let last = if form.is_shared { format!(" \"\\n\" {end}") } else { String::new() };
    let more = if parallel { format!(" ({more})*") } else { String::new() };
    Section { open: form.begin, tail: format!("{one}{more}{last}"), other: None }
}

/// Adds the rule `text`: any text, and the tag behind it.
fn text(lark: &mut Lark<'_>, form: &Tags) {
    let tag = form.value_end.last().copied().unwrap_or_default();
    let end = lark.marker(tag);
    // The line break before the tag is not the text's.
    let body = if form.breaks { r"/(.|\n)*\n/" } else { r"/(.|\n)+/" };
    let body = format!("{body}{}", and_without(&[tag]));
    if lark.first_token(tag).is_some() {
        lark.rule("text", &format!("TEXT? {end}"));
        lark.rule("TEXT", &body);
    } else {
        lark.rule(&format!("text[suffix={end}]"), if form.breaks { &body } else { ANY });
    }
}

/// The arguments of a function, in the order of its schema.
fn arguments(lark: &mut Lark<'_>, form: &Tags, number: usize, parameters: &Value) -> String {
    let [key, value] = [form.key, form.value].map(|marker| lark.marker(marker));
    let value = match (form.value, form.breaks) {
        ("", true) => "\"\\n\"".to_owned(),
        ("", false) => String::new(),
        _ => format!("\"\\n\" {value}"),
    };
    let properties = schema::properties(parameters);
    if properties.is_empty() {
        if !schema::is_open(parameters) {
            return String::new();
        }
        let key_end = lark.marker(form.key_end(true));
        lark.rule(&format!("other{number}"), &format!("{key} /[a-zA-Z0-9_.-]{{1,64}}/ {key_end} {value} text \"\\n\""));
        return format!("other{number}*");
    }
    let mut arguments = String::new();
    for (at, (name, schema, is_required)) in properties.into_iter().enumerate() {
        let (written, is_text) = written(lark, form, number, schema, parameters);
        let key_end = lark.marker(form.key_end(is_text));
        let name = quote(name);
        let rule = format!("a{number}_{at}");
        lark.rule(&rule, &format!("{key} {name} {key_end} {value} {written} \"\\n\""));
        arguments.push_str(&rule);
        arguments.push_str(if is_required { " " } else { "? " });
    }
    arguments
}

/// A value, and the tag behind it; and whether it is text.
fn written(lark: &mut Lark<'_>, form: &Tags, number: usize, schema: &Value, parameters: &Value) -> (String, bool) {
    let end = lark.marker(form.value_end.first().copied().unwrap_or_default());
    if let Some(strings) = schema::strings(schema) {
        let strings: Vec<String> = strings.into_iter().map(quote).collect();
        return (format!("{} {end}", any_of(&strings)), true);
    }
    if Kinds::of_schema(schema, parameters).meets(Kinds::STRING) {
        return ("text".to_owned(), true);
    }
    (format!("{} {end}", lark.schema(schema::part(schema, parameters), number)), false)
}
