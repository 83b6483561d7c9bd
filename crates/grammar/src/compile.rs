//! From a format to a grammar.

use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use llguidance::ParserFactory;
use llguidance::api::{GrammarWithLexer, ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{InferenceCapabilities, TokTrie, TokenId};
use parkade_sync::Mutex;
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::schema::Care;
use crate::vocabulary::{Tokens, Vocabulary};
use crate::{Format, GrammarError, Limits, Matcher, gbnf, schema};

/// Stack of the thread that compiles. Of a chain of rules or references each takes some of it; only what is used is memory.
const STACK: usize = 256 << 20;

/// White space between the parts of a JSON object that has no schema: little of it, so that no model goes on with it for ever.
const WHITE_SPACE: &str = r" |\n[ \t]{0,20}";

/// Bytes that a grammar takes for each of its text, about: symbols, rules and their names.
const PART: usize = 64;

/// How many texts the lexer is warmed up with, how long they are, and what that may cost (about 20 ms).
const WARM_TEXTS: usize = 8;
const WARM_TOKENS: usize = 64;
const WARM_FUEL: u64 = 300_000;

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
    source: Format,
    template: llguidance::Matcher,
    tokens: Arc<dyn Tokens>,
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
        Matcher::new(self.template.deep_clone(), Arc::clone(&self.tokens))
    }

    /// The format that it was compiled from.
    pub fn source(&self) -> &Format {
        &self.source
    }

    /// How many tokens the vocabulary has for which it was compiled.
    pub fn vocab(&self) -> usize {
        self.tokens.count()
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
        let (template, bytes) = compile_within(factory, parsed, &self.limits)?;
        let grammar = Arc::new(Grammar { source: format.clone(), template, tokens: Arc::clone(&self.tokens) });
        self.cache.lock().insert(key, Arc::clone(&grammar), bytes + (PART + 1) * length);
        Ok(grammar)
    }

    fn factory(&self) -> Result<Arc<ParserFactory>, GrammarError> {
        let env = Vocabulary::env(Arc::clone(&self.tokens))?;
        let abilities = InferenceCapabilities { ff_tokens: env.tokenize_is_canonical(), ..Default::default() };
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
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
        Format::LarkWithJson { lark, schemas, strict } => lark_with_json(lark, schemas, *strict, limits)?,
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
fn compile_within(
    factory: Arc<ParserFactory>,
    parsed: TopLevelGrammar,
    limits: &Limits,
) -> Result<(llguidance::Matcher, usize), GrammarError> {
    let (send, receive) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("parkade-grammar".to_owned()).stack_size(STACK);
    let work = move || {
        // Nobody waits any more if it took too long.
        let _ = send.send(begin(&factory, parsed));
    };
    thread.spawn(work).map_err(|error| GrammarError::new(format!("no thread to compile it: {error}")))?;
    let late = || GrammarError {
        is_late: true,
        ..GrammarError::new(format!("it takes more than {} s to compile", limits.time.as_secs_f64()))
    };
    receive.recv_timeout(limits.time).map_err(|_| late())?
}

/// The matcher at its beginning, once it is known that a text can begin at all; and the bytes of what its lexer knows.
fn begin(factory: &ParserFactory, parsed: TopLevelGrammar) -> Result<(llguidance::Matcher, usize), GrammarError> {
    let parser = factory.create_parser(parsed).map_err(GrammarError::said)?;
    // Clones share one lexer.
    let sharer = parser.clone();
    let mut matcher = llguidance::Matcher::new(Ok(parser));
    matcher.compute_mask().map_err(GrammarError::said)?;
    refuse_endless(&matcher)?;
    warm_up(&matcher, factory.tok_env().tok_trie());
    Ok((matcher, sharer.parser.lexer_stats().num_bytes))
}

/// Refuses a format that forces a text without an end: all of it would be computed at once, for each answer again.
fn refuse_endless(matcher: &llguidance::Matcher) -> Result<(), GrammarError> {
    let endless = || GrammarError::new("each text of this format begins with one that has no end, or is too long");
    let mut trial = matcher.deep_clone();
    while !trial.is_stopped() {
        let forced = trial.compute_ff_tokens();
        if trial.is_error() {
            return Err(endless());
        }
        if forced.is_empty() {
            break;
        }
        trial.consume_tokens(&forced).map_err(|_| endless())?;
    }
    Ok(())
}

/// Draws some texts, so that the lexer knows most states before the first answer comes to them. The same format is always drawn the same texts.
fn warm_up(matcher: &llguidance::Matcher, trie: &TokTrie) {
    let byte = |byte: u8| trie.token_id_at_bytes(&[byte]);
    let endings: Vec<TokenId> = b"\",}]:".iter().filter_map(|&ending| byte(ending)).collect();
    let bytes: Vec<TokenId> = (0..=255).filter_map(byte).collect();
    let (mut random, mut fuel) = (1u64, 0);
    let mut below = |most: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % most
    };
    for _ in 0..WARM_TEXTS {
        let mut matcher = matcher.clone();
        for _ in 0..WARM_TOKENS {
            let forced = matcher.compute_ff_tokens();
            if matcher.consume_tokens(&forced).is_err() || matcher.is_stopped() {
                break;
            }
            let Ok(mask) = matcher.compute_mask() else { break };
            fuel += matcher.last_step_stats().map_or(0, |stats| stats.lexer_cost);
            let among = |ids: &[TokenId]| ids.iter().copied().filter(|&id| mask.is_allowed(id)).collect::<Vec<_>>();
            let mut allowed = if below(2) == 0 { among(&endings) } else { Vec::new() };
            if allowed.is_empty() {
                allowed = among(&bytes);
            }
            if allowed.is_empty() || fuel > WARM_FUEL || matcher.consume_token(allowed[below(allowed.len())]).is_err() {
                break;
            }
        }
    }
}
