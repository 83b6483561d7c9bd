//! Calls and text in the channels of Harmony. A message ends an answer if it is a call or the last text, so there is one call at most.

use super::lark::{Lark, quote, without};
use super::thoughts::{Thoughts, thought};
use super::{Functions, arguments};
use crate::forms::CHANNEL_MARKERS;
use crate::{Choice, Reasoning};

/// Adds the rule `start` of an answer that calls one of the functions, or is text or JSON if no call must be made. `json` is what JSON it then is.
pub(super) fn calls(
    lark: &mut Lark<'_>,
    functions: Functions<'_>,
    choice: &Choice<'_>,
    json: Option<&str>,
    reasoning: Option<&Thoughts<'_>>,
) {
    let [begin, channel, message, end, constrain] =
        ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|constrain|>"].map(|marker| lark.marker(marker));
    let mut calls = Vec::with_capacity(functions.len());
    for (number, function) in functions {
        let arguments = lark.schema(arguments(function), *number);
        let head = quote(&format!("commentary to=functions.{} ", function.name));
        lark.rule(&format!("call{number}"), &format!("{head} {constrain} \"json\" {message} {arguments}"));
        calls.push(format!("call{number}"));
    }
    lark.call(&calls);
    lark.rule("TEXT", &without(&CHANNEL_MARKERS));
    // Text before a call is a message of its own.
    let preamble = format!("\"commentary\" {message} TEXT? {end} {begin} \"assistant\" {channel} call");
    match (choice, json) {
        (Choice::Required | Choice::Named(_), _) => lark.rule("answer", "call"),
        (Choice::Auto, Some(json)) => lark.rule("answer", &format!("call | {preamble} | \"final\" {message} {json}")),
        (Choice::Auto, None) => lark.rule("answer", &format!("call | {preamble} | \"final\" {message} TEXT?")),
    }
    start(lark, reasoning);
}

/// Adds the rule `start` of an answer that is JSON.
pub(super) fn json(lark: &mut Lark<'_>, json: &str, reasoning: Option<&Thoughts<'_>>) {
    let message = lark.marker("<|message|>");
    lark.rule("answer", &format!("\"final\" {message} {json}"));
    start(lark, reasoning);
}

/// Adds the rule `start`: thoughts, then the rule `answer`, which begins behind the marker of a channel.
fn start(lark: &mut Lark<'_>, reasoning: Option<&Thoughts<'_>>) {
    let [begin, channel, message] = ["<|start|>", "<|channel|>", "<|message|>"].map(|marker| lark.marker(marker));
    let markers = Reasoning { start: "<|channel|>analysis<|message|>".to_owned(), end: "<|end|>".to_owned() };
    let free = Thoughts { markers: &markers, starts_inside: false, budget: None };
    let thoughts = reasoning.unwrap_or(&free);
    thought(lark, thoughts);
    let after = format!("thought {begin} \"assistant\" {channel} answer");
    match thoughts.starts_inside {
        true => lark.rule("start", &after),
        false => lark.rule("start", &format!("{channel} (\"analysis\" {message} {after} | answer)")),
    }
}
