//! Formats that would take too much: each is refused or compiled, within the limits.

use crate::bytes::{END, grammars, has};
use parkade_grammar::Format;
use serde_json::{Value, json};

fn schema(schema: Value) -> Format {
    Format::JsonSchema { schema, strict: false }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({}), |inside, _| json!({ "items": inside }))
}

/// A chain of definitions, each of which refers to the next.
fn chain(length: usize) -> Value {
    let link =
        |at: usize| (format!("d{at}"), json!({ "type": "array", "items": { "$ref": format!("#/$defs/d{}", at + 1) } }));
    let mut defs: serde_json::Map<String, Value> = (0..length).map(link).collect();
    defs.insert(format!("d{length}"), json!(true));
    json!({ "$ref": "#/$defs/d0", "$defs": defs })
}

/// Alternatives under alternatives, all of which would have to be multiplied.
fn product(factors: usize) -> Value {
    let options: Vec<Value> =
        (0..10).map(|at| json!({ "properties": { format!("p{at}"): { "minimum": at } } })).collect();
    json!({ "allOf": vec![json!({ "anyOf": options }); factors] })
}

fn formats() -> Vec<(&'static str, Format)> {
    let numbers: Vec<Value> = (0..40_000).map(Value::from).collect();
    let million: Vec<String> = (0..1_000_000).map(|at| at.to_string()).collect();
    let properties: serde_json::Map<String, Value> = (0..10_000).map(|at| (format!("p{at}"), json!(true))).collect();
    let rules: String = (0..8000).map(|at| format!("a{at}: \"x\" a{}\n", at + 1)).collect();
    let terminals: String = (0..8000).map(|at| format!("A{at}: \"x\" A{}\n", at + 1)).collect();
    let gbnf: String = (0..8000).map(|at| format!("a{at} ::= \"x\" a{}\n", at + 1)).collect();
    vec![
        ("deep schema", schema(nested(60))),
        ("too deep schema", schema(nested(1000))),
        ("chain of references", schema(chain(1000))),
        ("long chain of references", schema(chain(3000))),
        ("reference to itself", schema(json!({ "$ref": "#" }))),
        (
            "circle of references",
            schema(
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
            ),
        ),
        ("circle of alternatives", schema(json!({ "anyOf": [{ "$ref": "#" }, { "$ref": "#" }] }))),
        ("oneOf of itself", schema(json!({ "oneOf": [{ "$ref": "#" }, { "$ref": "#" }] }))),
        ("oneOf that doubles", schema(doubling("oneOf"))),
        ("anyOf that doubles", schema(doubling("anyOf"))),
        ("allOf that doubles", schema(doubling("allOf"))),
        ("product of 3", schema(product(3))),
        ("product of 12", schema(product(12))),
        ("numbers", schema(json!({ "enum": numbers }))),
        ("a million choices", Format::Choice(million.clone())),
        ("many choices", Format::Choice(million[..30_000].to_vec())),
        (
            "many properties",
            schema(json!({ "type": "object", "properties": properties, "additionalProperties": false })),
        ),
        ("long string", schema(json!({ "type": "string", "minLength": 60_000, "maxLength": 65_000 }))),
        ("long array", schema(json!({ "type": "array", "items": { "type": "object" }, "minItems": 60_000 }))),
        (
            "arrays of arrays",
            schema(
                json!({ "type": "array", "minItems": 999, "maxItems": 1000, "items": { "type": "array", "minItems": 999, "maxItems": 1000, "items": { "type": "object" } } }),
            ),
        ),
        ("external reference", schema(json!({ "$ref": "file:///etc/passwd" }))),
        ("huge count", schema(json!({ "minItems": 1e300 }))),
        ("repeated pattern", schema(json!({ "type": "string", "pattern": "^((a{1,1000}){1,1000}){1,1000}$" }))),
        ("exponential pattern", schema(json!({ "type": "string", "pattern": "(a|b)*a(a|b){2000}" }))),
        (
            "patterns of properties",
            schema(json!({ "patternProperties": { "^(a|b)*a(a|b){50}$": true, "^(a|b)*b(a|b){50}$": true } })),
        ),
        ("precise number", schema(json!({ "multipleOf": 1e-9, "minimum": 1.000000000000001, "maximum": 1e300 }))),
        ("repeated regex", Format::Regex("((x{1000}){1000}){1000}".to_owned())),
        ("exponential regex", Format::Regex("(a|b)*a(a|b){3000}".to_owned())),
        ("unicode regex", Format::Regex(r"(\p{L}\p{N}\w){1000}".to_owned())),
        ("empty regex", Format::Regex(String::new())),
        ("nested regex", Format::Regex(format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000)))),
        ("look around", Format::Regex("(?=a)b".to_owned())),
        ("nested lark", Format::Lark(format!("start: {}\"a\"{}", "(".repeat(100_000), ")".repeat(100_000)))),
        ("chain of rules", Format::Lark(format!("start: a0\n{rules}a8000: \"y\"\n"))),
        ("chain of terminals", Format::Lark(format!("start: A0\n{terminals}A8000: \"y\"\n"))),
        ("circle of terminals", Format::Lark("start: A\nA: B\nB: A".to_owned())),
        ("rule without end", Format::Lark("start: start \"a\"".to_owned())),
        ("ambiguous rules", Format::Lark("start: start start | \"a\" | \"\"".to_owned())),
        ("grammar of itself", Format::Lark("start: \"a\" @lark_grammar | \"b\"".to_owned())),
        ("circle of grammars", Format::Lark("start: @lark_grammar".to_owned())),
        ("chain of gbnf", Format::Gbnf(format!("root ::= a0\n{gbnf}a8000 ::= \"y\"\n"))),
        ("circle of gbnf", Format::Gbnf("root ::= a\na ::= root".to_owned())),
        ("repeated gbnf", Format::Gbnf("root ::= ((\"a\"{10000}){10000}){10000}".to_owned())),
        ("ambiguous gbnf", Format::Gbnf("root ::= (root root | \"a\")*".to_owned())),
    ]
}

/// Grammars that name schemas, as far as these can be enforced.
fn grammars_with_schemas() -> Vec<(&'static str, Format)> {
    vec![
        ("loose circle", loose("start: @schema0", vec![json!({ "$ref": "#", "not": { "$ref": "#" } })])),
        ("loose doubling", loose("start: @schema0", vec![doubling("oneOf")])),
        (
            "loose nonsense",
            loose("start: @schema0", vec![json!({ "properties": 1, "items": "a", "allOf": [1, { "not": 1 }] })]),
        ),
        ("many schemas", loose("start: @schema4999", vec![json!({ "type": "string", "minLength": 5 }); 5000])),
        ("a schema many times", loose(&format!("start: {}", "@schema0 ".repeat(5000)), vec![json!({})])),
        ("schema of nothing", loose("start: \"a\" | @schema0", vec![json!(false)])),
    ]
}

fn loose(lark: &str, schemas: Vec<Value>) -> Format {
    Format::LarkWithJson { lark: lark.to_owned(), schemas, strict: false, chosen: Vec::new() }
}

/// Definitions of which each names the next one twice.
fn doubling(keyword: &str) -> Value {
    let link = |at: usize| {
        let next = json!({ "$ref": format!("#/$defs/d{}", at + 1) });
        (format!("d{at}"), json!({ keyword: [next.clone(), next] }))
    };
    let mut defs: serde_json::Map<String, Value> = (0..40).map(link).collect();
    defs.insert("d40".to_owned(), json!({ "type": "integer" }));
    json!({ "$ref": "#/$defs/d0", "$defs": defs })
}

/// What must be refused; others may be.
const REFUSED: [&str; 17] = [
    "too deep schema",
    "long chain of references",
    "reference to itself",
    "circle of references",
    "circle of alternatives",
    "oneOf of itself",
    "product of 12",
    "a million choices",
    "huge count",
    "many properties",
    "nested regex",
    "look around",
    "nested lark",
    "circle of terminals",
    "rule without end",
    "circle of gbnf",
    "external reference",
];

/// That each ends within the limits, by itself and without a crash, is what is tested; then texts are drawn by its masks.
#[test]
fn whatever_a_format_asks_for_it_ends() {
    let grammars = grammars();
    for (name, format) in formats().into_iter().chain(grammars_with_schemas()) {
        let result = grammars.compile(&format);
        assert!(result.is_err() || !REFUSED.contains(&name), "{name}");
        let Ok(grammar) = result else { continue };
        let mut matcher = grammar.matcher();
        let mut mask = Vec::new();
        for step in 0..100 {
            if matcher.mask(&mut mask).is_err() {
                break;
            }
            let allowed: Vec<u32> = (0..=END).filter(|&id| has(&mask, id)).collect();
            assert!(!allowed.is_empty(), "{name}: a text that was begun can be ended");
            let id = allowed[step * 7 % allowed.len()];
            if id == END {
                break;
            }
            if matcher.accept(id).is_err() {
                break;
            }
        }
    }
}
