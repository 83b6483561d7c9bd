//! How the next token is chosen: the parameters and their ranges.

use std::sync::Arc;

use parkade_model::TokenId;
use serde::{Deserialize, Serialize};

/// How the next token is chosen from the model's logits.
///
/// They apply in this order: `logit_bias`, penalties (repetition, then frequency and presence, then `dry`), `allowed_tokens` and
/// `bad_words`, `temperature`, `top_n_sigma`, `top_k`, `typical_p`, `top_p`, `min_p`, `xtc`, and then one draw from what is left. A
/// temperature of 0 takes the likeliest token of those that may come, after bias and penalties, the lowest id among equals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingParams {
    /// Divides the logits; 0 is greedy. From 0 to 100.
    pub temperature: f32,
    /// Keeps the `top_k` likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the smallest set of likeliest tokens with at least this much probability; 1 keeps all, 0 the likeliest alone.
    /// From 0 to 1.
    pub top_p: f32,
    /// Keeps tokens with at least this share of the likeliest token's probability; 0 keeps all. From 0 to 1.
    pub min_p: f32,
    /// Keeps the tokens whose surprise is nearest to the expected one (locally typical sampling, Meister et al. 2022), until
    /// they have this much probability; 1 keeps all, 0 the most typical alone. From 0 to 1.
    pub typical_p: f32,
    /// Keeps the tokens whose logits are at most so many standard deviations below the largest (top-n-sigma, Tang et al. 2024); 0
    /// keeps all. From 0 to 100.
    pub top_n_sigma: f32,
    /// Now and then leaves out the likeliest tokens (XTC, "exclude top choices").
    pub xtc: Xtc,
    /// Taken from the logit of each token that the answer already has. From -2 to 2.
    pub presence_penalty: f32,
    /// Taken from the logit of each token as often as the answer already has it. From -2 to 2.
    pub frequency_penalty: f32,
    /// Divides positive logits and multiplies negative ones of each token in the prompt or the answer (CTRL, Keskar et al. 2019);
    /// 1 changes nothing. Above 0 up to 10.
    pub repetition_penalty: f32,
    /// These three penalties look no further back than so many tokens; `None` looks at all.
    pub penalty_window: Option<usize>,
    /// Makes tokens less likely that would go on with a repetition ("don't repeat yourself"); `None` lets them be.
    pub dry: Option<Dry>,
    /// Added to the logits of these tokens. Each from -100 to 100.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// No token but these may come; `None` allows all. At least one.
    pub allowed_tokens: Option<Arc<[TokenId]>>,
    /// None of these sequences of tokens may come up in the answer, unless nothing else could. Each has at least one token.
    pub bad_words: Vec<Vec<TokenId>>,
    /// The same seed gives the same text; `None` draws one.
    pub seed: Option<u64>,
}

/// XTC: with some probability all tokens are left out that have at least `threshold` of it, but the least likely of them. What is left is
/// surprising, and still plausible. Nothing happens where there are not two such tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Xtc {
    /// How often it happens; 0 is never. From 0 to 1.
    pub probability: f32,
    /// What makes a token a top choice; above a half nothing happens. From 0 to 1.
    pub threshold: f32,
}

impl Default for Xtc {
    fn default() -> Self {
        Xtc { probability: 0.0, threshold: 0.1 }
    }
}

impl Xtc {
    /// Whether it ever leaves a token out: no two can have more than half of the probability.
    pub(crate) fn is_on(&self) -> bool {
        self.probability > 0.0 && self.threshold <= 0.5
    }
}

/// DRY: a token that would make the last tokens of the text, `n` of them, go on as they did before loses `multiplier * base^(n -
/// allowed_length)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dry {
    /// Its strength; 0 turns it off. From 0 to 100.
    pub multiplier: f32,
    /// How fast it grows with the length of the repetition. From 1 to 10.
    pub base: f32,
    /// The longest repetition that costs nothing is shorter than this.
    pub allowed_length: usize,
    /// It looks no further back than so many tokens; `None` looks at all, prompt and answer.
    pub window: Option<usize>,
    /// Tokens that no repetition goes across, in ascending order.
    pub breakers: Arc<[TokenId]>,
}

impl Default for Dry {
    fn default() -> Self {
        Dry { multiplier: 0.0, base: 1.75, allowed_length: 2, window: None, breakers: Arc::default() }
    }
}

impl Default for SamplingParams {
    fn default() -> Self {
        SamplingParams {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            top_n_sigma: 0.0,
            xtc: Xtc::default(),
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_penalty: 1.0,
            penalty_window: None,
            dry: None,
            logit_bias: Vec::new(),
            allowed_tokens: None,
            bad_words: Vec::new(),
            seed: None,
        }
    }
}

impl SamplingParams {
    /// The most entries in [`logit_bias`](Self::logit_bias).
    pub const MAX_BIASES: usize = 4096;
    /// The most entries in [`bad_words`](Self::bad_words).
    pub const MAX_BAD_WORDS: usize = 4096;
    /// The longest of them, in tokens.
    pub const MAX_BAD_WORD_LEN: usize = 64;

    /// Always the likeliest token.
    pub fn greedy() -> Self {
        SamplingParams { temperature: 0.0, ..SamplingParams::default() }
    }

    /// Checks each field against its range, and token ids against a vocabulary of `vocab`.
    ///
    /// # Errors
    /// The first field that is out of range, with its value and what is allowed.
    pub fn validate(&self, vocab: usize) -> Result<(), OutOfRange> {
        let dry = self.dry.clone().unwrap_or_default();
        for (field, value, least, most) in [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("typical_p", self.typical_p, 0.0, 1.0),
            ("top_n_sigma", self.top_n_sigma, 0.0, 100.0),
            ("xtc_probability", self.xtc.probability, 0.0, 1.0),
            ("xtc_threshold", self.xtc.threshold, 0.0, 1.0),
            ("presence_penalty", self.presence_penalty, -2.0, 2.0),
            ("frequency_penalty", self.frequency_penalty, -2.0, 2.0),
            ("dry_multiplier", dry.multiplier, 0.0, 100.0),
            ("dry_base", dry.base, 1.0, 10.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(out_of_range(field, value, format!("from {least} to {most}")));
            }
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty <= 10.0) {
            return Err(out_of_range("repetition_penalty", self.repetition_penalty, "above 0 and at most 10"));
        }
        self.validate_tokens(vocab)
    }

    /// Checks the lists of tokens.
    fn validate_tokens(&self, vocab: usize) -> Result<(), OutOfRange> {
        at_most("logit_bias", self.logit_bias.len(), Self::MAX_BIASES)?;
        for &(id, bias) in &self.logit_bias {
            known("logit_bias", id, vocab)?;
            if !(-100.0..=100.0).contains(&bias) {
                return Err(out_of_range("logit_bias", bias, "from -100 to 100"));
            }
        }
        if let Some(allowed) = &self.allowed_tokens {
            if allowed.is_empty() {
                return Err(out_of_range("allowed_token_ids", "an empty list", "a list of at least one token id"));
            }
            allowed.iter().try_for_each(|&id| known("allowed_token_ids", id, vocab))?;
        }
        at_most("bad_words", self.bad_words.len(), Self::MAX_BAD_WORDS)?;
        for word in &self.bad_words {
            if !(1..=Self::MAX_BAD_WORD_LEN).contains(&word.len()) {
                let allowed = format!("from 1 to {} tokens", Self::MAX_BAD_WORD_LEN);
                return Err(out_of_range("bad_words", format!("a word of {} tokens", word.len()), allowed));
            }
            word.iter().try_for_each(|&id| known("bad_words", id, vocab))?;
        }
        Ok(())
    }
}

fn out_of_range(field: &'static str, value: impl ToString, allowed: impl ToString) -> OutOfRange {
    OutOfRange { field, value: value.to_string(), allowed: allowed.to_string() }
}

fn at_most(field: &'static str, entries: usize, most: usize) -> Result<(), OutOfRange> {
    if entries <= most {
        return Ok(());
    }
    Err(out_of_range(field, format!("{entries} entries"), format!("at most {most} entries")))
}

fn known(field: &'static str, id: TokenId, vocab: usize) -> Result<(), OutOfRange> {
    if (id as usize) < vocab {
        return Ok(());
    }
    Err(out_of_range(field, format!("token id {id}"), format!("a token id below {vocab}")))
}

/// A sampling parameter that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}; it must be {allowed}")]
pub struct OutOfRange {
    /// The field's name as in OpenAI's API.
    pub field: &'static str,
    /// What it was.
    pub value: String,
    /// What it may be.
    pub allowed: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_named_with_what_is_allowed() {
        let params = SamplingParams { top_p: 1.5, ..SamplingParams::default() };
        assert_eq!(params.validate(10).unwrap_err().to_string(), "top_p is 1.5; it must be from 0 to 1");
        let params = SamplingParams { logit_bias: vec![(10, 1.0)], ..SamplingParams::default() };
        assert_eq!(
            params.validate(10).unwrap_err().to_string(),
            "logit_bias is token id 10; it must be a token id below 10"
        );
    }

    #[test]
    fn lists_of_tokens_are_checked_against_the_vocabulary_and_their_limits() {
        let with = |set: fn(&mut SamplingParams)| {
            let mut params = SamplingParams::default();
            set(&mut params);
            params.validate(10).unwrap_err().to_string()
        };
        assert_eq!(
            with(|p| p.allowed_tokens = Some(Arc::default())),
            "allowed_token_ids is an empty list; it must be a list of at least one token id"
        );
        assert_eq!(
            with(|p| p.allowed_tokens = Some(Arc::new([3, 10]))),
            "allowed_token_ids is token id 10; it must be a token id below 10"
        );
        assert_eq!(
            with(|p| p.bad_words = vec![Vec::new()]),
            "bad_words is a word of 0 tokens; it must be from 1 to 64 tokens"
        );
        assert_eq!(
            with(|p| p.bad_words = vec![vec![1, 12]]),
            "bad_words is token id 12; it must be a token id below 10"
        );
        assert_eq!(
            with(|p| p.bad_words = vec![vec![1]; 5000]),
            "bad_words is 5000 entries; it must be at most 4096 entries"
        );
    }

    #[test]
    fn not_a_number_is_out_of_every_range() {
        type Set = fn(&mut SamplingParams);
        let fields: [(&str, Set); 13] = [
            ("temperature", |p| p.temperature = f32::NAN),
            ("top_p", |p| p.top_p = f32::NAN),
            ("min_p", |p| p.min_p = f32::NAN),
            ("typical_p", |p| p.typical_p = f32::NAN),
            ("top_n_sigma", |p| p.top_n_sigma = f32::NAN),
            ("xtc_probability", |p| p.xtc.probability = f32::NAN),
            ("xtc_threshold", |p| p.xtc.threshold = f32::NAN),
            ("dry_multiplier", |p| p.dry = Some(Dry { multiplier: f32::NAN, ..Dry::default() })),
            ("dry_base", |p| p.dry = Some(Dry { base: f32::NAN, ..Dry::default() })),
            ("presence_penalty", |p| p.presence_penalty = f32::NAN),
            ("frequency_penalty", |p| p.frequency_penalty = f32::NAN),
            ("repetition_penalty", |p| p.repetition_penalty = f32::NAN),
            ("logit_bias", |p| p.logit_bias = vec![(0, f32::NAN)]),
        ];
        for (name, set) in fields {
            let mut params = SamplingParams::default();
            assert_eq!(params.validate(10), Ok(()));
            set(&mut params);
            assert_eq!(params.validate(10).unwrap_err().field, name);
        }
    }
}
