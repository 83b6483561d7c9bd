//! Texts that are brought to an end from wherever they stand.

use crate::bytes::{END, grammars, has};
use parkade_grammar::{Format, Grammar, Matcher};
use serde_json::{Value, json};

/// Random numbers that are the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

/// Goes through random texts, most of their characters printable, and shows each place on the way with the text before it.
fn walk(grammar: &Grammar, seed: u64, steps: usize, see: &mut dyn FnMut(&mut Matcher, &[u8])) {
    let (mut matcher, mut text, mut random, mut mask) = (grammar.matcher(), Vec::new(), Random(seed), Vec::new());
    for _ in 0..steps {
        text.extend(matcher.take_forced().expect("it goes on").into_iter().map(|id| id as u8));
        see(&mut matcher, &text);
        if matcher.is_complete() {
            return;
        }
        matcher.mask(&mut mask).expect("it goes on");
        let printable: Vec<u32> = (0x20..0x7f).filter(|&id| has(&mask, id)).collect();
        let any: Vec<u32> = (0..END).filter(|&id| has(&mask, id)).collect();
        let among = if printable.is_empty() || random.below(20) == 0 { any } else { printable };
        if among.is_empty() {
            return;
        }
        let id = among[random.below(among.len())];
        matcher.accept(id).expect("the mask has it");
        text.push(id as u8);
    }
}

fn schema(schema: Value) -> Format {
    Format::JsonSchema { schema, strict: true }
}

fn formats() -> Vec<Format> {
    let inner = json!({
        "type": "object",
        "properties": { "a": { "type": "string", "minLength": 3 }, "b": { "type": "array", "items": {}, "minItems": 2 } },
        "required": ["a", "b"],
        "additionalProperties": { "type": "number" },
    });
    vec![
        Format::JsonObject,
        schema(json!({})),
        schema(inner.clone()),
        schema(json!({ "type": "array", "items": inner, "minItems": 1, "maxItems": 3 })),
        schema(
            json!({ "type": "object", "additionalProperties": { "type": "string", "maxLength": 24 }, "maxProperties": 3 }),
        ),
        schema(json!({ "type": "string", "pattern": "^[A-Z]{2}[0-9]{6}$" })),
        schema(json!({ "type": "string", "format": "date-time" })),
        schema(json!({ "type": "integer", "minimum": 1_000, "maximum": 70_000 })),
        schema(json!({ "enum": ["é", "ün", ["x", { "y": null }]] })),
        schema(json!({ "$ref": "#/$defs/t", "$defs": { "t": {
            "type": "object", "properties": { "next": { "$ref": "#/$defs/t" }, "tag": { "enum": ["left", "right"] } },
            "required": ["tag"], "additionalProperties": false,
        } } })),
        Format::Choice(vec!["yes".to_owned(), "no \"\n".to_owned()]),
        Format::Regex(r"[A-Z][a-z]+, \d{4}-\d{2}".to_owned()),
        Format::Gbnf(include_str!("../data/json.gbnf").to_owned()),
        Format::Lark("start: \"(\" start \")\" | text\ntext[suffix=\"</end>\"]: /(.|\\n)*/".to_owned()),
    ]
}

#[test]
fn wherever_a_text_stands_it_can_be_brought_to_an_end() {
    let grammars = grammars();
    for format in formats() {
        let grammar = grammars.compile(&format).unwrap();
        for seed in 0..6 {
            walk(&grammar, seed, 50, &mut |matcher, text| {
                let way = matcher.way_to_end(&[], 1_000);
                let way = way.unwrap_or_else(|| panic!("{format:?}: no way from {}", String::from_utf8_lossy(text)));
                let mut end = matcher.clone();
                way.iter().for_each(|&id| end.accept(id).unwrap());
                assert!(end.may_end().unwrap(), "{format:?}: {}", String::from_utf8_lossy(text));
                assert!(matcher.is_complete() || matcher.ends_with(&way));
                let whole: Vec<u8> = text.iter().copied().chain(way.iter().map(|&id| id as u8)).collect();
                let is_json = matches!(format, Format::JsonObject | Format::JsonSchema { .. });
                // Random bytes may be cut inside of a character, which is gone on with.
                let whole = String::from_utf8_lossy(&whole);
                let read = serde_json::from_str::<Value>(&whole).map_err(|error| error.to_string());
                // A number may be larger than any that is read.
                let is_read = read.as_ref().map_or_else(|error| error.starts_with("number out of range"), |_| true);
                assert!(!is_json || is_read, "{format:?}: {whole}: {read:?}");
            });
        }
    }
}
