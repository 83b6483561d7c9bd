//! However an answer is cut, the same is read of it.

use std::sync::Arc;

use parkade_calls::{Function, Piece, Reader, Reading, Style};
use proptest::prelude::*;

use crate::reading::{CALLS, join, of, read};

/// Parts that answers are made of: beginnings and ends of calls in all styles, JSON, junk.
#[rustfmt::skip]
const PARTS: &[&str] = &[
    "<tool_call>", "</tool_call>", "<think>", "</think>", "{", "}", "[", "]", "(", ")", "=", "\"name\"", "\"weather\"",
    "\"now\"", "weather", "now", "city", ": ", ":", ",", "\"arguments\"", "\"parameters\"", "{\"city\": \"Rome\"}", "\n",
    " ", "\\", "\"", "'", "é", "😀", "<", "null", "True", "12", "x", "```json", "```",
    "{\"name\": \"weather\", \"arguments\": {\"city\": \"a\\\"}\"}}", "{\"name\": \"now\"}",
    "<function=", "<function=weather>", "<parameter=", "<parameter=city>", "<parameter=days>", "</parameter>",
    "</function>", ">", "<seed:tool_call>", "</seed:tool_call>", "<minimax:tool_call>", "</minimax:tool_call>",
    "<invoke name=\"", "<invoke name=\"now\">", "</invoke>", "<parameter name=\"city\">", "<arg_key>", "</arg_key>",
    "<arg_value>", "</arg_value>", "<|python_tag|>", "<|python_start|>", "<|python_end|>", "[weather(", "city=", "days=2",
    "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "function", "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>",
    "<|tool_call_begin|>", "functions.now:0", "<|tool_call_argument_begin|>", "<|tool_call|>", "<|/tool_call|>",
    "<|channel|>", "analysis", "commentary", "final", " to=functions.now", "<|message|>", "<|start|>assistant", "<|end|>",
    "<|call|>", "<|constrain|>json", "<|tool_call_start|>", "<|tool_call_end|>", "<|START_ACTION|>", "<|END_ACTION|>",
    "<|START_RESPONSE|>", "<|END_RESPONSE|>", "<TOOLCALL>", "</TOOLCALL>", "<tool_calls>", "</tool_calls>", "<start_function_call>", "<end_function_call>",
    "<｜DSML｜function_calls>", "</｜DSML｜function_calls>", "<｜DSML｜tool_calls>", "<｜DSML｜invoke name=\"now\">", "</｜DSML｜invoke>",
    "<｜DSML｜parameter name=\"", "\" string=\"true\">", "\" string=\"false\">", "</｜DSML｜parameter>", "<function_calls>",
    "</function_calls>", "now()", "<|tools_prefix|>", "<|tools_suffix|>", "{\"now\": {}}", "[{\"weather\": ",
    "call:", "call:weather{", "<escape>", "<|tool_call>", "<tool_call|>", "<|\"|>",
];

/// Whole calls, some of them cut.
fn whole() -> impl Strategy<Value = String> {
    (proptest::sample::select(CALLS), 0usize..200).prop_map(|((_, text, _), cut)| {
        let kept = if cut < 100 { usize::MAX } else { cut - 100 };
        text.chars().take(kept).collect()
    })
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::sample::select(PARTS).prop_map(str::to_owned),
        1 => whole(),
        1 => any::<String>(),
        1 => "[a-z<>|/ ]{0,6}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(part(), 0..40).prop_map(|parts| parts.concat())
}

fn styles() -> impl Strategy<Value = Option<Style>> {
    let styles: Vec<Style> = Style::names().into_iter().filter_map(Style::by_name).collect();
    proptest::option::weighted(0.95, proptest::sample::select(styles))
}

/// Names that are made of what stands around names.
const ODD_NAMES: [&str; 8] = ["now>", "</function>", "[ARGS]", "{", "now(", "a\nb", "\"", "weather</tool_call>"];

fn reading() -> impl Strategy<Value = Reading> {
    (styles(), any::<bool>(), any::<bool>(), 0..3).prop_map(|(style, thinks, starts_inside, known)| {
        let reading = of(Style::Generic);
        let odd = |name: &&str| Function { name: (*name).to_owned(), ..reading.functions[0].clone() };
        let functions: Arc<[Function]> = match known {
            0 => [].into(),
            1 => reading.functions.clone(),
            _ => reading.functions.iter().cloned().chain(ODD_NAMES.iter().map(odd)).collect(),
        };
        Reading { style, reasoning: reading.reasoning.filter(|_| thinks), starts_inside, functions }
    })
}

/// Reads a text in pieces of so many characters, over and over.
fn read_cut(reading: &Reading, text: &str, cuts: &[usize]) -> Vec<Piece> {
    let mut reader = Reader::new(reading.clone());
    let mut pieces = Vec::new();
    let chars: Vec<char> = text.chars().collect();
    let (mut rest, mut cuts) = (chars.as_slice(), cuts.iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*cuts.next().unwrap_or(&1)).min(rest.len()));
        reader.push(&now.iter().collect::<String>(), &mut pieces);
        rest = later;
    }
    reader.finish(&mut pieces);
    join(pieces)
}

/// Calls are numbered, begin once and end once, one after the other.
fn check_order(pieces: &[Piece]) {
    let (mut open, mut next) = (None, 0);
    for piece in pieces {
        match piece {
            Piece::Call { index, .. } => {
                assert_eq!((open, *index), (None, next), "{pieces:?}");
                (open, next) = (Some(*index), next + 1);
            }
            Piece::Arguments { index, .. } => assert_eq!(open, Some(*index), "{pieces:?}"),
            Piece::End { index } => {
                assert_eq!(open.take(), Some(*index), "{pieces:?}");
            }
            Piece::Text(text) | Piece::Reasoning(text) => {
                assert!(open.is_none() && !text.is_empty(), "{pieces:?}");
            }
        }
    }
    assert_eq!(open, None, "{pieces:?}");
}

/// How many texts are tried; `make fuzz` sets it.
fn config() -> ProptestConfig {
    let cases = std::env::var("PARKADE_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(20_000);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_text_in_any_cuts_is_read_as_the_whole(
        reading in reading(),
        text in text(),
        cuts in proptest::collection::vec(1usize..9, 1..20),
    ) {
        let whole = read(&reading, &text);
        check_order(&whole);
        prop_assert_eq!(&read_cut(&reading, &text, &cuts), &whole);
        prop_assert_eq!(&read_cut(&reading, &text, &[1]), &whole);
        let is_call = whole.iter().any(|piece| matches!(piece, Piece::Call { .. }));
        let frames = ["<think>", "</think>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"];
        let is_framed = frames.iter().any(|frame| text.contains(frame)) || reading.style == Some(Style::Harmony);
        let frames_something = reading.starts_inside || is_framed;
        if !is_call && !frames_something {
            let expected = if text.is_empty() { Vec::new() } else { vec![Piece::Text(text)] };
            prop_assert_eq!(whole, expected);
        }
    }
}
