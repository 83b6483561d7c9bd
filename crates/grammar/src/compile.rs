//! From a format to a grammar.

use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use llguidance::ParserFactory;
use llguidance::api::{GrammarWithLexer, ParserLimits, TopLevelGrammar};
use llguidance::toktrie::InferenceCapabilities;
use parkade_sync::Mutex;
use serde_json::{Value, json};

use crate::begin::begin;
use crate::cache::Cache;
use crate::closing::Closing;
use crate::schema::Care;
use crate::vocabulary::{Tokens, Vocabulary};
use crate::{Format, GrammarError, Limits, Matcher, gbnf, schema};

/// Stack of the thread that compiles. Of a chain of rules or references each takes some of it; only what is used is memory.
const STACK: usize = 256 << 20;

/// White space between the parts of a JSON object that has no schema: little of it, so that no model goes on with it for ever.
const WHITE_SPACE: &str = r" |\n[ \t]{0,20}";

/// Bytes that a grammar takes for each of its text, about: symbols, rules and their names.
const PART: usize = 64;

/// Compiles formats for one vocabulary, and keeps what was compiled.
pub struct Grammars {
    tokens: Arc<dyn Tokens>,
    limits: Limits,
    /// Made with the first format: it takes a moment and some megabytes, which most servers never need.
    factory: OnceLock<Result<Arc<ParserFactory>, GrammarError>>,
    cache: Mutex<Cache<Grammar>>,
}

/// A format that is compiled.
pub struct Grammar {
    template: Matcher,
    vocab: usize,
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammar").finish_non_exhaustive()
    }
}

impl Grammar {
    /// The beginning of an answer. What the lexer finds out on the way is this matcher's and its clones', so that what one request does is nothing
    /// to another.
    pub fn matcher(&self) -> Matcher {
        self.template.apart()
    }

    /// How many tokens the vocabulary has for which it was compiled.
    pub fn vocab(&self) -> usize {
        self.vocab
    }
}

impl Grammars {
    /// Grammars over a vocabulary, within the usual limits.
    pub fn new(tokens: Arc<dyn Tokens>) -> Self {
        Grammars::with_limits(tokens, Limits::default())
    }

    /// Grammars over a vocabulary.
    pub fn with_limits(tokens: Arc<dyn Tokens>, limits: Limits) -> Self {
        let cache = Mutex::new("grammar.cache", Cache::new(limits.cache_bytes));
        Grammars { tokens, limits, factory: OnceLock::new(), cache }
    }

    /// Compiles a format, or finds it among those that were. It takes up to [`Limits::time`], the first time also as long as it takes to sort the vocabulary.
    ///
    /// # Errors
    /// What is wrong with the format, and where.
    pub fn compile(&self, format: &Format) -> Result<Arc<Grammar>, GrammarError> {
        let length = format.bytes();
        if length > self.limits.bytes {
            let message = format!("it has {length} bytes; up to {} are taken", self.limits.bytes);
            return Err(GrammarError::new(message));
        }
        for schema in format.schemas() {
            schema::check_depth(schema, self.limits.depth)?;
        }
        let key = format.key();
        if let Some(grammar) = self.cache.lock().get(&key) {
            return Ok(grammar);
        }
        let factory = self.factory.get_or_init(|| self.factory()).clone()?;
        let parsed = parse(format, &self.limits)?;
        let (tokens, closing) = (Arc::clone(&self.tokens), Closing::new(format.lark(), format.chosen()));
        let work = move || begin(&factory, parsed, tokens, closing, length);
        let (template, bytes) = compile_within(work, &self.limits)?;
        let grammar = Arc::new(Grammar { template, vocab: self.tokens.count() });
        self.cache.lock().insert(key, Arc::clone(&grammar), bytes + PART * length);
        Ok(grammar)
    }

    fn factory(&self) -> Result<Arc<ParserFactory>, GrammarError> {
        let env = Vocabulary::env(Arc::clone(&self.tokens))?;
        let abilities = InferenceCapabilities { ff_tokens: env.tokenize_is_canonical(), ..Default::default() };
        let slices = slices();
        let mut factory = ParserFactory::new(&env, abilities, &slices).map_err(GrammarError::said)?;
        factory.quiet();
        *factory.limits_mut() = ParserLimits {
            step_lexer_fuel: self.limits.mask_fuel,
            max_lexer_states: self.limits.lexer_states,
            max_grammar_size: 200_000,
            // An object of optional properties takes four for each.
            max_items_in_row: 10_000,
            // 100 to 200 bytes each.
            initial_lexer_fuel: 300_000,
            verbose_errors: false,
            ..ParserLimits::default()
        };
        Ok(Arc::new(factory))
    }
}

/// Parts of the vocabulary that are allowed or not as a whole: white space, and what may stand in a JSON string as it is, by its length. Of a
/// string with a bound of its length the longest tokens are looked at one by one only where the bound is near.
fn slices() -> Vec<String> {
    let text = |count: &str| format!(r#"[^"\\\x00-\x1F\x7F]{count}"#);
    let texts = ["{1,10}", "{1,30}", "{1,100}", "+"].map(text);
    std::iter::once(r"[\x20\x0A\x0D\x09]+".to_owned()).chain(texts).collect()
}

/// What the parser is to compile.
fn parse(format: &Format, limits: &Limits) -> Result<TopLevelGrammar, GrammarError> {
    Ok(match format {
        Format::JsonObject => TopLevelGrammar::from_json_schema(
            json!({ "type": "object", "x-guidance": { "whitespace_pattern": WHITE_SPACE } }),
        ),
        Format::JsonSchema { schema, strict } => {
            TopLevelGrammar::from_json_schema(schema::prepare(schema, Care::strict_or(*strict, Care::Usual), limits)?)
        }
        Format::Regex(pattern) => TopLevelGrammar::from_regex(pattern),
        Format::Choice(texts) => TopLevelGrammar::from_lark(choice(texts)?),
        Format::Gbnf(text) => TopLevelGrammar::from_lark(gbnf::to_lark(text, limits.depth)?),
        Format::Lark(text) => {
            check_brackets(text, limits.depth)?;
            TopLevelGrammar::from_lark(text.clone())
        }
        Format::LarkWithJson { lark, schemas, strict, .. } => lark_with_json(lark, schemas, *strict, limits)?,
    })
}

/// A grammar and the schemas that it names. The parser finds them by their names, which are no text of the grammar's.
fn lark_with_json(
    lark: &str,
    schemas: &[Value],
    strict: bool,
    limits: &Limits,
) -> Result<TopLevelGrammar, GrammarError> {
    check_brackets(lark, limits.depth)?;
    let mut parsed = TopLevelGrammar::from_lark(lark.to_owned());
    for (number, schema) in schemas.iter().enumerate() {
        let care = Care::strict_or(strict, Care::Loose);
        let schema = schema::prepare(schema, care, limits).map_err(|error| error.of_schema(number))?;
        let name = Some(format!("schema{number}"));
        parsed.grammars.push(GrammarWithLexer { name, ..GrammarWithLexer::from_json_schema(schema) });
    }
    Ok(parsed)
}

fn choice(texts: &[String]) -> Result<String, GrammarError> {
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err(GrammarError::new("a choice is of one text or more, none of them empty"));
    }
    let texts: Vec<String> = texts.iter().map(|text| json!(text).to_string()).collect();
    Ok(format!("start: CHOICE\nCHOICE: {}", texts.join(" | ")))
}

/// Refuses a grammar whose brackets are nested too deeply; those in its strings count too.
fn check_brackets(text: &str, most: usize) -> Result<(), GrammarError> {
    let mut depth = 0usize;
    for (line, text) in text.lines().enumerate() {
        for c in text.chars() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > most {
                let message = format!("brackets are nested more than {most} levels deep");
                return Err(GrammarError::on_line(line + 1, message));
            }
        }
    }
    Ok(())
}

/// Compiles on a thread of its own, with a stack that no grammar within the limits uses up. A thread that takes too long is left alone: its fuel ends soon.
fn compile_within<T: Send + 'static>(
    compile: impl FnOnce() -> Result<T, GrammarError> + Send + 'static,
    limits: &Limits,
) -> Result<T, GrammarError> {
    let (send, receive) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("parkade-grammar".to_owned()).stack_size(STACK);
    let work = move || {
        // Nobody waits any more if it took too long.
        let _ = send.send(compile());
    };
    thread.spawn(work).map_err(|error| GrammarError::new(format!("no thread to compile it: {error}")))?;
    let late = || GrammarError {
        is_late: true,
        ..GrammarError::new(format!("it takes more than {} s to compile", limits.time.as_secs_f64()))
    };
    receive.recv_timeout(limits.time).map_err(|_| late())?
}
