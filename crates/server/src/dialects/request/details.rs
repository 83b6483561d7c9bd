//! What answers are to say besides their text, under vLLM's names and llama.cpp's.

use parkade_core::Request;
use parkade_model::TokenId;

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Details {
    /// vLLM's `return_token_ids`.
    pub token_ids: bool,
    /// vLLM's `continuous_usage_stats`: each chunk tells what was used so far.
    pub continuous_usage: bool,
    /// llama.cpp's `timings_per_token`: each chunk tells how fast it goes.
    pub timings_per_token: bool,
    /// vLLM's `prompt_logprobs`.
    pub prompt_logprobs: bool,
    /// llama.cpp's `verbose`: the prompt as the model reads it.
    pub verbose: Option<String>,
    /// The tokens of the prompts, if token ids are wanted.
    pub prompts: Vec<Vec<TokenId>>,
    /// Their number.
    pub prompt_tokens: usize,
}

impl Details {
    /// Notes the prompts of an answer.
    pub fn note_prompts(&mut self, requests: &[Request]) {
        self.prompt_tokens = requests.iter().map(|request| request.prompt.len()).sum();
        if self.token_ids {
            self.prompts = requests.iter().map(|request| request.prompt.clone()).collect();
        }
    }

    /// The tokens of a prompt, if they are wanted.
    pub fn prompt(&self, number: usize) -> Option<&[TokenId]> {
        self.prompts.get(number).map(Vec::as_slice)
    }
}
