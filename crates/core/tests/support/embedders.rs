//! The random Llama of the tests as models that embed: the same weights, with other words in their metadata.

use std::fs::File;
use std::path::{Path, PathBuf};

use parkade_model::gguf::write::GgufWriter;
use parkade_model::gguf::{Gguf, Value};

/// Pools the hidden states in this way: GGUF's number of it.
pub fn pooling(kind: u32) -> (&'static str, Value) {
    ("llama.pooling_type", Value::U32(kind))
}

/// Sees texts both ways.
pub fn two_way() -> (&'static str, Value) {
    ("llama.attention.causal", Value::Bool(false))
}

/// Writes a copy of the tiny Llama with further metadata. As a reranker it takes its classifier from the rows of its embeddings.
pub fn tiny_with(folder: &Path, metadata: &[(&str, Value)]) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/tiny/llama-F32.gguf");
    let gguf = Gguf::open(Path::new(source)).expect("the tiny model");
    let mut writer = GgufWriter::new();
    for (key, value) in gguf.metadata().chain(metadata.iter().map(|(key, value)| (*key, value))) {
        writer.set(key, value.clone());
    }
    for tensor in gguf.tensors() {
        writer.tensor(&tensor.name, tensor.ty, &tensor.shape).expect("a tensor of the tiny model");
    }
    let table = gguf.tensor("token_embd.weight").expect("a table");
    if metadata.contains(&pooling(4)) {
        writer.tensor("cls.output.weight", table.ty, &[table.shape[0], 1]).expect("a classifier");
    }
    let path = folder.join("tiny.gguf");
    let mut file = File::create(&path).expect("a file");
    let written = writer.write(&mut file, |planned| {
        let mut data = Vec::new();
        gguf.read(gguf.tensor(&planned.name).unwrap_or(table), &mut data).expect("its data");
        data.truncate(planned.bytes);
        Ok(data)
    });
    written.expect("a model");
    path
}
