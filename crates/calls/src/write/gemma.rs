//! Calls in Gemma's own notation.
//!
//! Its texts have no escapes and end at a marker; of what a schema says about texts and lists only kinds and lists of values are held to.

use serde_json::Value;

use super::lark::{ANY, Lark, any_of, quote, without};
use super::{Functions, Section};
use crate::forms::Gemma;
use crate::schema::{self, Kinds};

/// How deep schemas are followed; what is deeper may be any value.
const DEPTH: usize = 6;

pub(super) fn section(lark: &mut Lark<'_>, form: &Gemma, functions: Functions<'_>, parallel: bool) -> Section {
    common(lark, form);
    let (open, close) = (lark.marker(form.open), lark.marker(form.close));
    let mut calls = Vec::with_capacity(functions.len());
    for (number, function) in functions {
        let mut writing = Writing { lark, form, root: &function.parameters, number: *number, rules: 0 };
        let arguments = writing.object(&function.parameters, DEPTH);
        let head = quote(&format!("call:{}", function.name));
        lark.rule(&format!("call{number}"), &format!("{head} {arguments} {close}"));
        calls.push(format!("call{number}"));
    }
    lark.call(&calls);
    let more = if parallel { format!("({open} call)*") } else { String::new() };
    Section { open: form.open, tail: format!("call {more}"), other: None }
}

/// Adds the rules `text` and `value`, of any text and any value.
fn common(lark: &mut Lark<'_>, form: &Gemma) {
    let mark = lark.marker(form.quote);
    if lark.first_token(form.quote).is_some() {
        lark.rule("text", &format!("{mark} TEXT? {mark}"));
        lark.rule("TEXT", &without(&[form.quote]));
    } else {
        lark.rule("text", &format!("{mark} closed_text"));
        lark.rule(&format!("closed_text[suffix={mark}]"), ANY);
    }
    let [open, close, left, right] = ["[", "]", "{", "}"].map(quote);
    lark.rule("value", "text | NUMBER | \"true\" | \"false\" | \"null\" | list | object");
    lark.rule("NUMBER", r"/-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,15})?/");
    lark.rule("list", &format!("{open} (value (\",\" value)*)? {close}"));
    lark.rule("object", &format!("{left} (member (\",\" member)*)? {right}"));
    lark.rule("member", "KEY \":\" value");
    lark.rule("KEY", "/[a-zA-Z_][a-zA-Z0-9_]{0,63}/");
}

/// The values of one function's arguments.
struct Writing<'a, 'b> {
    lark: &'a mut Lark<'b>,
    form: &'a Gemma,
    root: &'a Value,
    number: usize,
    /// How many rules have been named.
    rules: usize,
}

impl Writing<'_, '_> {
    fn value(&mut self, schema: &Value, depth: usize) -> String {
        let root = self.root;
        let schema = schema::referred(schema, root).unwrap_or(schema);
        let mark = self.lark.marker(self.form.quote);
        if let Some(strings) = schema::strings(schema) {
            let strings: Vec<String> = strings.into_iter().map(quote).collect();
            return format!("{mark} {} {mark}", any_of(&strings));
        }
        let kinds = Kinds::of_schema(schema, root);
        let Some(depth) = depth.checked_sub(1) else { return "value".to_owned() };
        if kinds == Kinds::STRING {
            return "text".to_owned();
        }
        if kinds == Kinds::OBJECT {
            return self.object(schema, depth);
        }
        if kinds == Kinds::ARRAY {
            let item = match schema.get("items") {
                Some(items) => self.value(items, depth),
                None => "value".to_owned(),
            };
            let name = self.name();
            self.lark.rule(&name, &item);
            return format!("{} ({name} (\",\" {name})*)? {}", quote("["), quote("]"));
        }
        if kinds.meets(Kinds::STRING) || kinds.meets(Kinds::ARRAY) || kinds.meets(Kinds::OBJECT) {
            return "value".to_owned();
        }
        self.lark.schema(schema::part(schema, root), self.number)
    }

    /// An object, its properties in the order of its schema.
    fn object(&mut self, schema: &Value, depth: usize) -> String {
        let properties = schema::properties(schema);
        if properties.is_empty() && schema::is_open(schema) {
            return "object".to_owned();
        }
        let mut items = Vec::with_capacity(properties.len());
        for (key, schema, is_required) in properties {
            let value = self.value(schema, depth);
            let is_word = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let mark = self.lark.marker(self.form.quote);
            let key = if is_word { quote(key) } else { format!("{mark} {} {mark}", quote(key)) };
            let name = self.name();
            self.lark.rule(&name, &format!("{key} \":\" {value}"));
            items.push((name, is_required));
        }
        let name = self.name();
        let list = self.lark.list(&name, &items, ",");
        format!("{} {list} {}", quote("{"), quote("}"))
    }

    fn name(&mut self) -> String {
        self.rules += 1;
        format!("p{}_{}", self.number, self.rules)
    }
}
