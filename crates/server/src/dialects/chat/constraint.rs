//! The one grammar of an answer: its thoughts, its calls, and what its text may be.

use parkade_calls::{CallGrammar, Reasoning, Style, Thoughts};
use parkade_core::Format;
use parkade_model::tokenizer::Tokenizer;
use serde_json::{Value, json};

use super::{Choice, Tools};
use crate::generate::WantedFormat;
use crate::http::ApiError;

/// What an answer is held to.
pub(super) struct Constraint<'a> {
    pub tools: &'a Tools,
    pub style: Style,
    /// The markers of the model's thoughts.
    pub markers: Option<&'a Reasoning>,
    /// Whether the answer begins inside of thoughts.
    pub starts_inside: bool,
    /// The most tokens of thought.
    pub bound: Option<usize>,
    /// Whether there may be thoughts at all.
    pub may_think: bool,
    pub tokenizer: &'a Tokenizer,
}

impl Constraint<'_> {
    /// The thoughts that an answer may begin with.
    fn thoughts(&self) -> Option<Thoughts<'_>> {
        let markers = self.markers.filter(|_| self.may_think || self.bound.is_some())?;
        Some(Thoughts { markers, starts_inside: self.starts_inside, budget: self.bound })
    }

    /// The id of a text that is one special token.
    fn special_token(&self, text: &str) -> Option<u32> {
        self.tokenizer.special_token(text)
    }
}

/// What an answer is held to, if anything: `asked` is what its text may be.
///
/// Calls are held to a grammar where they must be made, where a function is strict, where there may be one only, and where what is no
/// call has a form; thoughts where they have a bound, or where something with a form follows them.
pub(super) fn format(
    constraint: &Constraint<'_>,
    asked: Option<WantedFormat>,
) -> Result<Option<WantedFormat>, ApiError> {
    let functions = constraint.tools.callable();
    let tokens = |text: &str| constraint.special_token(text);
    let choice = match &constraint.tools.choice {
        Choice::Named(name) => parkade_calls::Choice::Named(name),
        Choice::Required => parkade_calls::Choice::Required,
        Choice::Auto | Choice::None => parkade_calls::Choice::Auto,
    };
    let must = !matches!(choice, parkade_calls::Choice::Auto);
    let schema = asked.as_ref().and_then(|asked| schema_of(&asked.format));
    let held =
        must || !constraint.tools.parallel || functions.iter().any(|function| function.strict) || asked.is_some();
    if functions.is_empty() || !held {
        return Ok(without_calls(constraint, asked, schema));
    }
    if asked.is_some() && schema.is_none() {
        let asked_by = asked.map(|asked| asked.param).unwrap_or_default();
        let message = format!(
            "{asked_by} cannot be combined with {}, whose calls have another form; send \"tool_choice\": \"none\", or a JSON schema",
            constraint.tools.param
        );
        return Err(ApiError::invalid_value(asked_by, message));
    }
    let strict = asked.as_ref().is_some_and(|asked| is_strict(&asked.format));
    // A function that must be called is called once, as OpenAI has it.
    let parallel = constraint.tools.parallel && !matches!(choice, parkade_calls::Choice::Named(_));
    let thoughts = constraint.thoughts();
    let grammar = parkade_calls::grammar_or(constraint.style, &functions, &choice, parallel, thoughts, schema, &tokens);
    Ok(grammar.map(|grammar| {
        let strict = strict || grammar.strict;
        let wider = grammar.owners.iter().zip(&grammar.schemas);
        let wider = wider.map(|(owner, schema)| match functions.get(*owner) {
            Some(function) if !function.strict => outline(schema),
            _ => schema.clone(),
        });
        let otherwise = CallGrammar { schemas: wider.collect(), ..grammar.clone() };
        let (otherwise, format) = (format_of(otherwise, strict), format_of(grammar, strict));
        WantedFormat { otherwise: Some(otherwise), ..WantedFormat::new(format, constraint.tools.param) }
    }))
}

/// What an answer without calls is held to.
fn without_calls(
    constraint: &Constraint<'_>,
    asked: Option<WantedFormat>,
    schema: Option<Value>,
) -> Option<WantedFormat> {
    let tokens = |text: &str| constraint.special_token(text);
    let Some(thoughts) = constraint.thoughts() else { return asked };
    match (asked, schema) {
        (Some(asked), Some(schema)) => {
            let strict = is_strict(&asked.format);
            let grammar = parkade_calls::answer_grammar(schema, Some(thoughts), &tokens);
            Some(WantedFormat { format: format_of(grammar, strict), ..asked })
        }
        (Some(asked), None) => {
            // Grammars are of whole answers.
            let Some(terminal) = terminal_of(&asked.format) else { return Some(asked) };
            let grammar = parkade_calls::text_grammar(&terminal, Some(thoughts), &tokens);
            Some(WantedFormat { format: format_of(grammar, false), ..asked })
        }
        (None, _) => {
            let bounded = thoughts.budget.is_some();
            let lark = || parkade_calls::thoughts_grammar(&thoughts, &tokens);
            bounded.then(|| WantedFormat::new(Format::Lark(lark()), "thinking"))
        }
    }
}

/// A grammar of calls as a format.
fn format_of(grammar: CallGrammar, strict: bool) -> Format {
    let CallGrammar { lark, schemas, chosen, .. } = grammar;
    Format::LarkWithJson { lark, schemas, strict, chosen }
}

/// The schema of a format, if it is JSON.
fn schema_of(format: &Format) -> Option<Value> {
    match format {
        Format::JsonObject => Some(json!({"type": "object"})),
        Format::JsonSchema { schema, .. } => Some(schema.clone()),
        _ => None,
    }
}

/// A format as a terminal of a grammar, if it is one.
fn terminal_of(format: &Format) -> Option<String> {
    match format {
        Format::Choice(texts) if !texts.is_empty() && texts.iter().all(|text| !text.is_empty()) => {
            Some(parkade_calls::one_of(texts))
        }
        Format::Regex(pattern) => Some(format!("/{}/", slashes_escaped(pattern))),
        _ => None,
    }
}

/// A pattern between slashes, on one line.
fn slashes_escaped(pattern: &str) -> String {
    let mut escaped = String::with_capacity(pattern.len());
    let mut after_backslash = false;
    for c in pattern.chars() {
        match c {
            '/' if !after_backslash => escaped.push_str("\\/"),
            '\n' => escaped.push_str(if after_backslash { "n" } else { "\\n" }),
            c => escaped.push(c),
        }
        after_backslash = c == '\\' && !after_backslash;
    }
    escaped
}

/// Whether a format is of whole answers, thoughts included.
pub(super) fn is_of_all(format: &Format) -> bool {
    matches!(format, Format::Gbnf(_) | Format::Lark(_))
}

fn is_strict(format: &Format) -> bool {
    matches!(format, Format::JsonSchema { strict: true, .. })
}

/// What is left of the schema of arguments, or of one argument, if no more can be enforced.
fn outline(schema: &Value) -> Value {
    if schema["type"] == "object" { json!({"type": "object"}) } else { Value::Bool(true) }
}
