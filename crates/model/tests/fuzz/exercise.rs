//! All that a server does with a model file, on one file.

use std::sync::Arc;

use parkade_kernels::{KvType, SlotPair, Span, Team};
use parkade_model::chat_template::{ChatInput, ChatTemplate};
use parkade_model::gguf::Gguf;
use parkade_model::tokenizer::{Bos, SpecialTokens, TextStream, Tokenizer};
use parkade_model::{Batch, Model, Outputs};
use serde_json::{Map, json};

/// How far a file came.
#[derive(Debug)]
pub enum Outcome {
    /// Some part of it was refused.
    Refused,
    /// All of it worked.
    Ran {
        /// Bytes of weights.
        weights: usize,
    },
}

impl Outcome {
    /// Memory that may have been mapped instead of allocated.
    pub fn mapped(&self) -> usize {
        match self {
            Outcome::Refused => 0,
            Outcome::Ran { weights } => *weights,
        }
    }
}

/// Bytes of a prompt up to which it is tokenised.
const LONGEST_PROMPT: usize = 1 << 20;
const TEXTS: &[&str] = &[
    "",
    "The capital of France is Paris.",
    "<|im_start|>user\nHi!<|im_end|>\n<s></s><unk><think>",
    " \n\n\t  é日本🙂\u{301}\0'll 12345",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// Opens, tokenises, renders, loads and computes. Errors are fine as long as they can be told.
pub fn model_file(bytes: Vec<u8>, team: &Arc<Team>) -> Outcome {
    let gguf = match Gguf::from_bytes(bytes) {
        Ok(gguf) => gguf,
        Err(error) => return refused(error),
    };
    let told: usize = gguf.metadata().map(|(key, value)| key.len() + value.to_string().len()).sum();
    let unusable: usize = gguf.unusable().map(|(key, problem)| key.len() + problem.len()).sum();
    std::hint::black_box(told + unusable + gguf.name().len());

    let text = text(&gguf);
    let model = match Model::load(&gguf, Arc::clone(team)) {
        Ok(model) => model,
        Err(error) => return refused(error),
    };
    drop(gguf);
    match (text, compute(model)) {
        (Ok(()), Some(weights)) => Outcome::Ran { weights },
        _ => Outcome::Refused,
    }
}

fn refused(error: impl std::error::Error) -> Outcome {
    assert!(!error.to_string().is_empty());
    Outcome::Refused
}

/// Text to tokens and back, and a conversation to a prompt.
fn text(gguf: &Gguf) -> Result<(), Outcome> {
    let tokenizer = Tokenizer::from_gguf(gguf).map_err(refused)?;
    for text in TEXTS {
        for special in [SpecialTokens::Parse, SpecialTokens::AsText] {
            let Ok(ids) = tokenizer.encode(text, special, Bos::AsModel) else { continue };
            assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
            tokenizer.decode(&ids);
            let mut stream = TextStream::new();
            let shown: usize = ids.iter().map(|&id| stream.push(&tokenizer, id).len()).sum();
            std::hint::black_box(shown + stream.finish().len());
        }
    }
    let _ = tokenizer.encode_pair(TEXTS[1], TEXTS[3]);
    for id in [0, 1, tokenizer.vocab_size() as u32 - 1, u32::MAX] {
        std::hint::black_box((tokenizer.token_text(id), tokenizer.is_end(id), tokenizer.is_markup(id)));
    }
    let Some(template) = ChatTemplate::from_gguf(gguf, &tokenizer).map_err(refused)? else { return Ok(()) };
    let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi<|im_end|>"}]);
    let input = ChatInput {
        messages: &messages,
        tools: None,
        documents: None,
        add_generation_prompt: true,
        extra: &Map::new(),
    };
    let prompt = template.render(&input).map_err(refused)?;
    // A server refuses what is longer than any context, unread.
    if prompt.text().len() <= LONGEST_PROMPT {
        let _ = tokenizer.encode_prompt(&prompt);
    }
    Ok(())
}

/// Bytes of a state that is computed.
const LARGEST_STATE: usize = 64 << 20;

/// One forward pass; the bytes of the weights, unless the cache was refused.
fn compute(mut model: Model) -> Option<usize> {
    let vocab = model.config().vocab as u32;
    let rows = model.config().context_length.min(3);
    let tokens: Vec<u32> = (0..rows as u32).map(|n| (n * 7 + 1) % vocab).collect();
    let table: Vec<u32> = (0..).take(model.kv_layout().groups()).collect();
    let mut kv = model.new_kv_cache(table.len(), 16, KvType::F16).ok()?;
    // A small file can ask for much; who serves it has a budget.
    let mut states = model.new_states(usize::from(model.state_bytes() <= LARGEST_STATE)).ok()?;
    if states.slots() == 0 {
        return None;
    }
    let slots: &[SlotPair] = if model.state_bytes() > 0 { &[SlotPair { from: None, to: 0 }] } else { &[] };
    let last = [rows - 1];
    let (outputs, values) = match model.embedder() {
        None => (Outputs::Logits(&last), vocab as usize),
        Some(embedder) => (Outputs::Hidden(&last), embedder.hidden),
    };
    let mut out = Vec::new();
    let spans = [Span { first_row: 0, rows, past: 0, blocks: &table }];
    let batch = Batch { tokens: &tokens, spans: &spans, states: slots, outputs };
    model.forward(&batch, &mut kv, &mut states, &mut out).unwrap();
    assert_eq!(out.len(), values);
    if let Some(embedder) = model.embedder() {
        model.finish(1, &mut out);
        assert_eq!(out.len(), embedder.outputs);
    }
    Some(model.weight_bytes())
}
