//! `parkade embed`: texts to embeddings, a line of JSON each.

use std::collections::VecDeque;
use std::io::{self, BufRead, Write};

use parkade_core::{
    Bos, EngineConfig, Event, LoadError, Loaded, Refusal, Request, RequestError, RequestStream, SpecialTokens,
    TaskKind, TokenizerError, cut_end, normalize,
};
use serde::Serialize;

use crate::args::EmbedArgs;
use crate::loading::{self, TooMuchMemory};
use crate::machine::Machine;
use crate::models::{self, ModelError};

/// Texts that are computed at once.
const AT_ONCE: usize = 32;

/// Why there are no embeddings.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The model's file is not there.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The KV cache cannot fit.
    #[error(transparent)]
    Memory(#[from] TooMuchMemory),
    /// The model cannot be used.
    #[error("cannot load the model: {0}")]
    Load(#[from] LoadError),
    /// The model does something else.
    #[error(
        "the model {}; {}; give one that gives embeddings (--model), or say how it pools (--pooling)",
        .0.verb(),
        loading::takers(*.0)
    )]
    Task(TaskKind),
    /// There are fewer values than are wanted.
    #[error("dimensions is {wanted}; the model gives {given} at most")]
    Dimensions {
        /// How many are wanted.
        wanted: usize,
        /// How many there are.
        given: usize,
    },
    /// A line is no text.
    #[error("line {0} of standard input is not UTF-8; convert it, as `iconv -f ISO-8859-1 -t UTF-8` does")]
    NotUtf8(usize),
    /// Standard input cannot be read.
    #[error("cannot read from standard input: {0}")]
    Input(io::Error),
    /// A text cannot be tokenised.
    #[error("text {number}: {source}")]
    Tokens {
        /// Its number, from 0.
        number: usize,
        /// What the tokenizer says.
        source: TokenizerError,
    },
    /// A text was refused.
    #[error("text {number}: {source}")]
    Refused {
        /// Its number, from 0.
        number: usize,
        /// Why.
        source: Refusal,
    },
    /// The engine failed.
    #[error("text {number}: {source}")]
    Failed {
        /// Its number, from 0.
        number: usize,
        /// Why.
        source: RequestError,
    },
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl EmbedError {
    /// The settings that it is about, or the fields of a configuration that they fill.
    #[must_use]
    pub fn settings(&self) -> Vec<&str> {
        match self {
            EmbedError::Model(_) | EmbedError::Task(_) => vec!["model"],
            EmbedError::Memory(_) => vec!["kv-cache-mb"],
            EmbedError::Load(error) => vec![loading::setting_of(error)],
            _ => Vec::new(),
        }
    }
}

/// A line of the output.
#[derive(Serialize)]
struct Line {
    index: usize,
    embedding: Vec<f32>,
    prompt_tokens: usize,
}

/// Runs the command.
///
/// # Errors
/// See [`EmbedError`].
pub fn run(args: &EmbedArgs, input: impl BufRead, out: &mut impl Write) -> Result<(), EmbedError> {
    let path = models::locate(&args.model.model)?;
    let engine = EngineConfig { max_seqs: AT_ONCE, ..EngineConfig::default() };
    let options = loading::options(&args.model, engine, &Machine::read())?;
    let loaded = parkade_core::load(&path, &options)?;
    if loaded.engine.task() != TaskKind::Embed {
        return Err(EmbedError::Task(loaded.engine.task()));
    }
    let given = loaded.engine.embedder().map_or(0, |embedder| embedder.outputs);
    if let Some(wanted) = args.dimensions.filter(|&wanted| wanted > given) {
        return Err(EmbedError::Dimensions { wanted, given });
    }
    let mut running = VecDeque::new();
    let mut texts: Box<dyn Iterator<Item = io::Result<String>>> = match args.texts.is_empty() {
        true => Box::new(input.lines()),
        false => Box::new(args.texts.iter().cloned().map(Ok)),
    };
    let mut number = 0;
    loop {
        while running.len() < AT_ONCE
            && let Some(text) = texts.next()
        {
            let text = text.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => EmbedError::NotUtf8(number + 1),
                _ => EmbedError::Input(error),
            });
            running.push_back((number, submit(&loaded, args, number, &text?)?));
            number += 1;
        }
        let Some((number, stream)) = running.pop_front() else { return Ok(()) };
        let mut line = finish(number, stream)?;
        normalize(&mut line.embedding, args.dimensions);
        serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
}

fn submit(loaded: &Loaded, args: &EmbedArgs, number: usize, text: &str) -> Result<RequestStream, EmbedError> {
    let encoded = loaded.tokenizer.encode(text, SpecialTokens::Parse, Bos::AsModel);
    let mut tokens = encoded.map_err(|source| EmbedError::Tokens { number, source })?;
    if args.truncate {
        cut_end(&mut tokens, loaded.config.context_length, loaded.tokenizer.eos());
    }
    let request = Request { task: TaskKind::Embed, ..Request::new(number.to_string(), tokens) };
    loaded.engine.submit(request).map_err(|source| EmbedError::Refused { number, source })
}

/// Waits for an embedding.
fn finish(number: usize, mut stream: RequestStream) -> Result<Line, EmbedError> {
    let mut embedding = Vec::new();
    loop {
        match stream.blocking_next() {
            Some(Event::Embedding(values)) => embedding = values,
            Some(Event::Done(usage)) => {
                return Ok(Line { index: number, embedding, prompt_tokens: usage.prompt_tokens });
            }
            Some(Event::Failed(source)) => return Err(EmbedError::Failed { number, source }),
            Some(_) => {}
            None => return Err(EmbedError::Failed { number, source: RequestError::Stopped }),
        }
    }
}
