//! Which models there are, and where they come from.

use std::path::{Path, PathBuf};

use parkade_model::gguf::Gguf;
use parkade_synth::Model;

use crate::answers::Answers;
use crate::rewrite::with_context;

/// Models that generate text.
pub const GENERATES: &[&str] = &[
    "bailingmoe2-Q8_0",
    "cohere2-Q8_0",
    "command-r-Q8_0",
    "deepseek2-Q8_0",
    "deepseek2-lite-Q8_0",
    "deepseek2-lite-mla-Q8_0",
    "dots1-Q8_0",
    "ernie4_5-Q8_0",
    "ernie4_5-moe-Q8_0",
    "exaone4-Q8_0",
    "exaone4-swa-Q8_0",
    "gemma2-Q8_0",
    "gemma3-Q8_0",
    "gemma3-ropescale-Q8_0",
    "falcon-h1-Q8_0",
    "gemma3n-Q4_0",
    "gemma4-Q8_0",
    "gemma4-moe-Q8_0",
    "glm4-Q8_0",
    "glm4moe-Q8_0",
    "gpt-oss-MXFP4",
    "gpt-oss-q8-Q8_0",
    "granite-Q8_0",
    "granitehybrid-Q8_0",
    "granitehybrid-dense-Q8_0",
    "granitemoe-Q8_0",
    "hunyuan-dense-Q8_0",
    "lfm2-Q8_0",
    "lfm2moe-Q8_0",
    "mamba2-Q8_0",
    "llama-moe-Q8_0",
    "llama4-Q8_0",
    "llama-spm-Q8_0",
    "llama3-rope-Q8_0",
    "minicpm-Q8_0",
    "minicpm3-Q8_0",
    "mistral3-Q8_0",
    "nemotron-Q8_0",
    "olmo2-Q8_0",
    "olmo3-Q8_0",
    "olmoe-Q8_0",
    "phi3-Q8_0",
    "phi3-longrope-long-Q8_0",
    "phi3-longrope-short-Q8_0",
    "qwen2-Q8_0",
    "qwen2moe-Q8_0",
    "qwen3-Q8_0",
    "qwen3moe-Q8_0",
    "qwen3next-Q8_0",
    "qwen3next-fused-Q8_0",
    "qwen35-Q8_0",
    "qwen35moe-Q8_0",
    "qwen3moe-q4km-Q4_K_M",
    "rwkv7-Q8_0",
    "seed_oss-Q8_0",
    "smollm3-Q8_0",
    "stablelm-12b-Q8_0",
    "stablelm-Q8_0",
    "starcoder2-Q8_0",
];

/// Models that embed texts, or rank them.
pub const TEXTS: &[&str] = &[
    "bert-Q8_0",
    "bert-cls-Q8_0",
    "bert-rerank-Q8_0",
    "gemma-embedding-Q8_0",
    "jina-bert-v2-Q8_0",
    "jina-bert-v2-code-Q8_0",
    "jina-bert-v2-rerank-Q8_0",
    "modern-bert-Q8_0",
    "modern-bert-rerank-Q8_0",
    "nomic-bert-Q8_0",
    "nomic-bert-moe-Q8_0",
    "qwen3-embedding-Q8_0",
    "qwen3-rerank-Q8_0",
    "xlm-roberta-Q8_0",
    "xlm-roberta-rerank-Q8_0",
];

/// A model and llama.cpp's answers, see [`sources`].
pub fn find(name: &str) -> Vec<(Gguf, Answers)> {
    let read = |(gguf, path): (Gguf, PathBuf)| {
        let answers = Answers::read(&path);
        (with_context(&gguf, answers.ctx), answers)
    };
    sources(name).into_iter().map(read).collect()
}

/// A model by its name, which ends with the type of its weights, and the file of llama.cpp's answers to it: the one that `parkade_synth` makes, and
/// the one of that name in the folder that `PARKADE_ORACLE_ARCH` names, if it does.
pub fn sources(name: &str) -> Vec<(Gguf, PathBuf)> {
    let shape = format!("tiny-{}", name.rsplit_once('-').unwrap().0);
    let model = Model::new(&shape, 1, 1, None).unwrap_or_else(|e| panic!("{name}: {e}"));
    let answers = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/arch/answers/{shape}.json"));
    let mut found = vec![(Gguf::from_bytes(model.to_bytes().unwrap()).unwrap(), answers)];
    if let Some(folder) = std::env::var_os("PARKADE_ORACLE_ARCH") {
        let path = Path::new(&folder).join(format!("{name}.gguf"));
        let gguf = Gguf::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        found.push((gguf, path.with_extension("json")));
    }
    found
}
