//! What grammars let through is read as calls with valid arguments.

use std::collections::HashSet;
use std::sync::Arc;

use parkade_calls::{
    Choice, Function, Piece, Reading, Reasoning, Style, Thoughts, answer_grammar, grammar, grammar_or, thoughts_grammar,
};
use parkade_grammar::Format;
use serde_json::{Value, json};

use crate::reading::{functions, of, read, think};
use crate::vocabulary::{Compiled, Random, Vocabulary, vocabulary};

/// Markers of all styles, as vocabularies have them.
const SPECIAL: &[&str] = &[
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "<seed:tool_call>",
    "</seed:tool_call>",
    "<minimax:tool_call>",
    "</minimax:tool_call>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
    "<|python_tag|>",
    "<|python_start|>",
    "<|python_end|>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁sep｜>",
    "<|tool_calls_section_begin|>",
    "<|tool_calls_section_end|>",
    "<|tool_call_begin|>",
    "<|tool_call_end|>",
    "<|tool_call_argument_begin|>",
    "<|tool_call|>",
    "<|/tool_call|>",
    "<|start|>",
    "<|end|>",
    "<|channel|>",
    "<|message|>",
    "<|constrain|>",
    "<|tool_call_start|>",
    "<|tool_call_end|>",
    "<|START_ACTION|>",
    "<|END_ACTION|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
    "<start_function_call>",
    "<end_function_call>",
    "<escape>",
    "<|tool_call>",
    "<tool_call|>",
    "<|\"|>",
    "<|channel>",
    "<channel|>",
    "<function_calls>",
    "</function_calls>",
    "<|tools_prefix|>",
    "<|tools_suffix|>",
];

/// How many random texts are begun: some never end.
const TRIES: usize = 100;

/// Vocabularies in which markers are special tokens, and in which they are text.
fn vocabularies() -> [Arc<Vocabulary>; 2] {
    [vocabulary(SPECIAL), vocabulary(&[])]
}

fn styles() -> impl Iterator<Item = Style> {
    Style::names().into_iter().filter_map(Style::by_name)
}

/// The calls of an answer, with their arguments.
fn calls(pieces: &[Piece]) -> Vec<(String, Value)> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Call { name, .. } => calls.push((name.clone(), String::new())),
            Piece::Arguments { index, text } => calls[*index].1.push_str(text),
            _ => {}
        }
    }
    let parse = |text: &str| match serde_json::from_str(text) {
        Ok(value) => value,
        // JSON has numbers of any size, Rust has not.
        Err(error) if error.to_string().starts_with("number out of range") => json!({}),
        Err(error) => panic!("{error}: {text}"),
    };
    calls.into_iter().map(|(name, arguments)| (name, parse(&arguments))).collect()
}

/// JSON has `-0` too.
fn is_whole(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Whether arguments are what `functions` says.
fn check_arguments(name: &str, arguments: &Value, text: &str) {
    assert!(arguments.is_object(), "{text}");
    if name == "weather" {
        assert!(arguments["city"].is_string() && arguments["exact"].is_boolean(), "{text}\n{arguments}");
        assert!(arguments.get("days").is_none_or(is_whole), "{text}\n{arguments}");
        assert!(arguments.get("unit").is_none_or(|unit| unit == "C" || unit == "F"), "{text}\n{arguments}");
        let tags = arguments.get("tags").map(|tags| tags.as_array().expect("a list"));
        assert!(tags.is_none_or(|tags| tags.iter().all(Value::is_string)), "{text}\n{arguments}");
    }
}

#[test]
fn required_calls_are_calls_with_valid_arguments_in_all_styles() {
    let mut random = Random(7);
    for style in styles() {
        for vocabulary in vocabularies() {
            let tokens = |text: &str| vocabulary.id(text);
            for (choice, parallel) in
                [(Choice::Required, true), (Choice::Required, false), (Choice::Named("weather"), true)]
            {
                let found =
                    grammar(style, &functions(), &choice, parallel, None, &tokens).expect("there are functions");
                let compiled = Compiled::new(&vocabulary, &found);
                let reading = Reading { reasoning: None, ..of(style) };
                let mut whole = 0;
                for (text, _) in (0..TRIES).filter_map(|_| compiled.sample(&mut random)).take(15) {
                    let pieces = read(&reading, &text);
                    let calls = calls(&pieces);
                    assert!(!calls.is_empty(), "{style:?}: {text}\n{pieces:?}");
                    assert!(parallel || calls.len() == 1, "{style:?}: {text}");
                    assert!(
                        !pieces.iter().any(|piece| matches!(piece, Piece::Text(_))),
                        "{style:?}: {text}\n{pieces:?}"
                    );
                    for (name, arguments) in &calls {
                        assert!(choice != Choice::Named("weather") || name == "weather", "{text}");
                        check_arguments(name, arguments, &text);
                    }
                    whole += 1;
                }
                assert!(whole >= 10, "{style:?}: texts end");
            }
        }
    }
}

#[test]
fn calls_that_are_cut_are_brought_to_an_end_in_all_styles() {
    let mut random = Random(13);
    for style in styles() {
        for vocabulary in vocabularies() {
            let tokens = |text: &str| vocabulary.id(text);
            let found = grammar(style, &functions(), &Choice::Named("weather"), false, None, &tokens);
            let compiled = Compiled::new(&vocabulary, &found.expect("it is there"));
            let reading = Reading { reasoning: None, ..of(style) };
            let samples: Vec<_> = (0..10).filter_map(|_| compiled.sample(&mut random)).collect();
            for (_, ids) in samples {
                let cut = ids.len() / 2 + random.below(ids.len() / 2);
                let begun: String = ids[..cut].iter().filter_map(|&id| char::from_u32(id)).collect();
                let Some(text) = compiled.close(&ids[..cut]) else {
                    assert!(!begun.contains("weather"), "{style:?}: no way behind {begun}");
                    continue;
                };
                let calls = calls(&read(&reading, &text));
                assert!(!calls.is_empty(), "{style:?}: {text}");
                calls.iter().for_each(|(name, arguments)| check_arguments(name, arguments, &text));
            }
        }
    }
}

#[test]
fn what_brings_an_answer_to_an_end_begins_no_call_and_ends_no_thoughts() {
    for style in styles() {
        for vocabulary in vocabularies() {
            let tokens = |text: &str| vocabulary.id(text);
            let of = |choice, thoughts| {
                let found = grammar(style, &functions(), &choice, true, thoughts, &tokens);
                Compiled::new(&vocabulary, &found.expect("there are functions"))
            };
            assert_eq!(of(Choice::Required, None).close(&[]), None, "{style:?}: a function must be chosen");
            let markers = think();
            let thoughts = Thoughts { markers: &markers, starts_inside: true, budget: None };
            let inside = of(Choice::Named("weather"), Some(thoughts));
            assert_eq!(inside.close(&[u32::from(b'H')]), None, "{style:?}: it still thinks");
        }
    }
}

#[test]
fn auto_lets_text_through_until_a_call_begins() {
    for vocabulary in vocabularies() {
        let tokens = |text: &str| vocabulary.id(text);
        let found =
            grammar(Style::Hermes, &functions(), &Choice::Auto, false, None, &tokens).expect("there are functions");
        let compiled = Compiled::new(&vocabulary, &found);
        let call = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"a\",\"exact\":true}}\n</tool_call>";
        assert!(compiled.takes("") && compiled.takes("Hello <tool> {}.\n") && compiled.takes(call));
        assert!(compiled.takes(&format!("Hello.\n{call}")));
        assert!(!compiled.takes(&format!("{call}\n{call}")), "one call at most");
        assert!(!compiled.takes(&call.replace("true", "1")) && !compiled.takes(&call.replace("weather", "wea")));
    }
}

#[test]
fn auto_lets_no_call_through_that_is_not_held_to_the_grammar() {
    for vocabulary in vocabularies() {
        let tokens = |text: &str| vocabulary.id(text);
        let of = |style| grammar(style, &functions(), &Choice::Auto, true, None, &tokens).expect("there are functions");
        let coder = Compiled::new(&vocabulary, &of(Style::Qwen3Coder));
        assert!(coder.takes("x <function") && !coder.takes("x <function=now>\n</function>"));
        let llama = Compiled::new(&vocabulary, &of(Style::Llama3));
        assert!(llama.takes("x {\"name\": 1}") && !llama.takes("{\"name\": 1}"));
        assert!(!llama.takes("x <|python_tag|>{\"name\": \"weather\", \"parameters\": {}}"));
    }
}

#[test]
fn auto_takes_whatever_a_required_call_may_be_and_text_in_all_styles() {
    let mut random = Random(11);
    for style in styles() {
        for vocabulary in vocabularies() {
            let tokens = |text: &str| vocabulary.id(text);
            let of = |choice| grammar(style, &functions(), &choice, true, None, &tokens).expect("there are functions");
            let required = Compiled::new(&vocabulary, &of(Choice::Required));
            let auto = Compiled::new(&vocabulary, &of(Choice::Auto));
            let text = if style == Style::Harmony { "<|channel|>final<|message|>Well, [1]." } else { "Well, [1]." };
            assert!(auto.takes(text) && !required.takes(text), "{style:?}");
            let samples: Vec<(String, Vec<u32>)> = (0..20).filter_map(|_| required.sample(&mut random)).collect();
            assert!(samples.len() > 5, "{style:?}: most texts end");
            for (text, ids) in samples {
                assert!(required.takes_tokens(&ids) && auto.takes_tokens(&ids), "{style:?}: {text}");
            }
        }
    }
}

#[test]
fn calls_behind_thoughts_are_read_in_all_styles() {
    let mut random = Random(5);
    let channels = Reasoning { start: "<|channel|>analysis<|message|>".to_owned(), end: "<|end|>".to_owned() };
    for style in styles() {
        let markers = if style == Style::Harmony { channels.clone() } else { think() };
        for (vocabulary, starts_inside) in vocabularies().into_iter().zip([true, false]) {
            let thoughts = Thoughts { markers: &markers, starts_inside, budget: Some(40) };
            let tokens = |text: &str| vocabulary.id(text);
            let found = grammar(style, &functions(), &Choice::Named("weather"), false, Some(thoughts), &tokens);
            let compiled = Compiled::new(&vocabulary, &found.expect("it is there"));
            let reading = Reading { reasoning: Some(markers.clone()), starts_inside, ..of(style) };
            let mut thought = 0;
            for (text, _) in (0..TRIES).filter_map(|_| compiled.sample(&mut random)).take(30) {
                let pieces = read(&reading, &text);
                let [(name, arguments)] = &calls(&pieces)[..] else { panic!("{style:?}: {text}\n{pieces:?}") };
                assert_eq!(name, "weather");
                check_arguments(name, arguments, &text);
                assert!(!pieces.iter().any(|piece| matches!(piece, Piece::Text(_))), "{style:?}: {text}\n{pieces:?}");
                thought += usize::from(matches!(pieces.first(), Some(Piece::Reasoning(_))));
            }
            assert!(thought > 3, "{style:?}: some have thoughts");
        }
    }
}

#[test]
fn an_answer_without_calls_may_be_held_to_a_schema() {
    let schema = json!({ "type": "integer" });
    let call = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    let channel = "<|channel|>commentary to=functions.now <|constrain|>json<|message|>{}";
    let (harmony, responses) = ("<|channel|>final<|message|>7", "<|START_RESPONSE|>7<|END_RESPONSE|>");
    let [vocabulary, _] = vocabularies();
    let tokens = |text: &str| vocabulary.id(text);
    for (style, call, answer) in
        [(Style::Hermes, Some(call), "7"), (Style::Harmony, Some(channel), harmony), (Style::CommandR, None, responses)]
    {
        let either = grammar_or(style, &functions(), &Choice::Auto, true, None, Some(schema.clone()), &tokens);
        let either = Compiled::new(&vocabulary, &either.expect("there are functions"));
        assert!(either.takes(answer) && call.is_none_or(|call| either.takes(call)), "{style:?}");
        assert!(!either.takes(&answer.replace('7', "seven")) && !either.takes(""), "{style:?}");
    }
    let harmony_markers = Reasoning { start: "<|channel|>analysis<|message|>".to_owned(), end: "<|end|>".to_owned() };
    for (markers, answer) in [
        (&think(), "<think>a</think>\n7"),
        (&harmony_markers, "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>7"),
        (&harmony_markers, harmony),
    ] {
        let thoughts = Thoughts { markers, starts_inside: false, budget: None };
        let json = answer_grammar(schema.clone(), Some(thoughts), &tokens);
        assert_eq!(json.owners, [usize::MAX]);
        let json = Compiled::new(&vocabulary, &json);
        assert!(json.takes(answer) && !json.takes(&answer.replace('7', "seven")), "{answer}");
    }
}

#[test]
fn thoughts_come_first_and_end_at_their_budget() {
    for vocabulary in vocabularies() {
        let tokens = |text: &str| vocabulary.id(text);
        let markers = think();
        for starts_inside in [true, false] {
            for budget in [None, Some(0), Some(20), Some(usize::MAX)] {
                let thoughts = Thoughts { markers: &markers, starts_inside, budget };
                let open = if starts_inside { "" } else { "<think>" };
                let free = Compiled::of(&vocabulary, &Format::Lark(thoughts_grammar(&thoughts, &tokens)));
                let of = |choice| grammar(Style::Hermes, &functions(), &choice, true, Some(thoughts), &tokens);
                let called = Compiled::new(&vocabulary, &of(Choice::Required).expect("there are functions"));
                let either = Compiled::new(&vocabulary, &of(Choice::Auto).expect("there are functions"));
                let call = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
                for (thought, fits) in [
                    ("", true),
                    ("abc", budget != Some(0)),
                    ("abcd < efgh ijkl mnop qrst", budget != Some(0) && budget != Some(20)),
                ] {
                    let case = format!("{starts_inside} {budget:?} {thought:?} {:?}", vocabulary.id("<think>"));
                    let [text, call] = ["yes", call].map(|answer| format!("{open}{thought}</think>\n\n{answer}"));
                    assert_eq!((free.takes(&text), either.takes(&text)), (fits, fits), "{case}");
                    assert_eq!((called.takes(&call), either.takes(&call)), (fits, fits), "{case}");
                    assert!(!called.takes(&text), "{case}");
                }
                let may = !starts_inside;
                assert_eq!([free.takes("yes"), either.takes("yes"), either.takes(call), called.takes(call)], [may; 4]);
            }
        }
    }
}

#[test]
fn thoughts_in_channels_end_at_their_budget() {
    let [vocabulary, _] = vocabularies();
    let tokens = |text: &str| vocabulary.id(text);
    let markers = Reasoning { start: "<|channel|>analysis<|message|>".to_owned(), end: "<|end|>".to_owned() };
    for starts_inside in [true, false] {
        for budget in [None, Some(0), Some(3)] {
            let thoughts = Thoughts { markers: &markers, starts_inside, budget };
            let free = Compiled::of(&vocabulary, &Format::Lark(thoughts_grammar(&thoughts, &tokens)));
            let found = grammar(Style::Harmony, &functions(), &Choice::Auto, true, Some(thoughts), &tokens);
            let called = Compiled::new(&vocabulary, &found.expect("there are functions"));
            let open = if starts_inside { "" } else { "<|channel|>analysis<|message|>" };
            let text = "<|start|>assistant<|channel|>final<|message|>yes";
            let call = "<|start|>assistant<|channel|>commentary to=functions.now <|constrain|>json<|message|>{}";
            for (thought, fits) in [("", true), ("abc", budget != Some(0)), ("abcd", budget.is_none())] {
                let case = format!("{starts_inside} {budget:?} {thought:?}");
                for answer in [text, call] {
                    assert_eq!(free.takes(&format!("{open}{thought}<|end|>{answer}")), fits, "{case}");
                    assert_eq!(called.takes(&format!("{open}{thought}<|end|>{answer}")), fits, "{case}");
                }
            }
            let at_once = "<|channel|>final<|message|>yes";
            assert_eq!((free.takes(at_once), called.takes(at_once)), (!starts_inside, !starts_inside));
        }
    }
}

#[test]
fn strict_functions_are_enforced_beside_others_that_cannot_be() {
    let mut mixed = functions();
    mixed[1].strict = false;
    mixed[1].parameters = json!({
        "properties": { "zone": { "type": "string", "not": { "const": "x" } } },
        "required": ["zone"],
        "dependentSchemas": { "zone": false },
    });
    let vocabulary = vocabulary(&[]);
    let found = grammar(Style::Hermes, &mixed, &Choice::Required, false, None, &|_| None).expect("there are functions");
    assert_eq!((found.owners.as_slice(), found.strict), ([0, 1].as_slice(), true));
    let alone = grammar(Style::Hermes, &mixed, &Choice::Named("now"), false, None, &|_| None).expect("it is there");
    assert!(!alone.strict && alone.schemas[0].get("dependentSchemas").is_some());
    let compiled = Compiled::new(&vocabulary, &found);
    let call = |name: &str, arguments: &str| {
        format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {arguments}}}\n</tool_call>")
    };
    assert!(compiled.takes(&call("now", r#"{"zone":"x"}"#)) && !compiled.takes(&call("now", "{}")));
    assert!(!compiled.takes(&call("weather", r#"{"city":"x"}"#)), "it is strict");
}

#[test]
fn names_with_odd_characters_are_called_by_them() {
    let long = "x".repeat(200);
    let names = [
        "a\"b",
        "<tool_call>",
        "c\nd",
        "é😀",
        "e(f",
        "[{(",
        "\\",
        "\u{7f}\u{1}",
        "</function>",
        &long,
        "@schema0",
        "g>\">h",
    ];
    let nothing = json!({ "type": "object", "additionalProperties": false });
    let function =
        |name: &str| Function { name: name.to_owned(), description: None, parameters: nothing.clone(), strict: true };
    let odd: Vec<Function> = names.iter().map(|name| function(name)).collect();
    for style in styles() {
        let vocabulary = vocabulary(&[]);
        let found = grammar(style, &odd, &Choice::Required, false, None, &|_| None).expect("there are functions");
        let compiled = Compiled::new(&vocabulary, &found);
        let reading = Reading { functions: odd.clone().into(), reasoning: None, ..of(style) };
        let mut called = HashSet::new();
        for (text, _) in (0..300).filter_map(|seed| compiled.sample(&mut Random(seed))) {
            let pieces = read(&reading, &text);
            let [Piece::Call { name, .. }, Piece::Arguments { text: arguments, .. }, Piece::End { .. }] = &pieces[..]
            else {
                panic!("{style:?}: {text}\n{pieces:?}");
            };
            assert!(arguments == "{}" && names.contains(&name.as_str()), "{style:?}: {text}");
            called.insert(name.clone());
        }
        assert_eq!(called.len(), names.len(), "{style:?}: each is called once at least");
    }
    assert!(grammar(Style::Hermes, &odd, &Choice::Named("other"), true, None, &|_| None).is_none());
}
