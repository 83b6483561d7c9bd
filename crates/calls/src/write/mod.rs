//! Grammars of answers with calls.

mod channels;
mod gemma;
mod json_calls;
mod lark;
mod named_calls;
mod pythonic;
mod tagged;
mod thoughts;

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::forms::Form;
use crate::{Choice, Function, Style, schema};
use lark::{ANY, Lark, and_without, without};
pub use thoughts::{Thoughts, thoughts_grammar};

/// A grammar, in llguidance's Lark, for a whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct CallGrammar {
    /// The grammar; it begins at `start`. `@schemaK` stands for JSON by schema number K.
    pub lark: String,
    /// The schemas, by their numbers.
    pub schemas: Vec<Value>,
    /// Which of the functions each schema is of, by its place among them; `usize::MAX` if it is of none.
    pub owners: Vec<usize>,
    /// Whether the schemas of functions must be enforced to the letter, because one that may be called is strict. If not, they are to be as far as
    /// they can be.
    pub strict: bool,
    /// Texts that only the model may write: an answer that its limit cuts before one of them does not go on with one, see
    /// `parkade_grammar::Format`.
    pub chosen: Vec<String>,
}

/// Functions that may be called, and their places among all.
type Functions<'a> = &'a [(usize, &'a Function)];

/// How a style's calls are written: rules for all calls of an answer.
struct Section {
    /// The marker before the first call; empty if there is none.
    open: &'static str,
    /// What stands behind the marker, to the end of the last call.
    tail: String,
    /// Without a marker: a terminal of texts that are no calls.
    other: Option<&'static str>,
}

/// The owner of a schema that is of no function.
const NO_FUNCTION: usize = usize::MAX;

/// How many parts of a schema its outline may have.
const OUTLINE: usize = 500;

/// Functions of which either all that may be called are strict or none: if only some are, the schemas of the others become outlines, all of which can
/// be enforced.
fn evenly_strict<'a>(functions: &'a [Function], choice: &Choice<'_>) -> Cow<'a, [Function]> {
    let mut callable = functions.iter().filter(|function| choice.allows(&function.name));
    if !callable.any(|function| function.strict) || functions.iter().all(|function| function.strict) {
        return Cow::Borrowed(functions);
    }
    let outlined = functions.iter().cloned().map(|mut function| {
        if !function.strict {
            function.parameters = schema::outline(&function.parameters, &function.parameters, &mut { OUTLINE });
        }
        function
    });
    outlined.collect()
}

/// How an answer may be written, so that each call is of one of the functions and has arguments by its schema.
///
/// With [`Choice::Auto`] it is any text, perhaps with calls at its end; else it is calls and nothing else, but for thoughts before. Without `parallel`
/// it is one call at most. `tokens` says the id of a text that is one special token of the vocabulary; other markers are written as text.
/// `None` if no function may be called.
pub fn grammar(
    style: Style,
    functions: &[Function],
    choice: &Choice<'_>,
    parallel: bool,
    reasoning: Option<Thoughts<'_>>,
    tokens: &dyn Fn(&str) -> Option<u32>,
) -> Option<CallGrammar> {
    grammar_or(style, functions, choice, parallel, reasoning, None, tokens)
}

/// Text of a form, after thoughts if there are any. The form is a terminal in llguidance's Lark.
pub fn text_grammar(
    terminal: &str,
    reasoning: Option<Thoughts<'_>>,
    tokens: &dyn Fn(&str) -> Option<u32>,
) -> CallGrammar {
    let mut lark = Lark::new(tokens);
    let before = thoughts::before(&mut lark, reasoning.as_ref());
    lark.rule("start", &format!("{before}TEXT"));
    lark.rule("TEXT", terminal);
    finish(lark, Style::Generic, &[], reasoning.as_ref())
}

/// A terminal of one of several texts.
pub fn one_of(texts: &[String]) -> String {
    texts.iter().map(|text| lark::quote(text)).collect::<Vec<_>>().join(" | ")
}

/// As [`grammar`]; with [`Choice::Auto`] an answer without calls is JSON by the schema `otherwise`, if there is one. It is of none of the functions.
pub fn grammar_or(
    style: Style,
    functions: &[Function],
    choice: &Choice<'_>,
    parallel: bool,
    reasoning: Option<Thoughts<'_>>,
    otherwise: Option<Value>,
    tokens: &dyn Fn(&str) -> Option<u32>,
) -> Option<CallGrammar> {
    let functions = evenly_strict(functions, choice);
    let callable: Vec<(usize, &Function)> =
        functions.iter().enumerate().filter(|(_, function)| choice.allows(&function.name)).collect();
    if callable.is_empty() {
        return None;
    }
    let mut lark = Lark::new(tokens);
    let otherwise = otherwise.filter(|_| *choice == Choice::Auto);
    let Some(section) = section(style, &mut lark, &callable, parallel) else {
        let json = otherwise.map(|schema| lark.schema(schema, NO_FUNCTION));
        channels::calls(&mut lark, &callable, choice, json.as_deref(), reasoning.as_ref());
        return Some(finish(lark, style, &callable, reasoning.as_ref()));
    };
    let before = thoughts::before(&mut lark, reasoning.as_ref());
    let open = lark.marker(section.open);
    lark.rule("calls", &format!("{open} {}", section.tail));
    match (choice, otherwise) {
        (Choice::Required | Choice::Named(_), _) => lark.rule("start", &format!("{before}calls")),
        (Choice::Auto, Some(schema)) => {
            let json = lark.schema(schema, NO_FUNCTION);
            let framed = framed(&lark, style, &json);
            lark.rule("start", &format!("{before}(calls | {json}{framed})"));
        }
        (Choice::Auto, None) => {
            lark.rule("start", &format!("{before}answer"));
            let thought = reasoning.as_ref().filter(|thoughts| !thoughts.starts_inside);
            free(&mut lark, style, &section, thought.map(|thoughts| thoughts.markers.start.trim_end()));
        }
    }
    Some(finish(lark, style, &callable, reasoning.as_ref()))
}

/// JSON by a schema, after thoughts if there are any. The schema is of none of the functions.
pub fn answer_grammar(
    schema: Value,
    reasoning: Option<Thoughts<'_>>,
    tokens: &dyn Fn(&str) -> Option<u32>,
) -> CallGrammar {
    let mut lark = Lark::new(tokens);
    let json = lark.schema(schema, NO_FUNCTION);
    if reasoning.is_some_and(|thoughts| thoughts.markers.start.starts_with("<|channel|>")) {
        channels::json(&mut lark, &json, reasoning.as_ref());
    } else {
        let before = thoughts::before(&mut lark, reasoning.as_ref());
        lark.rule("start", &format!("{before}{json}"));
    }
    finish(lark, Style::Generic, &[], reasoning.as_ref())
}

fn finish(lark: Lark<'_>, style: Style, functions: Functions<'_>, reasoning: Option<&Thoughts<'_>>) -> CallGrammar {
    let (lark, schemas, owners) = lark.finish();
    let names = functions.iter().map(|(_, function)| head(style, &function.name));
    let chosen = names.chain(reasoning.map(|thoughts| thoughts.markers.end.trim().to_owned())).collect();
    CallGrammar { lark, schemas, owners, strict: functions.iter().any(|(_, function)| function.strict), chosen }
}

/// The name of a function as a style's calls have it, with what stands behind it. What stands before it may be forced.
fn head(style: Style, name: &str) -> String {
    match style.form() {
        Form::Json(form) => match form.keys {
            Some((_, key)) => format!("{}\", \"{key}\": ", json_text(name)),
            None => format!("{}\": ", json_text(name)),
        },
        Form::Named(form) if form.is_numbered => format!("{name}:"),
        Form::Named(form) => format!("{name}{}", form.middle.first().copied().unwrap_or_default()),
        Form::Tagged(form) => format!("{name}{}", form.named.first().copied().unwrap_or_default()),
        Form::Pythonic(..) => format!("{name}("),
        Form::Gemma(_) => format!("{name}{{"),
        Form::Channels => format!("{name} "),
    }
}

/// A text inside of a JSON string.
fn json_text(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

/// The same between the markers that frame answers of a style, as one more alternative; empty if there are none.
fn framed(lark: &Lark<'_>, style: Style, answer: &str) -> String {
    match style.frames() {
        [start, end] => format!(" | {} {answer} {}", lark.marker(start), lark.marker(end)),
        _ => String::new(),
    }
}

/// Adds the rule `answer`: any text, then perhaps calls. Thoughts have had their place before.
fn free(lark: &mut Lark<'_>, style: Style, section: &Section, thought: Option<&str>) {
    let thought = thought.filter(|start| lark.first_token(start).is_none());
    // Spelled in letters a marker is read as one too.
    let markers = style.openers().into_iter().map(|(marker, _)| marker);
    let others: Vec<&str> = markers.filter(|marker| *marker != section.open).chain(thought).collect();
    let framed = framed(lark, style, "FREE?");
    if let Some(other) = section.other {
        lark.rule("answer", &format!("calls | FREE?{framed}"));
        lark.rule("FREE", &format!("{other}{}", and_without(&others)));
        return;
    }
    let excluded: Vec<&str> = others.iter().copied().chain([section.open]).collect();
    lark.rule("FREE", &without(&excluded));
    if lark.first_token(section.open).is_some() {
        lark.rule("answer", &format!("FREE? calls?{framed}"));
    } else {
        lark.rule("answer", &format!("FREE? | lead {}{framed}", section.tail));
        let open = lark.marker(section.open);
        lark.rule(&format!("lead[suffix={open}]"), &format!("{ANY}{}", and_without(&others)));
    }
}

/// The rules of a style's calls; none for channels, in which whole answers are written.
fn section(style: Style, lark: &mut Lark<'_>, functions: Functions<'_>, parallel: bool) -> Option<Section> {
    Some(match style.form() {
        Form::Json(form) => json_calls::section(lark, form, functions, parallel),
        Form::Named(form) => named_calls::section(lark, form, functions, parallel),
        Form::Tagged(form) => tagged::section(lark, form, functions, parallel),
        Form::Pythonic(form) => pythonic::section(lark, form, functions, parallel),
        Form::Gemma(form) => gemma::section(lark, form, functions, parallel),
        Form::Channels => return None,
    })
}

/// The schema of a function's arguments: what it says, and that it is of an object.
fn arguments(function: &Function) -> Value {
    let mut members = match &function.parameters {
        Value::Object(members) => members.clone(),
        _ => Map::new(),
    };
    members.entry("type").or_insert_with(|| Value::from("object"));
    Value::Object(members)
}
