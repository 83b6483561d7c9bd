//! What a file holds.

use std::collections::BTreeMap;

use parkade_model::Survey;
use parkade_model::gguf::{Gguf, TensorInfo, Value};
use serde::Serialize;

/// What a file holds, as far as it can be told.
#[derive(Debug, Serialize)]
pub(super) struct Contents {
    /// The files: several if the model is split.
    pub files: Vec<String>,
    pub file_bytes: u64,
    pub name: String,
    pub architecture: Option<String>,
    pub parameters: u64,
    /// The weights by their types, the most first.
    pub types: Vec<TypeShare>,
    /// Tokens of a sequence: as asked for, or as the model was made for.
    pub context: Option<usize>,
    pub trained_context: Option<usize>,
    pub layers: Option<usize>,
    pub heads: Option<usize>,
    pub kv_heads: Option<usize>,
    pub head_dim: Option<usize>,
    pub embedding: Option<usize>,
    /// `tokenizer.ggml.model` and `tokenizer.ggml.pre`.
    pub vocabulary: Option<String>,
    pub tokens: Option<usize>,
    /// Whether the file has a chat template.
    pub chat_template: bool,
    /// The keys that begin with `general.license`.
    pub license: BTreeMap<String, String>,
}

/// The weights of a type.
#[derive(Debug, Serialize)]
pub(super) struct TypeShare {
    pub name: &'static str,
    pub tensors: usize,
    pub parameters: u64,
    pub bytes: u64,
}

impl Contents {
    pub(super) fn of(gguf: &Gguf, survey: &Survey) -> Contents {
        let text = |key: &str| gguf.get_str(key).ok().flatten().map(str::to_owned);
        let config = survey.config();
        let license = gguf.metadata().filter_map(|(key, value)| match value {
            Value::Str(text) if key.starts_with("general.license") => Some((key.to_owned(), text.clone())),
            _ => None,
        });
        let vocabulary = text("tokenizer.ggml.model").map(|model| match text("tokenizer.ggml.pre") {
            Some(pre) => format!("{model} ({pre})"),
            None => model,
        });
        Contents {
            files: gguf.files().iter().map(|file| file.display().to_string()).collect(),
            file_bytes: gguf.file_size(),
            name: gguf.name().to_owned(),
            architecture: text("general.architecture"),
            parameters: gguf.tensors().map(parameters).fold(0, u64::saturating_add),
            types: types(gguf),
            context: config.map(|config| config.context_length),
            trained_context: config.map(|config| config.trained_context),
            layers: config.map(|config| config.layers),
            heads: config.map(|config| config.heads),
            kv_heads: config.map(|config| config.kv_heads),
            head_dim: config.map(|config| config.head_dim),
            embedding: config.map(|config| config.embedding),
            vocabulary,
            tokens: config.map(|config| config.vocab),
            chat_template: gguf.get("tokenizer.chat_template").is_some(),
            license: license.collect(),
        }
    }
}

fn parameters(tensor: &TensorInfo) -> u64 {
    // The reader has found that the number can be counted.
    tensor.cols() as u64 * tensor.rows() as u64
}

fn types(gguf: &Gguf) -> Vec<TypeShare> {
    let mut types: Vec<TypeShare> = Vec::new();
    for tensor in gguf.tensors() {
        let name = tensor.ty.name();
        let at = types.iter().position(|share| share.name == name).unwrap_or_else(|| {
            types.push(TypeShare { name, tensors: 0, parameters: 0, bytes: 0 });
            types.len() - 1
        });
        let share = &mut types[at];
        share.tensors += 1;
        share.parameters += parameters(tensor);
        share.bytes += tensor.size() as u64;
    }
    types.sort_by_key(|share| std::cmp::Reverse(share.parameters));
    types
}
