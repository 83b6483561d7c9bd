//! What `parkade serve` gives requests that do not say how they want to be answered.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args};
use parkade_server::Defaults;

use crate::numbers::{decimal, whole};

/// Defaults for what a request leaves out.
#[derive(Debug, Args)]
#[command(next_help_heading = "Answers, where a request does not say")]
pub struct AnswerArgs {
    /// 0 always takes the likeliest token [default: 1, and 0.8 at llama.cpp's paths]
    #[arg(long, value_name = "T", env = "PARKADE_TEMPERATURE", hide_env = true, value_parser = decimal)]
    pub temperature: Option<f32>,
    /// Only among the K likeliest tokens, 0 for all [default: 0, and 40 at llama.cpp's paths]
    #[arg(long, value_name = "K", env = "PARKADE_TOP_K", hide_env = true, value_parser = whole::<u32>(0..=u32::MAX))]
    pub top_k: Option<u32>,
    /// Only among the likeliest tokens that together have probability P [default: 1, and 0.95 at llama.cpp's paths]
    #[arg(long, value_name = "P", env = "PARKADE_TOP_P", hide_env = true, value_parser = decimal)]
    pub top_p: Option<f32>,
    /// Only tokens with at least P times the likeliest one's probability [default: 0, and 0.05 at llama.cpp's paths]
    #[arg(long, value_name = "P", env = "PARKADE_MIN_P", hide_env = true, value_parser = decimal)]
    pub min_p: Option<f32>,
    /// Same seed, same answer [default: another one each time]
    #[arg(long, value_name = "N", env = "PARKADE_SEED", hide_env = true, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: Option<u64>,
    /// Longest answer, in tokens [default: as long as there is room, and 16 at /v1/completions]
    #[arg(long, value_name = "N", env = "PARKADE_MAX_TOKENS", hide_env = true, value_parser = whole::<u32>(1..=u32::MAX))]
    pub max_tokens: Option<u32>,
    /// Whether the model thinks before it answers
    #[arg(long, value_name = "HOW", env = "PARKADE_THINKING", hide_env = true, default_value = "auto", value_parser = thinking_parser())]
    pub thinking: Thinking,
    /// Whether the answer to a chat that ends with a message of the assistant's goes on with that message, as at llama.cpp's server
    #[arg(
        long,
        value_name = "BOOL",
        env = "PARKADE_PREFILL_ASSISTANT",
        hide_env = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value_t = false
    )]
    pub prefill_assistant: bool,
}

/// Whether a model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// As its chat template has it.
    Auto,
    /// It is told to.
    On,
    /// It is told not to, and kept from it if it cannot be told.
    Off,
}

impl AnswerArgs {
    /// The same, as the server takes them.
    pub fn defaults(&self) -> Defaults {
        Defaults {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            seed: self.seed,
            max_tokens: self.max_tokens.and_then(|most| usize::try_from(most).ok()),
            thinking: match self.thinking {
                Thinking::Auto => None,
                Thinking::On => Some(true),
                Thinking::Off => Some(false),
            },
            prefill: self.prefill_assistant,
        }
    }
}

fn thinking_parser() -> impl TypedValueParser<Value = Thinking> {
    let words = [("auto", "As its chat template has it"), ("on", "It is told to"), ("off", "It is told not to")];
    let values = words.map(|(word, help)| PossibleValue::new(word).help(help));
    PossibleValuesParser::new(values).map(|word| match word.as_str() {
        "on" => Thinking::On,
        "off" => Thinking::Off,
        _ => Thinking::Auto,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn defaults(flags: &[&str]) -> Defaults {
        let cli = Cli::try_parse_from(["parkade", "serve"].iter().chain(flags)).expect("flags");
        let Command::Serve(serve) = cli.command else { panic!("not serve") };
        serve.answers.defaults()
    }

    #[test]
    fn flags_become_defaults_of_requests_and_without_them_there_are_none() {
        assert_eq!(defaults(&[]), Defaults::default());
        let flags = ["--temperature", "0.6", "--top-k", "20", "--top-p", "0.95", "--min-p", "0", "--seed", "42"];
        let further = ["--max-tokens", "512", "--thinking", "off", "--prefill-assistant"];
        let given = Defaults {
            temperature: Some(0.6),
            top_k: Some(20),
            top_p: Some(0.95),
            min_p: Some(0.0),
            seed: Some(42),
            max_tokens: Some(512),
            thinking: Some(false),
            prefill: true,
        };
        assert_eq!(defaults(&[&flags[..], &further[..]].concat()), given);
        assert_eq!(defaults(&["--thinking", "on"]).thinking, Some(true));
    }
}
