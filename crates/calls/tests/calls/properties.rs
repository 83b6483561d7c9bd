//! However an answer is cut, the same is read of it.

use parkade_calls::{Piece, Reader, Reading, Style};
use proptest::prelude::*;

use crate::reading::{join, of, read};

/// Parts that answers are made of: markers of all styles, JSON, junk.
const PARTS: &[&str] = &[
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "{",
    "}",
    "[",
    "]",
    "\"name\"",
    "\"weather\"",
    "\"now\"",
    ": ",
    ":",
    ",",
    "\"arguments\"",
    "{\"city\": \"Rome\"}",
    "\n",
    " ",
    "\\",
    "\"",
    "é",
    "😀",
    "<",
    "null",
    "12",
    "x",
    "{\"name\": \"weather\", \"arguments\": {\"city\": \"a\\\"}\"}}",
];

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::sample::select(PARTS).prop_map(str::to_owned),
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

fn reading() -> impl Strategy<Value = Reading> {
    (styles(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(style, thinks, starts_inside, knows)| {
        let reading = of(Style::Generic);
        let functions = if knows { reading.functions } else { [].into() };
        Reading { style, reasoning: reading.reasoning.filter(|_| thinks), starts_inside, functions }
    })
}

/// Reads a text in pieces of one to `most` characters.
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

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
        let frames = ["<think>", "</think>", "<|START_", "<|END_", "<|channel", "<|message|>", "<|start|>", "<|end|>"];
        let frames_something = reading.starts_inside || frames.iter().any(|frame| text.contains(frame));
        if !is_call && !frames_something {
            let expected = if text.is_empty() { Vec::new() } else { vec![Piece::Text(text)] };
            prop_assert_eq!(whole, expected);
        }
    }
}
