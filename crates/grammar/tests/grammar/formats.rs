//! What each format lets through, token by token.

use crate::bytes::{accepts, grammars};
use parkade_grammar::{Format, GrammarError, Place};
use serde_json::json;

fn takes(format: &Format, text: &str) -> bool {
    accepts(&grammars().compile(format).expect("it is a format"), text)
}

fn schema(schema: serde_json::Value) -> Format {
    Format::JsonSchema { schema, strict: true }
}

#[test]
fn each_format_takes_what_it_describes_and_nothing_else() {
    let object = Format::JsonObject;
    assert!(takes(&object, r#"{"a": [1, {"b": null}],"c":"d\u001fé"}"#) && takes(&object, "{\n  \"a\": 1\n}"));
    assert!(!takes(&object, "[1]") && !takes(&object, r#"{"a": 1"#) && !takes(&object, "{     \"a\":1}"));
    let choice = Format::Choice(vec!["yes".to_owned(), "no \"\n".to_owned()]);
    assert!(takes(&choice, "yes") && takes(&choice, "no \"\n") && !takes(&choice, "y") && !takes(&choice, "yesno"));
    let regex = Format::Regex(r"[a-c]+/\d{2}|é".to_owned());
    assert!(takes(&regex, "abc/12") && takes(&regex, "é") && !takes(&regex, "abc/1") && !takes(&regex, "xabc/12"));
    let lark = Format::Lark("start: \"(\" start \")\" | NUMBER\nNUMBER: /[0-9]+/".to_owned());
    assert!(takes(&lark, "((12))") && !takes(&lark, "((12)"));
    let gbnf = Format::Gbnf(include_str!("../data/json.gbnf").to_owned());
    assert!(takes(&gbnf, r#"{"a": [1, -2.5e3, true], "b": {}}"#) && !takes(&gbnf, r#"{"a": [1, 2}"#));
}

#[test]
fn a_schema_is_written_without_white_space_in_its_own_order() {
    let format = schema(json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "age": { "type": "integer", "minimum": 0 } },
        "required": ["name", "age"],
        "additionalProperties": false,
    }));
    assert!(takes(&format, r#"{"name":"Ada","age":36}"#));
    for other in
        [r#"{"name": "Ada","age":36}"#, r#"{"age":36,"name":"Ada"}"#, r#"{"name":"Ada"}"#, r#"{"name":"Ada","age":-1}"#]
    {
        assert!(!takes(&format, other), "{other}");
    }
}

#[test]
fn references_are_found_wherever_they_point_inside_of_the_schema() {
    let format = schema(json!({
        "$id": "https://example.com/tree",
        "type": "object",
        "properties": {
            "a": { "$ref": "#/$defs/a~1b%25" },
            "b": { "$ref": "#named" },
            "c": { "$ref": "https://example.com/tree#/$defs/a~1b%25" },
            "d": { "$ref": "#" },
        },
        "additionalProperties": false,
        "$defs": {
            "a/b%": { "type": "integer" },
            "x": { "$anchor": "named", "type": "boolean" },
            "unused": { "not": {} },
        },
    }));
    assert!(takes(&format, r#"{"a":1,"b":true,"c":2,"d":{"a":3}}"#));
    assert!(!takes(&format, r#"{"a":true}"#) && !takes(&format, r#"{"b":1}"#) && !takes(&format, r#"{"d":1}"#));
}

#[test]
fn one_of_branches_that_are_named_are_told_apart_by_what_they_are() {
    let branch = |tag: &str, value: &str| {
        json!({
            "type": "object",
            "properties": { "kind": { "const": tag }, "value": { "type": value } },
            "required": ["kind", "value"],
            "additionalProperties": false,
        })
    };
    let format = schema(json!({
        "oneOf": [{ "$ref": "#/$defs/Cat" }, { "$ref": "#/$defs/Dog" }],
        "discriminator": { "propertyName": "kind" },
        "$defs": { "Cat": branch("cat", "integer"), "Dog": branch("dog", "string") },
    }));
    assert!(takes(&format, r#"{"kind":"cat","value":1}"#) && takes(&format, r#"{"kind":"dog","value":"x"}"#));
    assert!(!takes(&format, r#"{"kind":"cat","value":"x"}"#));
    let either = json!({ "oneOf": [{ "type": "integer" }, { "type": "number" }] });
    assert!(grammars().compile(&schema(either.clone())).is_err(), "1 is both");
    assert!(takes(&Format::JsonSchema { schema: either, strict: false }, "1"));
}

#[test]
fn what_cannot_be_enforced_is_refused_with_its_place() {
    let refused = |format: &Format| grammars().compile(format).unwrap_err();
    let at = |schema_: serde_json::Value| match refused(&schema(schema_)) {
        GrammarError { place: Some(Place::Pointer(pointer)), .. } => pointer,
        other => panic!("{other:?} has no place"),
    };
    assert_eq!(at(json!({ "properties": { "a/b": { "not": {} } } })), "/properties/a~1b/not");
    assert_eq!(at(json!({ "anyOf": [true, { "uniqueItems": true }] })), "/anyOf/1/uniqueItems");
    assert_eq!(at(json!({ "items": { "$ref": "https://example.com/a.json" } })), "/items/$ref");
    assert_eq!(at(json!({ "items": { "$ref": "#/$defs/none" } })), "/items/$ref");
    assert_eq!(at(json!({ "properties": { "a": 1 } })), "/properties/a");
    assert_eq!(at(json!({ "minLength": 1e9 })), "/minLength");
    assert_eq!(at(json!({ "properties": { "a": { "type": "string", "pattern": "(a" } } })), "/properties/a/pattern");
    assert_eq!(at(json!({ "properties": { "a": { "type": "strin" } } })), "/properties/a/type");
    let line = |format: &Format| refused(format).place;
    assert_eq!(line(&Format::Gbnf("root ::= a\nb ::= \"b\"".to_owned())), Some(Place::Line(1)));
    assert_eq!(line(&Format::Lark("start: \"a\"\nb: (\"b\"".to_owned())), Some(Place::Line(2)));
    assert_eq!(refused(&Format::Regex("(a".to_owned())).reason, "unclosed group");
    assert!(grammars().compile(&Format::Choice(Vec::new())).is_err());
}

#[test]
fn what_is_forced_is_taken_at_once_and_can_be_taken_back() {
    let format = schema(json!({
        "type": "object",
        "properties": { "name": { "type": "boolean" } },
        "required": ["name"],
        "additionalProperties": false,
    }));
    let mut matcher = grammars().compile(&format).unwrap().matcher();
    let text = |ids: Vec<u32>| String::from_utf8(ids.into_iter().map(|id| id as u8).collect()).unwrap();
    assert_eq!(text(matcher.take_forced().unwrap()), r#"{"name":"#);
    let mut other = matcher.clone();
    matcher.accept(u32::from(b't')).unwrap();
    assert_eq!(text(matcher.take_forced().unwrap()), "rue}");
    assert!(matcher.is_complete());
    other.accept(u32::from(b'f')).unwrap();
    assert_eq!(text(other.take_forced().unwrap()), "alse}");
    matcher.roll_back(5).unwrap();
    assert!(!matcher.is_complete() && !matcher.may_end().unwrap());
    assert!(matcher.accept(u32::from(b'x')).is_err());
}

#[test]
fn a_format_is_compiled_once() {
    let grammars = grammars();
    let format = Format::Regex("a+".to_owned());
    let first = grammars.compile(&format).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &grammars.compile(&format).unwrap()));
}

fn with_json(schemas: Vec<serde_json::Value>, strict: bool) -> Format {
    let lark = "start: \"a(\" args \")\" (\";\" args)?\nargs: @schema0 | \"#\" @schema1".to_owned();
    Format::LarkWithJson { lark, schemas, strict, chosen: Vec::new() }
}

#[test]
fn a_grammar_names_schemas_that_are_written_as_they_are_alone() {
    let object = json!({
        "type": "object",
        "properties": { "n": { "$ref": "#/$defs/n" } },
        "required": ["n"],
        "additionalProperties": false,
        "$defs": { "n": { "type": "integer" } },
    });
    let format = with_json(vec![object.clone(), json!({ "enum": ["@schema0", "%json"] })], true);
    assert!(takes(&format, r#"a({"n":1})"#) && takes(&format, r##"a(#"@schema0");{"n":-2}"##));
    assert!(!takes(&format, r#"a({"n": 1})"#) && !takes(&format, r#"a({"n":"x"})"#) && !takes(&format, "a(#1)"));
    let grammars = grammars();
    let first = grammars.compile(&format).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &grammars.compile(&format).unwrap()));
    let other = grammars.compile(&with_json(vec![object, json!({ "enum": ["%json"] })], true)).unwrap();
    assert!(!std::sync::Arc::ptr_eq(&first, &other));
}

#[test]
fn what_cannot_be_enforced_of_one_of_several_schemas_is_refused_or_left_out() {
    let list = json!({
        "type": "array",
        "uniqueItems": true,
        "items": { "type": "integer", "not": { "const": 7 } },
        "minItems": 1,
        "contains": { "$ref": "https://example.com/a.json" },
    });
    let schemas = vec![json!({ "type": "integer" }), list];
    let error = grammars().compile(&with_json(schemas.clone(), true)).unwrap_err();
    assert_eq!(error.place, Some(Place::Pointer("/1/uniqueItems".to_owned())));
    let loose = with_json(schemas, false);
    assert!(takes(&loose, "a(1);#[7,7]") && !takes(&loose, "a(#[])") && !takes(&loose, "a(#[true])"));
    let odd = json!({ "properties": { "a": 1, "b": { "$ref": "other" }, "c": { "type": "null", "$id": "c" } } });
    let loose = with_json(vec![odd, json!({})], false);
    assert!(takes(&loose, r#"a({"a":1,"b":"x","c":null})"#) && !takes(&loose, r#"a({"a":1,"c":0})"#));
    let nested = (0..100).fold(json!({}), |inner, _| json!({ "items": inner }));
    assert!(grammars().compile(&with_json(vec![json!({}), nested], false)).is_err(), "depth is a limit of all");
    let lark = "start: @schema1".to_owned();
    assert!(
        grammars()
            .compile(&Format::LarkWithJson { lark, schemas: vec![json!({})], strict: false, chosen: Vec::new() })
            .is_err()
    );
}
