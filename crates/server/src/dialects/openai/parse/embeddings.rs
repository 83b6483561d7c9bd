//! `POST /v1/embeddings`: from the body to a request for each text.

use parkade_core::{TaskKind, Usage, normalize};
use parkade_model::tokenizer::{Bos, SpecialTokens};
use serde_json::Value;

use crate::dialects::fields::Fields;
use crate::dialects::openai::encode::embeddings::{self, Encoding};
use crate::dialects::openai::parse::completions::{Prompt, check_ids, prompts};
use crate::dialects::openai::parse::text_fields::TextFields;
use crate::generate::{AppState, Sender, TextOperation, Texts, untokenisable};
use crate::http::ApiError;

/// The field that the texts come from.
const INPUT: &str = "input";

/// The most texts in one request, as in OpenAI's API.
const MAX_TEXTS: usize = 2048;

/// The fields beside those that all texts have.
const OWN: &[&str] = &[INPUT, "dimensions", "encoding_format"];

/// How embeddings are written.
const ENCODINGS: &[(&str, Encoding)] = &[("float", Encoding::Float), ("base64", Encoding::Base64)];

/// The embeddings of texts.
pub(crate) struct Embeddings;

impl Embeddings {
    /// The fields that are read.
    pub fn fields() -> impl Iterator<Item = &'static str> {
        TextFields::names(OWN)
    }
}

impl TextOperation for Embeddings {
    fn read(state: &AppState, body: &Value, from: &Sender<'_>) -> Result<Texts, ApiError> {
        let fields = Fields::top(body)?;
        let (model, common, ignored) = TextFields::read(state, &fields, TaskKind::Embed, OWN)?;
        let width = model.engine.embedder().map_or(1, |embedder| embedder.outputs);
        let dimensions = fields.integer("dimensions", 1..=width)?;
        let encoding = fields.word("encoding_format", ENCODINGS)?.unwrap_or(Encoding::Float);
        let texts = prompts(&fields, INPUT, MAX_TEXTS, model.config.vocab)?;
        let is_one = match fields.get(INPUT) {
            Some(Value::Array(list)) => list.first().is_some_and(Value::is_number),
            _ => true,
        };
        let mut requests = Vec::with_capacity(texts.len());
        for (number, text) in texts.into_iter().enumerate() {
            let path = if is_one { INPUT.to_owned() } else { format!("{INPUT}[{number}]") };
            let tokens = match text {
                Prompt::Text("") => {
                    let message = format!("{path} is an empty string; send a text");
                    return Err(ApiError::invalid_value(path, message));
                }
                Prompt::Text(text) => model
                    .tokenizer
                    .encode(text, SpecialTokens::Parse, Bos::AsModel)
                    .map_err(|error| untokenisable(INPUT, &error))?,
                Prompt::Tokens(tokens) => {
                    check_ids(&model, &tokens, &path)?;
                    tokens
                }
            };
            let around = common.around_text(&model, &tokens);
            requests.push(common.request(from, &model, (number, &path), around, tokens)?);
        }
        let name = model.name.clone();
        let write = move |mut values: Vec<Vec<f32>>, usage: &Usage| {
            values.iter_mut().for_each(|embedding| normalize(embedding, dimensions));
            embeddings::write(&name, &values, encoding, usage)
        };
        Ok(Texts { model, requests, field: INPUT, ignored, write: Box::new(write) })
    }
}
