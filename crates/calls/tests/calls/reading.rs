//! What is read of answers as models write them.

use parkade_calls::{Function, Piece, Reader, Reading, Reasoning, Style};
use serde_json::json;

/// Pieces of a kind in a row are one.
pub fn join(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Text(text)), Piece::Text(more)) | (Some(Piece::Reasoning(text)), Piece::Reasoning(more)) => {
                text.push_str(&more);
            }
            (Some(Piece::Arguments { text, .. }), Piece::Arguments { text: more, .. }) => text.push_str(&more),
            (_, piece) => joined.push(piece),
        }
    }
    joined
}

pub fn read(reading: &Reading, text: &str) -> Vec<Piece> {
    let mut reader = Reader::new(reading.clone());
    let mut pieces = Vec::new();
    reader.push(text, &mut pieces);
    reader.finish(&mut pieces);
    join(pieces)
}

pub fn think() -> Reasoning {
    Reasoning { start: "<think>".to_owned(), end: "</think>".to_owned() }
}

pub fn functions() -> Vec<Function> {
    let weather = json!({
        "type": "object",
        "properties": {
            "city": { "type": "string" },
            "days": { "type": "integer" },
            "exact": { "type": "boolean" },
            "tags": { "type": "array", "items": { "type": "string" } },
            "unit": { "enum": ["C", "F"] },
        },
        "required": ["city", "exact"],
        "additionalProperties": false,
    });
    let function =
        |name: &str, parameters| Function { name: name.to_owned(), description: None, parameters, strict: true };
    vec![function("weather", weather), function("now", json!({}))]
}

pub fn of(style: Style) -> Reading {
    Reading { style: Some(style), reasoning: Some(think()), starts_inside: false, functions: functions().into() }
}

/// An answer as `text`, `(name)arguments` for calls and `[thought]` for thoughts, for short.
pub fn told(pieces: &[Piece]) -> String {
    let mut told = String::new();
    for piece in pieces {
        match piece {
            Piece::Reasoning(text) => told.push_str(&format!("[{text}]")),
            Piece::Text(text) => told.push_str(text),
            Piece::Call { index, name } => told.push_str(&format!("({index} {name})")),
            Piece::Arguments { text, .. } => told.push_str(text),
            Piece::End { .. } => told.push('.'),
        }
    }
    told
}

/// Each text, and what is read of it.
fn check(style: Style, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(told(&read(&of(style), text)), *expected, "{style:?}: {text}");
    }
}

const SUNNY: &str = r#"{"city": "Rome", "exact": true}"#;

#[test]
fn thoughts_are_told_from_text() {
    let reading = Reading { starts_inside: true, ..of(Style::Hermes) };
    assert_eq!(told(&read(&reading, "\nHm.\n\nOk \n</think>\n\nYes.\n")), "[Hm.\n\nOk]Yes.\n");
    assert_eq!(told(&read(&reading, "<think>\nHm</think>")), "[Hm]");
    assert_eq!(told(&read(&reading, "Hm, <think> </th")), "[Hm, <think> </th]");
    let outside = Reading { style: None, ..of(Style::Hermes) };
    assert_eq!(told(&read(&outside, "<think>\n\n</think>\n\nYes.")), "Yes.");
    assert_eq!(told(&read(&outside, " a <think>b</think> c </think>")), " a [b]c </think>");
    let plain = Reading { style: None, reasoning: None, starts_inside: true, functions: [].into() };
    assert_eq!(told(&read(&plain, " <think>b</think>\n")), " <think>b</think>\n");
}

#[test]
fn calls_in_the_notation_of_hermes() {
    let call = format!("<tool_call>\n{{\"name\": \"weather\", \"arguments\": {SUNNY}}}\n</tool_call>");
    let read = format!("(0 weather){SUNNY}.");
    check(
        Style::Hermes,
        &[
            (&call, &read),
            (&format!("Let me see.\n{call}\nDone."), &format!("Let me see.\n{read}\nDone.")),
            (&format!("\n\n{call}\n{call}\n"), &format!("{read}(1 weather){SUNNY}.")),
            (&format!("<think>a</think>\n{call}"), &format!("[a]{read}")),
            (
                r#"<tool_call>{"arguments": {"city": "a"}, "name": "weather"}</tool_call>"#,
                r#"(0 weather){"city": "a"}."#,
            ),
            (
                r#"<tool_call>{"name": "weather", "arguments": "{\"city\": \"\u00e9\"}"}"#,
                r#"(0 weather){"city": "é"}."#,
            ),
            (r#"<tool_call>[{"name":"now"}, {"name":"now","arguments":null}]</tool_call>x"#, "(0 now){}.(1 now){}.x"),
            (r#"<tool_call>{"type":"function","function":{"name":"now","arguments":{}}}</tool_call>"#, "(0 now){}."),
            (r#"<tool_call>{"name":"now"}<tool_call>{"name":"now"}"#, "(0 now){}.(1 now){}."),
        ],
    );
}

#[test]
fn what_is_no_whole_call_of_a_known_function_is_text() {
    check(
        Style::Hermes,
        &[
            (
                r#"<tool_call>{"name": "other", "arguments": {}}</tool_call>"#,
                r#"<tool_call>{"name": "other", "arguments": {}}</tool_call>"#,
            ),
            ("<tool_call>\n{\"name\": \"weat", "<tool_call>\n{\"name\": \"weat"),
            ("a <tool_call> b", "a <tool_call> b"),
            (r#"<tool_call>{"a": 1}</tool_call>"#, r#"<tool_call>{"a": 1}</tool_call>"#),
            (r#"<tool_call><tool_call>{"name":"now"}</tool_call>"#, "<tool_call>(0 now){}."),
            (r#"<tool_call>{"name":"weather","arguments":{"city": "Ro"#, r#"(0 weather){"city": "Ro."#),
            (r#"<tool_call>{"name":"now" oops}"#, "(0 now){}.oops}"),
            ("a<tool_cal", "a<tool_cal"),
        ],
    );
}
