//! A text for a model that was loaded: does it do what it is for?

use parkade_core::{Bos, Event, Loaded, Request, RequestStream, SamplingParams, SpecialTokens, TaskKind, Usage};

/// What the test answer continues, and how far.
const PROMPT: &str = "The capital of France is";
const TOKENS: usize = 16;
/// What a reranker compares.
const PAIR: [&str; 2] = ["What is the capital of France?", "The capital of France is Paris."];

/// What a model makes of a text, as the end of a line that tells of it.
///
/// # Errors
/// Why it makes nothing of it.
pub(super) fn answer(loaded: &Loaded) -> Result<String, String> {
    let mut stream = submit(loaded)?;
    let (mut continued, mut values) = (String::new(), Vec::new());
    let usage = loop {
        match stream.blocking_next() {
            Some(Event::Token { text, .. } | Event::Finished { text, .. }) => continued.push_str(&text),
            Some(Event::Embedding(embedding)) => values = embedding,
            Some(Event::Failed(error)) => return Err(error.to_string()),
            Some(Event::Done(usage)) => break usage,
            Some(_) => {}
            None => return Err("the engine ended without an answer".to_owned()),
        }
    };
    let first_line = continued.trim().lines().next().unwrap_or_default();
    match loaded.engine.task() {
        TaskKind::Generate => Ok(format!("{}: \"{PROMPT} {first_line}\"", pace(&usage))),
        _ if values.is_empty() || !values.iter().all(|value| value.is_finite()) => {
            Err("what it makes of a text are no numbers: the file is damaged, or its weights are; download it again"
                .to_owned())
        }
        TaskKind::Embed => Ok(format!(": an embedding of {} values for \"{PROMPT}\"", values.len())),
        TaskKind::Rank => Ok(format!(": a score of {:.2} for \"{}\" \"{}\"", values[0], PAIR[0], PAIR[1])),
    }
}

/// Hands in what the model is for.
fn submit(loaded: &Loaded) -> Result<RequestStream, String> {
    let task = loaded.engine.task();
    let request = match (task, &loaded.pairs) {
        (TaskKind::Generate, _) => Request {
            sampling: SamplingParams::greedy(),
            max_tokens: Some(TOKENS),
            ignore_eos: true,
            ..loaded.completion("doctor", PROMPT).map_err(|error| error.to_string())?
        },
        (_, Some(pairs)) => {
            let joined = pairs.join(&loaded.tokenizer, PAIR[0], PAIR[1]);
            Request::new("doctor", joined.map_err(|error| error.to_string())?)
        }
        (_, None) => {
            let encoded = loaded.tokenizer.encode(PROMPT, SpecialTokens::AsText, Bos::AsModel);
            Request::new("doctor", encoded.map_err(|error| error.to_string())?)
        }
    };
    loaded.engine.submit(Request { task, ..request }).map_err(|error| error.to_string())
}

/// The tokens a second after the first one.
fn pace(usage: &Usage) -> String {
    let decoding = usage.total.saturating_sub(usage.first_token.unwrap_or(usage.total)).as_secs_f64();
    let tokens = usage.completion_tokens.saturating_sub(1);
    if decoding > 0.0 && tokens > 0 { format!(", {:.0} tok/s", tokens as f64 / decoding) } else { String::new() }
}
