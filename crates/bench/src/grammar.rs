//! `parkade bench grammar`: what an answer with a format costs beside the model.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parkade_core::{Format, Gguf, Grammars, Tokenizer, Tokens, Vocabulary};
use serde_json::{Value, json};

use crate::BenchError;
use crate::bounds::within;
use crate::locate::Locate;
use crate::random::Random;
use crate::report::{Check, Report, Table};
use crate::stats::Samples;
use crate::subject::Subject;

/// What a token's mask may take, in microseconds.
const MASK: f64 = 50.0;

/// Measures masks, forced tokens and compiling over the model's vocabulary and a larger one. Nothing is generated.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Whose vocabulary
    #[command(flatten)]
    pub subject: Subject,
    /// Tokens of the larger vocabulary: the model's own and pairs of them
    #[arg(long, default_value_t = 152_000)]
    pub tokens: usize,
    /// Answers by each format, each from a fresh start
    #[arg(long, default_value_t = 50)]
    pub repeats: usize,
}

/// A vocabulary with more tokens than it had.
struct Larger {
    own: Arc<dyn Tokens>,
    pairs: Vec<Vec<u8>>,
}

impl Larger {
    fn new(own: Arc<dyn Tokens>, count: usize, seed: u64) -> Larger {
        let mut random = Random::new(seed, 0);
        let mut draw = || own.bytes(random.below(own.count()) as u32);
        let pairs = (own.count()..count).map(|_| [draw(), draw()].concat()).collect();
        Larger { own, pairs }
    }

    fn is_own(&self, id: u32) -> bool {
        (id as usize) < self.own.count()
    }
}

impl Tokens for Larger {
    fn count(&self) -> usize {
        self.own.count() + self.pairs.len()
    }

    fn bytes(&self, id: u32) -> &[u8] {
        if self.is_own(id) { self.own.bytes(id) } else { &self.pairs[id as usize - self.own.count()] }
    }

    fn is_special(&self, id: u32) -> bool {
        self.is_own(id) && self.own.is_special(id)
    }

    fn is_end(&self, id: u32) -> bool {
        self.is_own(id) && self.own.is_end(id)
    }

    fn encode(&self, text: &str) -> Option<Vec<u32>> {
        self.own.encode(text)
    }
}

/// What was measured of one format, in microseconds.
#[derive(Default)]
struct Measured {
    compile: Duration,
    begin: Vec<f64>,
    masks: Vec<f64>,
    accepts: Vec<f64>,
    tokens: usize,
    forced: usize,
}

/// Measures.
///
/// # Errors
/// If options make no sense, there is no such model, or an answer is not its format's.
pub fn run(options: Options, locate: &Locate<'_>) -> Result<Report, BenchError> {
    within("--repeats", 1..=100_000, &[options.repeats])?;
    let (path, seed) = options.subject.resolve(locate)?;
    let unusable = |reason: String| BenchError::Model { path: path.clone(), reason };
    let gguf = Gguf::open(&path).map_err(|error| unusable(error.to_string()))?;
    let tokenizer = Arc::new(Tokenizer::from_gguf(&gguf).map_err(|error| unusable(error.to_string()))?);
    let own = Arc::clone(&tokenizer).tokens().ok_or_else(|| unusable("its vocabulary has no formats".to_owned()))?;
    within("--tokens", own.count()..=1 << 20, &[options.tokens])?;
    let larger: Arc<dyn Tokens> = Arc::new(Larger::new(Arc::clone(&own), options.tokens, seed));
    let mut report = Report::new("grammar", "Grammar: answers with a format, without a model", Some(seed));
    report.setting("model", path.display().to_string());
    report.setting("answers", format!("{} by each format, each from a fresh start", options.repeats));
    let columns = [
        "format",
        "compile",
        "begin p50",
        "mask p50",
        "mask p99",
        "mask max",
        "accept p50",
        "accept p99",
        "tokens",
        "forced",
    ];
    for (name, tokens) in [("own", own), ("larger", larger)] {
        let title = format!("{} tokens; microseconds, and tokens of an answer", tokens.count());
        let mut table = Table::new(&title, &columns);
        let grammars = Grammars::new(tokens);
        // The vocabulary is sorted with the first one.
        let sorting = Instant::now();
        grammars.compile(&Format::Regex("a".to_owned())).map_err(|error| BenchError::Engine(error.to_string()))?;
        report.figure(format!("{name}_sort_ms"), Some(sorting.elapsed().as_secs_f64() * 1e3), "ms");
        let mut masks = Vec::new();
        for (what, format, answer) in formats() {
            let measured = measure(&grammars, &format, &answer, &tokenizer, options.repeats)?;
            table.row(row(what, &measured));
            masks.extend(measured.masks);
        }
        report.tables.push(table);
        let p99 = masks.into_iter().collect::<Samples>().percentile(99.0);
        report.figure(format!("{name}_mask_p99_us"), p99, "us");
        report.checks.push(Check::at_most(format!("p99 of a mask, {name} vocabulary, us"), p99, MASK));
    }
    Ok(report)
}

fn row(what: &str, measured: &Measured) -> Vec<crate::report::Cell> {
    let samples = |values: &[f64]| values.iter().copied().collect::<Samples>();
    let (begin, masks, accepts) = (samples(&measured.begin), samples(&measured.masks), samples(&measured.accepts));
    vec![
        what.into(),
        Some(measured.compile.as_secs_f64() * 1e6).into(),
        begin.median().into(),
        masks.median().into(),
        masks.percentile(99.0).into(),
        masks.max().into(),
        accepts.median().into(),
        accepts.percentile(99.0).into(),
        measured.tokens.into(),
        measured.forced.into(),
    ]
}

/// Goes through an answer as an engine does that generates it.
fn measure(
    grammars: &Grammars,
    format: &Format,
    answer: &str,
    tokenizer: &Tokenizer,
    repeats: usize,
) -> Result<Measured, BenchError> {
    let failed = |error: String| BenchError::Engine(format!("{error}, in {answer}"));
    let micros = |begin: Instant| begin.elapsed().as_secs_f64() * 1e6;
    let compiling = Instant::now();
    let grammar = grammars.compile(format).map_err(|error| failed(error.to_string()))?;
    let mut measured = Measured { compile: compiling.elapsed(), ..Measured::default() };
    let mut mask = Vec::new();
    for _ in 0..repeats {
        let begin = Instant::now();
        let mut matcher = grammar.matcher();
        let mut forced = matcher.take_forced().map_err(|error| failed(error.to_string()))?;
        measured.begin.push(micros(begin));
        (measured.tokens, measured.forced) = (0, 0);
        let mut rest = answer;
        loop {
            let said: usize = forced.iter().map(|&id| tokenizer.token_bytes(id).len()).sum();
            (measured.tokens, measured.forced) = (measured.tokens + forced.len(), measured.forced + forced.len());
            rest = rest.get(said..).ok_or_else(|| failed("what is forced is not the answer".to_owned()))?;
            if rest.is_empty() || matcher.is_complete() {
                break;
            }
            let begin = Instant::now();
            matcher.mask(&mut mask).map_err(|error| failed(error.to_string()))?;
            measured.masks.push(micros(begin));
            let next = tokenizer.encode_further(rest).and_then(|ids| ids.first().copied());
            let next = next.ok_or_else(|| failed("the vocabulary cannot say it".to_owned()))?;
            let begin = Instant::now();
            matcher.accept(next).map_err(|error| failed(error.to_string()))?;
            rest = &rest[tokenizer.token_bytes(next).len()..];
            measured.tokens += 1;
            forced = matcher.take_forced().map_err(|error| failed(error.to_string()))?;
            measured.accepts.push(micros(begin));
        }
    }
    Ok(measured)
}

/// Formats as tools have them, each with an answer.
fn formats() -> Vec<(&'static str, Format, String)> {
    let by_schema =
        |name, schema: Value, answer: Value| (name, Format::JsonSchema { schema, strict: true }, answer.to_string());
    let fields: serde_json::Map<String, Value> =
        (0..10).map(|at| (format!("measurement_{at}"), json!({ "type": "integer" }))).collect();
    let values: serde_json::Map<String, Value> =
        (0..10).map(|at| (format!("measurement_{at}"), json!(at * 37))).collect();
    let text = "A long walk along the river, past the old mill and the two bridges, with a \"rest\" at the inn.";
    vec![
        by_schema(
            "ten integers",
            json!({
                "type": "object", "required": fields.keys().collect::<Vec<_>>(),
                "properties": fields, "additionalProperties": false,
            }),
            Value::Object(values),
        ),
        by_schema(
            "a tool's call",
            json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string", "pattern": "^/[a-z/]+\\.rs$" },
                    "edits": { "type": "array", "items": { "$ref": "#/$defs/Edit" }, "minItems": 1 },
                    "mode": { "enum": ["dry-run", "apply", "apply-and-commit"] },
                },
                "required": ["path", "edits", "mode"],
                "additionalProperties": false,
                "$defs": { "Edit": {
                    "type": "object",
                    "properties": { "line": { "type": "integer", "minimum": 1 }, "text": { "type": "string" } },
                    "required": ["line", "text"],
                    "additionalProperties": false,
                } },
            }),
            json!({
                "path": "/src/main.rs",
                "edits": [{ "line": 12, "text": text }, { "line": 40, "text": "}" }],
                "mode": "apply-and-commit",
            }),
        ),
        by_schema(
            "text of bounded length",
            json!({ "type": "object", "properties": { "story": { "type": "string", "maxLength": 500 } }, "required": ["story"] }),
            json!({ "story": text }),
        ),
        ("any object", Format::JsonObject, json!({ "a": [1, 2.5, null], "story": text }).to_string()),
        (
            "a regular expression",
            Format::Regex(r"[A-Z][a-z]+, \d{4}-\d{2}-\d{2}".to_owned()),
            "Tuesday, 2026-11-24".to_owned(),
        ),
    ]
}
