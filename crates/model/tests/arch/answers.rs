//! llama.cpp's answers, and how far others are from them.

use std::collections::BTreeMap;
use std::path::Path;

use parkade_model::TokenId;
use serde::Deserialize;

use crate::runner::log_softmax;

/// Token ids with their log-probabilities, likeliest first.
type Likeliest = Vec<(TokenId, f64)>;

/// What llama.cpp answers to one model.
#[derive(Deserialize)]
pub struct Answers {
    /// The context that the model was served with.
    pub ctx: u32,
    /// A sequence of tokens.
    pub ids: Vec<TokenId>,
    /// The ten likeliest next tokens after the first n of them, with activations rounded.
    top10_after: BTreeMap<usize, Likeliest>,
    /// The same with the weights widened to F32, so without that rounding.
    top10_after_f32: BTreeMap<usize, Likeliest>,
    /// Texts, and their tokens.
    pub tokenize: Vec<Tokens>,
}

/// A text and its tokens.
#[derive(Deserialize)]
pub struct Tokens {
    pub text: String,
    pub ids: Vec<TokenId>,
}

/// How far answers are from those of llama.cpp without rounding.
pub struct Distance {
    /// The largest difference of a log-probability.
    pub furthest: f64,
    /// The mean difference, weighted by probability, at a typical position: the mean of the middle half of them. (A rounding error may choose
    /// another expert, so the worst say little; and the median alone of a dozen positions is much a matter of luck.)
    pub typical: f64,
}

impl Answers {
    /// Reads a file.
    pub fn read(path: &Path) -> Answers {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// How far logits are, row by row.
    pub fn distance(&self, logits: &[Vec<f32>]) -> Distance {
        let logits: BTreeMap<usize, Vec<f64>> =
            self.top10_after_f32.keys().map(|&n| (n, log_softmax(&logits[n - 1]))).collect();
        self.distance_by(|n, id| Some(logits[&n][id as usize]))
    }

    /// How far llama.cpp itself is when it rounds activations.
    pub fn own_distance(&self) -> Distance {
        self.distance_by(|n, id| self.top10_after[&n].iter().find(|(theirs, _)| *theirs == id).map(|&(_, log)| log))
    }

    /// `other` gives the log-probability of a token after the first n, where it is known.
    fn distance_by(&self, other: impl Fn(usize, TokenId) -> Option<f64>) -> Distance {
        let (mut furthest, mut means) = (0.0, Vec::new());
        for (&n, likeliest) in &self.top10_after_f32 {
            let (mut sum, mut weights) = (0.0, 0.0);
            for &(id, log) in likeliest {
                let Some(other) = other(n, id) else { continue };
                // A NaN is as far as can be.
                let difference = Some((other - log).abs()).filter(|d| !d.is_nan()).unwrap_or(f64::INFINITY);
                furthest = f64::max(furthest, difference);
                sum += log.exp() * difference;
                weights += log.exp();
            }
            means.push(sum / weights);
        }
        means.sort_by(f64::total_cmp);
        let quarter = means.len() / 4;
        let middle = &means[quarter..means.len() - quarter];
        Distance { furthest, typical: middle.iter().sum::<f64>() / middle.len() as f64 }
    }
}
