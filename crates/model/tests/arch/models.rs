//! Which models there are, and where they come from.

use std::path::Path;

use parkade_model::gguf::Gguf;

use crate::answers::Answers;

/// Models that generate text.
pub const GENERATES: &[&str] = &[
    "dots1-Q8_0",
    "ernie4_5-moe-Q8_0",
    "llama-moe-Q8_0",
    "llama-spm-Q8_0",
    "llama3-rope-Q8_0",
    "qwen2-Q8_0",
    "qwen2moe-Q8_0",
    "qwen3-Q8_0",
    "qwen3moe-Q8_0",
    "qwen3moe-q4km-Q4_K_M",
];

/// A model and llama.cpp's answers, from the folder that `PARKADE_ORACLE_ARCH` names. Without it there are none, and the test says so.
pub fn find(name: &str) -> Option<(Gguf, Answers)> {
    let Some(folder) = std::env::var_os("PARKADE_ORACLE_ARCH") else {
        eprintln!("skipped: PARKADE_ORACLE_ARCH names no folder of models and answers");
        return None;
    };
    let path = Path::new(&folder).join(format!("{name}.gguf"));
    let gguf = Gguf::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Some((gguf, Answers::read(&path.with_extension("json"))))
}
