//! `POST /v1/rerank`: from the body to a request for each document.

use parkade_core::{TaskKind, Usage};
use serde_json::Value;

use crate::dialects::fields::{Fields, wrong_type};
use crate::dialects::openai::encode::embeddings::{Ranked, write_ranked, write_ranked_plainly};
use crate::dialects::openai::parse::text_fields::TextFields;
use crate::generate::{AppState, Sender, TextOperation, Texts, untokenisable};
use crate::http::ApiError;

/// The most documents in one request.
const MAX_DOCUMENTS: usize = 2048;

/// The fields beside those that all texts have.
const OWN: &[&str] =
    &["query", "documents", "texts", "top_n", "top_k", "return_documents", "return_text", "raw_scores"];

/// The order of documents by how well they match a query.
pub(crate) struct Rerank;

impl Rerank {
    /// The fields that are read.
    pub fn fields() -> impl Iterator<Item = &'static str> {
        TextFields::names(OWN)
    }
}

impl TextOperation for Rerank {
    fn read(state: &AppState, body: &Value, from: &Sender<'_>) -> Result<Texts, ApiError> {
        let fields = Fields::top(body)?;
        let (model, common, ignored) = TextFields::read(state, &fields, TaskKind::Rank, OWN)?;
        let query = fields.string("query")?;
        let query = query.ok_or_else(|| ApiError::missing("query", "a text to compare the documents with"))?;
        if query.is_empty() {
            return Err(ApiError::invalid_value("query", "query is an empty string; send a text"));
        }
        // text-embeddings-inference calls them texts, and answers with a bare list.
        let field = fields.alias(["documents", "texts"])?;
        let is_plain = field == "texts";
        let documents = documents(&fields, field)?;
        let top = fields.limit(fields.alias(["top_n", "top_k"])?, 1)?.unwrap_or(usize::MAX);
        let returns = fields.boolean(fields.alias(["return_documents", "return_text"])?)?.unwrap_or(false);
        let raw = fields.boolean("raw_scores")?.unwrap_or(!is_plain);
        let squash = !raw && model.engine.embedder().is_some_and(|embedder| !embedder.probabilities);
        let pairs = model.pairs.clone().ok_or_else(|| {
            ApiError::bad_request("model_not_supported", "the model's file does not say how it joins two texts")
                .with_param("model")
        })?;
        let around = pairs.around(&model.tokenizer, query).map_err(|error| untokenisable("query", &error))?;
        common.check_room("query", &model, around)?;
        let mut requests = Vec::with_capacity(documents.len());
        for (number, document) in documents.iter().enumerate() {
            let path = format!("{field}[{number}]");
            let tokens = pairs.join(&model.tokenizer, query, document).map_err(|error| untokenisable(field, &error))?;
            requests.push(common.request(from, &model, (number, &path), around, tokens)?);
        }
        let name = model.name.clone();
        let texts: Vec<Option<String>> =
            documents.iter().map(|document| returns.then(|| (*document).to_owned())).collect();
        let write = move |values: Vec<Vec<f32>>, usage: &Usage| {
            let score =
                |values: &[f32]| values.first().map_or(0.0, |&score| if squash { sigmoid(score) } else { score });
            let mut ranked: Vec<Ranked<'_>> = values
                .iter()
                .zip(&texts)
                .enumerate()
                .map(|(index, (values, text))| Ranked { index, score: score(values), text: text.as_deref() })
                .collect();
            // The sort is stable: equals stay in the order in which they were sent.
            ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
            ranked.truncate(top);
            if is_plain { write_ranked_plainly(&ranked) } else { write_ranked(&name, &ranked, usage) }
        };
        Ok(Texts { model, requests, field, ignored, write: Box::new(write) })
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// A list of texts, or of objects with a `text`.
fn documents<'a>(fields: &Fields<'a>, field: &'static str) -> Result<Vec<&'a str>, ApiError> {
    const EXPECTED: &str = "a list of strings, or of objects with a text";
    let list = fields.list(field)?.ok_or_else(|| ApiError::missing(field, EXPECTED))?;
    if list.is_empty() || list.len() > MAX_DOCUMENTS {
        let message = format!("{field} has {} documents; allowed: 1 to {MAX_DOCUMENTS} in one request", list.len());
        return Err(ApiError::invalid_value(field, message));
    }
    let read = |(number, document): (usize, &'a Value)| {
        let path = format!("{field}[{number}]");
        match document {
            Value::String(text) => Ok(text.as_str()),
            Value::Object(_) => {
                let document = Fields::at(document, path.clone())?;
                document.string("text")?.ok_or_else(|| ApiError::missing(&document.name("text"), "a string"))
            }
            other => Err(wrong_type(path, other, "a string, or an object with a text")),
        }
    };
    list.iter().enumerate().map(read).collect()
}
