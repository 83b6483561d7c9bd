//! Calls and text in the channels of Harmony. A message ends an answer if it is a call or the last text, so there is one call at most.

use super::lark::{Lark, any_of, quote, without};
use super::thoughts::{Thoughts, thought};
use super::{Functions, arguments};
use crate::Reasoning;
use crate::forms::CHANNEL_MARKERS;

/// Adds the rule `start`, and all that it is made of.
pub(super) fn start(lark: &mut Lark<'_>, functions: Functions<'_>, is_auto: bool, reasoning: Option<&Thoughts<'_>>) {
    let [begin, channel, message, end, constrain] =
        ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|constrain|>"].map(|marker| lark.marker(marker));
    let mut calls = Vec::with_capacity(functions.len());
    for (number, function) in functions {
        let arguments = lark.schema(arguments(function), *number);
        let head = quote(&format!("commentary to=functions.{} ", function.name));
        lark.rule(&format!("call{number}"), &format!("{head} {constrain} \"json\" {message} {arguments}"));
        calls.push(format!("call{number}"));
    }
    lark.rule("call", &any_of(&calls));
    lark.rule("TEXT", &without(&CHANNEL_MARKERS));
    // Text before a call is a message of its own.
    let text = format!(
        "\"final\" {message} TEXT? | \"commentary\" {message} TEXT? {end} {begin} \"assistant\" {channel} call"
    );
    lark.rule("answer", &if is_auto { format!("call | {text}") } else { "call".to_owned() });
    let markers = Reasoning { start: "<|channel|>analysis<|message|>".to_owned(), end: "<|end|>".to_owned() };
    let free = Thoughts { markers: &markers, starts_inside: false, budget: None };
    let thoughts = reasoning.unwrap_or(&free);
    thought(lark, thoughts);
    let after = format!("thought {begin} \"assistant\" {channel} answer");
    lark.rule(
        "start",
        &match thoughts.starts_inside {
            true => after,
            false => format!("{channel} (\"analysis\" {message} {after} | answer)"),
        },
    );
}
