//! What answers say besides their text if they are asked to, under vLLM's names and llama.cpp's.

use parkade_core::{EndToken, Event, PromptProgress, TokenLogprob, Usage};
use parkade_model::TokenId;
use parkade_model::tokenizer::Tokenizer;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::dialects::numbers;
use crate::dialects::progress::PromptReport;
use crate::dialects::request::Details;
use crate::dialects::timings::{Stopwatch, Timings};

/// llama.cpp's `__verbose`, as far as there is something in it that is nowhere else.
#[derive(Serialize)]
pub(super) struct Verbose<'a> {
    prompt: &'a str,
}

/// What is said besides if it is asked for.
pub(super) fn verbosity(details: &Details) -> Option<Verbose<'_>> {
    details.verbose.as_deref().map(|prompt| Verbose { prompt })
}

/// A choice, and what vLLM has in it besides.
#[derive(Serialize)]
pub(super) struct Detailed<'a, Choice> {
    #[serde(flatten)]
    pub choice: Choice,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_ids: Option<Vec<TokenId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_token_ids: Option<&'a [TokenId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_logprobs: Option<Value>,
}

/// vLLM's `prompt_logprobs`: for each token of a prompt the likeliest ones and itself, by their ids. Ranks are known of the likeliest.
pub(super) fn prompt_logprobs(tokenizer: &Tokenizer, tokens: &[Option<TokenLogprob>]) -> Value {
    let entry = |id: TokenId, logprob: f32, rank: Option<usize>| {
        let text = String::from_utf8_lossy(tokenizer.written_bytes(id)).into_owned();
        (id.to_string(), json!({"logprob": numbers::logprob(logprob), "rank": rank, "decoded_token": text}))
    };
    let place = |token: &TokenLogprob| -> Value {
        let ranked = token.top.iter().enumerate();
        let mut entries: Map<String, Value> =
            ranked.map(|(place, &(id, logprob))| entry(id, logprob, Some(place + 1))).collect();
        let (name, own) = entry(token.id, token.logprob, None);
        entries.entry(name).or_insert(own);
        Value::Object(entries)
    };
    tokens.iter().map(|token| token.as_ref().map_or(Value::Null, place)).collect()
}

/// How far a streamed answer is.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    watch: Stopwatch,
    prompt_tokens: usize,
    completion_tokens: usize,
    /// For each choice, the tokens that no chunk has told of yet, and whether there was a chunk.
    untold: Vec<(Vec<TokenId>, bool)>,
}

impl Meter {
    /// For so many choices.
    pub fn new(details: &Details, choices: usize) -> Self {
        Self {
            watch: Stopwatch::start(),
            prompt_tokens: details.prompt_tokens,
            completion_tokens: 0,
            untold: vec![(Vec::new(), false); choices],
        }
    }

    /// An event of a choice, before its chunk is written.
    pub fn note(&mut self, index: usize, event: &Event) {
        let id = match event {
            Event::Token { id, .. } => *id,
            Event::Finished { end_token: Some(EndToken { id, is_said: false }), .. } => *id,
            _ => return,
        };
        self.token();
        self.untold[index].0.push(id);
    }

    /// There is another token.
    pub fn token(&mut self) {
        self.watch.token();
        self.completion_tokens += 1;
    }

    /// The tokens of a choice that were not told of, and whether its first chunk is written.
    pub fn take(&mut self, index: usize) -> (Vec<TokenId>, bool) {
        let (tokens, begun) = &mut self.untold[index];
        (std::mem::take(tokens), !std::mem::replace(begun, true))
    }

    /// How much of a prompt is computed.
    pub fn progress(&self, told: &PromptProgress) -> PromptReport {
        PromptReport::new(told, &self.watch)
    }

    /// What was used so far.
    pub fn usage(&self) -> Usage {
        self.watch.usage(self.prompt_tokens, self.completion_tokens)
    }

    /// How fast it went so far; nothing before the first token.
    pub fn timings(&self) -> Option<Timings> {
        (self.completion_tokens > 0).then(|| Timings::of(&self.usage()))
    }
}
