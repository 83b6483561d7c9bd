//! How the next token is chosen: the parameters and their ranges.

use parkade_model::TokenId;

/// How the next token is chosen from the model's logits.
///
/// They apply in this order: `logit_bias`, penalties (repetition, then frequency and presence), `temperature`, `top_k`,
/// `typical_p`, `top_p`, `min_p`, and then one draw from what is left. A temperature of 0 takes the likeliest token after bias and
/// penalties, the lowest id among equals.
#[derive(Clone, Debug, PartialEq)]
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
    /// Taken from the logit of each token that the answer already has. From -2 to 2.
    pub presence_penalty: f32,
    /// Taken from the logit of each token as often as the answer already has it. From -2 to 2.
    pub frequency_penalty: f32,
    /// Divides positive logits and multiplies negative ones of each token in the prompt or the answer (CTRL, Keskar et al. 2019);
    /// 1 changes nothing. Above 0 up to 10.
    pub repetition_penalty: f32,
    /// Added to the logits of these tokens. Each from -100 to 100.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// The same seed gives the same text; `None` draws one.
    pub seed: Option<u64>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        SamplingParams {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_penalty: 1.0,
            logit_bias: Vec::new(),
            seed: None,
        }
    }
}

impl SamplingParams {
    /// The most entries in [`logit_bias`](Self::logit_bias).
    pub const MAX_BIASES: usize = 4096;

    /// Always the likeliest token.
    pub fn greedy() -> Self {
        SamplingParams { temperature: 0.0, ..SamplingParams::default() }
    }

    /// Checks each field against its range, and token ids against a vocabulary of `vocab`.
    ///
    /// # Errors
    /// The first field that is out of range, with its value and what is allowed.
    pub fn validate(&self, vocab: usize) -> Result<(), OutOfRange> {
        let check = |field, value: f32, ok: bool, allowed: &'static str| {
            if ok { Ok(()) } else { Err(OutOfRange { field, value: value.to_string(), allowed: allowed.to_owned() }) }
        };
        check("temperature", self.temperature, (0.0..=100.0).contains(&self.temperature), "from 0 to 100")?;
        check("top_p", self.top_p, (0.0..=1.0).contains(&self.top_p), "from 0 to 1")?;
        check("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "from 0 to 1")?;
        check("typical_p", self.typical_p, (0.0..=1.0).contains(&self.typical_p), "from 0 to 1")?;
        check(
            "presence_penalty",
            self.presence_penalty,
            (-2.0..=2.0).contains(&self.presence_penalty),
            "from -2 to 2",
        )?;
        check(
            "frequency_penalty",
            self.frequency_penalty,
            (-2.0..=2.0).contains(&self.frequency_penalty),
            "from -2 to 2",
        )?;
        check(
            "repetition_penalty",
            self.repetition_penalty,
            self.repetition_penalty > 0.0 && self.repetition_penalty <= 10.0,
            "above 0 and at most 10",
        )?;
        if self.logit_bias.len() > Self::MAX_BIASES {
            return Err(OutOfRange {
                field: "logit_bias",
                value: format!("{} entries", self.logit_bias.len()),
                allowed: format!("at most {} entries", Self::MAX_BIASES),
            });
        }
        for &(id, bias) in &self.logit_bias {
            if id as usize >= vocab {
                return Err(OutOfRange {
                    field: "logit_bias",
                    value: format!("token id {id}"),
                    allowed: format!("a token id below {vocab}"),
                });
            }
            check("logit_bias", bias, (-100.0..=100.0).contains(&bias), "from -100 to 100")?;
        }
        Ok(())
    }
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
    fn not_a_number_is_out_of_every_range() {
        type Set = fn(&mut SamplingParams);
        let fields: [(&str, Set); 8] = [
            ("temperature", |p| p.temperature = f32::NAN),
            ("top_p", |p| p.top_p = f32::NAN),
            ("min_p", |p| p.min_p = f32::NAN),
            ("typical_p", |p| p.typical_p = f32::NAN),
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
