//! Templates that are given by name or as a file, for models that bring none or a bad one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Limits, TemplateError};
use crate::likeness::nearest;

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("builtin/", $name, ".jinja")))),*]
    };
}

/// The names are those that llama.cpp has for the same prompts.
const BUILT_IN: &[(&str, &str)] = templates![
    "bailing",
    "chatglm3",
    "chatglm4",
    "chatml",
    "command-r",
    "deepseek",
    "deepseek2",
    "deepseek3",
    "exaone3",
    "exaone4",
    "falcon3",
    "gemma",
    "glmedge",
    "gpt-oss",
    "granite",
    "grok-2",
    "hunyuan-dense",
    "hunyuan-moe",
    "kimi-k2",
    "llama2",
    "llama2-sys",
    "llama3",
    "llama4",
    "megrez",
    "minicpm",
    "mistral-v1",
    "mistral-v3",
    "mistral-v3-tekken",
    "mistral-v7",
    "mistral-v7-tekken",
    "openchat",
    "phi3",
    "phi4",
    "rwkv-world",
    "seed_oss",
    "smolvlm",
    "solar-open",
    "vicuna",
    "vicuna-orca",
    "zephyr",
];

/// Families whose models share the template of another name.
const ALIASES: &[(&str, &str)] = &[("glm4", "chatglm4"), ("qwen", "chatml"), ("smollm", "chatml")];

/// A template that is taken instead of those in the model's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenTemplate {
    pub(super) name: String,
    pub(super) source: String,
}

impl GivenTemplate {
    /// The built-in template of a name, or the one in a file.
    ///
    /// # Errors
    /// If there is neither, or the file cannot be read or is too long.
    pub fn find(name_or_file: &str) -> Result<GivenTemplate, TemplateError> {
        let name = format!("--chat-template {name_or_file}");
        if let Some(source) = built_in(name_or_file) {
            return Ok(GivenTemplate { name, source: source.to_owned() });
        }
        if !Path::new(name_or_file).exists() {
            return Err(TemplateError::Unknown {
                name: name_or_file.to_owned(),
                nearest: nearest(name_or_file, names()),
                names: names().collect::<Vec<_>>().join(", "),
            });
        }
        let limit = Limits::default().source_bytes;
        let mut source = String::new();
        let read = File::open(name_or_file).and_then(|file| file.take(limit as u64 + 1).read_to_string(&mut source));
        match read {
            Ok(bytes) if bytes > limit => Err(TemplateError::SourceTooLong { key: name, bytes, limit }),
            Ok(_) => Ok(GivenTemplate { name, source }),
            Err(error) => Err(TemplateError::File { path: name_or_file.to_owned(), problem: error.to_string() }),
        }
    }

    /// The template itself.
    pub fn source(&self) -> &str {
        &self.source
    }
}

fn built_in(name: &str) -> Option<&'static str> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, of)| of);
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, source)| *source)
}

/// All names of built-in templates.
fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().chain(ALIASES).map(|(name, _)| *name)
}
