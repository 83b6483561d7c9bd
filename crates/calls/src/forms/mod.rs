//! What families write around calls, for reading and for grammars alike.

mod gemma;
mod json;
mod named;
mod python;
mod tagged;

pub(crate) use gemma::Gemma;
pub(crate) use json::{Json, LFM};
pub(crate) use named::Named;
pub(crate) use python::Python;
pub(crate) use tagged::{Tags, Told};

use crate::Style;

/// The markers between messages in channels, and inside of their heads.
pub(crate) const CHANNEL_MARKERS: [&str; 6] =
    ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>"];

/// How a style writes calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// JSON objects.
    Json(&'static Json),
    /// A name and a JSON object.
    Named(&'static Named),
    /// Arguments one by one between tags.
    Tagged(&'static Tags),
    /// Calls in Python.
    Pythonic(&'static Python),
    /// Gemma's own notation.
    Gemma(&'static Gemma),
    /// Messages in channels.
    Channels,
}

impl Style {
    /// How it writes calls, if nothing else is said.
    pub(crate) fn form(self) -> Form {
        match self {
            Style::Hermes | Style::Generic => Form::Json(&json::HERMES),
            Style::Granite => Form::Json(&json::GRANITE),
            Style::Phi4Mini => Form::Json(&json::PHI),
            Style::CommandR => Form::Json(&json::COMMAND_R),
            Style::Nemotron => Form::Json(&json::NEMOTRON),
            Style::Jamba => Form::Json(&json::JAMBA),
            Style::Apertus => Form::Json(&json::APERTUS),
            Style::Mistral => Form::Json(&json::MISTRAL),
            Style::Llama3 => Form::Json(&json::BARE),
            Style::MistralNamed => Form::Named(&named::MISTRAL),
            Style::DeepSeekV3 => Form::Named(&named::DEEPSEEK_V3),
            Style::DeepSeekV31 => Form::Named(&named::DEEPSEEK_V31),
            Style::KimiK2 => Form::Named(&named::KIMI),
            Style::Qwen3Coder => Form::Tagged(&tagged::QWEN_CODER),
            Style::SeedOss => Form::Tagged(&tagged::SEED_OSS),
            Style::MiniMax => Form::Tagged(&tagged::MINIMAX),
            Style::Glm => Form::Tagged(&tagged::GLM),
            Style::DeepSeekV32 => Form::Tagged(&tagged::DEEPSEEK_V32),
            Style::DeepSeekV4 => Form::Tagged(&tagged::DEEPSEEK_V4),
            Style::Llama4Pythonic => Form::Pythonic(&python::BARE),
            Style::Lfm2 => Form::Pythonic(&python::LFM),
            Style::Olmo3 => Form::Pythonic(&python::OLMO),
            Style::FunctionGemma => Form::Gemma(&gemma::FUNCTION_GEMMA),
            Style::Gemma4 => Form::Gemma(&gemma::GEMMA4),
            Style::Harmony => Form::Channels,
        }
    }

    /// The markers behind which its calls begin, and how they are written there: some models have several ways.
    pub(crate) fn openers(self) -> Vec<(&'static str, Form)> {
        let others: &[(&str, Form)] = match self {
            Style::Qwen3Coder => &[("<function=", Form::Tagged(&tagged::QWEN_CODER))],
            Style::Granite => &[("<tool_call>", Form::Json(&json::GRANITE))],
            Style::Llama3 => {
                &[("<|python_tag|>", Form::Json(&json::LLAMA3)), ("<|python_start|>", Form::Json(&json::LLAMA4))]
            }
            Style::Llama4Pythonic => &[("<|python_start|>", Form::Pythonic(&python::LLAMA4))],
            _ => &[],
        };
        let form = self.form();
        let open = match form {
            Form::Json(json) => json.open,
            Form::Named(named) => named.begin,
            Form::Tagged(tags) => tags.begin,
            Form::Pythonic(python) => python.open,
            Form::Gemma(gemma) => gemma.open,
            Form::Channels => "",
        };
        let own = Some((open, form)).filter(|_| !open.is_empty());
        own.into_iter().chain(others.iter().copied()).collect()
    }

    /// The character with which its calls begin if they have no marker: then they are the whole answer.
    pub(crate) fn bare(self) -> Option<char> {
        match self {
            Style::Llama3 => Some('{'),
            Style::Llama4Pythonic => Some('['),
            _ => None,
        }
    }

    /// Markers that frame its answers and say nothing.
    pub(crate) fn frames(self) -> &'static [&'static str] {
        match self {
            Style::CommandR => &["<|START_RESPONSE|>", "<|END_RESPONSE|>"],
            _ => &[],
        }
    }
}
