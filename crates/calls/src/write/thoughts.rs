//! Thoughts before an answer.

use super::lark::{ANY, Lark, Tokens, pattern, without};
use crate::Reasoning;
use crate::forms::CHANNEL_MARKERS;

/// The thoughts that an answer begins with.
#[derive(Clone, Copy, Debug)]
pub struct Thoughts<'a> {
    /// What they stand between.
    pub markers: &'a Reasoning,
    /// Whether the prompt ends with the marker of their beginning. If not, the answer may do without thoughts.
    pub starts_inside: bool,
    /// The most tokens of thought, of which the last may be a part of a character. The marker of their end is counted only where it is ordinary text.
    pub budget: Option<usize>,
}

/// The largest budget that is one; no context has room for more.
const MOST: usize = 1 << 24;

/// A grammar that only bounds thoughts: at most so many tokens of them, then anything. `tokens` is as in [`crate::grammar`].
pub fn thoughts_grammar(thoughts: &Thoughts<'_>, tokens: Tokens<'_>) -> String {
    let mut lark = Lark::new(tokens);
    let start = thoughts.markers.start.trim_end();
    let open = lark.marker(start);
    thought(&mut lark, thoughts);
    lark.rule("rest", "(<[*]>)*");
    if thoughts.starts_inside {
        lark.rule("start", "thought rest");
        return lark.finish().0;
    }
    match lark.first_token(start) {
        Some((id, "")) => {
            // If there are no thoughts at the beginning, none may begin later.
            lark.rule("start", &format!("{open} thought rest | without"));
            lark.rule("without", &format!("(<[^{id}]>)*"));
        }
        Some((id, text)) => {
            lark.rule("start", &format!("{open} thought rest | <[{id}]> OTHER rest | <[^{id}]> rest | \"\""));
            lark.rule("OTHER", &format!("/{}/", other_than(text)));
        }
        None => {
            lark.rule("start", &format!("{open} thought rest | OTHER rest | \"\""));
            lark.rule("OTHER", &format!("/{}/", other_than(start)));
        }
    }
    lark.finish().0
}

/// What goes before an answer in a rule: thoughts if there are any, then perhaps line breaks. It may be empty.
pub(super) fn before(lark: &mut Lark<'_>, thoughts: Option<&Thoughts<'_>>) -> String {
    let Some(thoughts) = thoughts else { return String::new() };
    thought(lark, thoughts);
    lark.rule("BREAK", r"/\n{1,2}/");
    if thoughts.starts_inside {
        return "thought BREAK? ".to_owned();
    }
    let open = lark.marker(thoughts.markers.start.trim_end());
    format!("({open} thought BREAK?)? ")
}

/// Adds the rule `thought`: thoughts from behind the marker of their beginning, and that of their end.
pub(super) fn thought(lark: &mut Lark<'_>, thoughts: &Thoughts<'_>) {
    let end = thoughts.markers.end.trim();
    let close = lark.marker(end);
    if thoughts.budget == Some(0) {
        lark.rule("thought", &close);
        return;
    }
    let is_channel = thoughts.markers.start.starts_with("<|channel|>");
    lark.rule("THOUGHT", &without(if is_channel { &CHANNEL_MARKERS } else { std::slice::from_ref(&end) }));
    let bound = thoughts.budget.filter(|most| *most <= MOST).map(|most| format!("max_tokens={most}"));
    if lark.first_token(end).is_some() {
        let bound = bound.map(|bound| format!("[{bound}]")).unwrap_or_default();
        lark.rule("thought", &format!("thinking {close} | {close}"));
        lark.rule(&format!("thinking{bound}"), "THOUGHT");
    } else if let Some(bound) = bound {
        // When both are at their bound, the parser ends the one that was named first.
        lark.rule("thought", &format!("thinking {close} | closed"));
        lark.rule(&format!("closed[suffix={close},{bound}]"), ANY);
        lark.rule(&format!("thinking[{bound}]"), "THOUGHT");
    } else {
        lark.rule("thought", "closed");
        lark.rule(&format!("closed[suffix={close}]"), ANY);
    }
}

/// A regular expression of the shortest texts that tell that a text does not begin with another one.
fn other_than(text: &str) -> String {
    let mut before = String::new();
    let mut alternatives = Vec::new();
    for c in text.chars() {
        let c = pattern(&c.to_string());
        alternatives.push(format!("{before}[^{c}]"));
        before.push_str(&c);
    }
    alternatives.join("|")
}
