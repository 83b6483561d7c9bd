//! How the hidden states of a text become one vector, and what that becomes.

use std::fmt;
use std::ops::Range;

use crate::TokenId;
use crate::config::MAX_WIDTH;
use crate::error::ModelError;
use crate::gguf::{Gguf, GgufError, Value};
use crate::keys::Keys;

/// Which hidden states of a text stand for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over all tokens.
    Mean,
    /// The first token's.
    First,
    /// The last token's.
    Last,
}

/// What a model makes of texts, if not tokens that follow them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embeds {
    /// An embedding of the text.
    Texts,
    /// Scores of a query and a document that were joined to one text; the first of them is how well they match.
    Scores,
}

/// What a model that embeds does with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedder {
    /// Which hidden states stand for it.
    pub pooling: Pooling,
    /// What it is made to.
    pub embeds: Embeds,
    /// Its tokens see the ones behind them: it must be whole in one pass.
    pub is_whole: bool,
    /// Values of a hidden state.
    pub hidden: usize,
    /// Values that the text gets at last.
    pub outputs: usize,
    /// They are probabilities of labels.
    pub probabilities: bool,
}

/// What files call the ways from hidden states to vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolingType {
    /// The mean over all tokens.
    Mean,
    /// The first token's.
    Cls,
    /// The last token's.
    Last,
    /// Scores of a query and a document.
    Rank,
}

impl PoolingType {
    /// All of them.
    pub const ALL: [PoolingType; 4] = [PoolingType::Mean, PoolingType::Cls, PoolingType::Last, PoolingType::Rank];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            PoolingType::Mean => "mean",
            PoolingType::Cls => "cls",
            PoolingType::Last => "last",
            PoolingType::Rank => "rank",
        }
    }

    /// Its number in files.
    fn number(self) -> u32 {
        self as u32 + 1
    }

    /// Makes a file say it, whatever it said.
    ///
    /// # Errors
    /// If the file does not say its architecture.
    pub fn say(self, gguf: &mut Gguf) -> Result<(), GgufError> {
        let key = format!("{}.{POOLING_TYPE}", gguf.architecture()?);
        gguf.set(&key, Value::U32(self.number()));
        Ok(())
    }
}

/// The metadata key, after the architecture's name.
const POOLING_TYPE: &str = "pooling_type";
/// The same of the one that stands for a text whose score is asked for.
pub(crate) const RANK_POOLING: &str = "classifier.pooling_type";

/// How a text becomes an embedding, or a score.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedsPlan {
    /// Which hidden states stand for it.
    pub pooling: Pooling,
    /// What it becomes.
    pub embeds: Embeds,
    /// What comes after pooling.
    pub head: HeadPlan,
}

/// What comes after pooling.
#[derive(Debug, Clone, PartialEq)]
pub enum HeadPlan {
    /// Dense layers one after the other, of these widths; none is usual.
    Dense {
        /// Values that each gives.
        widths: Vec<usize>,
    },
    /// A classifier: a dense layer with an activation where the file has one, then one that gives a score for each label. Where there is no
    /// second the first gives them.
    Classifier {
        /// Of the first layer.
        activation: HeadActivation,
        /// A norm without bias behind it, where the file has one: what keeps its root from zero.
        norm: Option<f32>,
        /// How many scores there are.
        labels: usize,
        /// Whether the scores become probabilities.
        softmax: bool,
    },
}

/// The activation in a classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadActivation {
    /// The hyperbolic tangent.
    Tanh,
    /// As [`Activation::Gelu`](crate::plan::Activation::Gelu).
    Gelu,
}

impl HeadActivation {
    pub(crate) fn of(self, x: f32) -> f32 {
        match self {
            HeadActivation::Tanh => x.tanh(),
            HeadActivation::Gelu => 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh()),
        }
    }
}

/// Labels that are believed.
const MAX_LABELS: usize = 1 << 16;

impl EmbedsPlan {
    /// Reads what a file says. `is_encoder` says that tokens see the ones behind them.
    pub(crate) fn read(keys: &Keys<'_>, is_encoder: bool) -> Result<Option<EmbedsPlan>, ModelError> {
        let Some((pooling, embeds)) = read(keys, is_encoder)? else { return Ok(None) };
        let head = match embeds {
            Embeds::Texts => {
                let widths = [
                    keys.optional_size("dense_2_feat_out", MAX_WIDTH)?,
                    keys.optional_size("dense_3_feat_out", MAX_WIDTH)?,
                ];
                HeadPlan::Dense { widths: widths.into_iter().flatten().collect() }
            }
            Embeds::Scores => {
                let key = "classifier.output_labels";
                let labels = keys.texts(key)?.map_or(1, <[String]>::len);
                if labels == 0 || labels > MAX_LABELS {
                    return Err(keys.wrong(key, format!("a list of {labels}"), format!("1 to {MAX_LABELS} labels")));
                }
                HeadPlan::Classifier { activation: HeadActivation::Tanh, norm: None, labels, softmax: false }
            }
        };
        Ok(Some(EmbedsPlan { pooling, embeds, head }))
    }
}

/// What a file's number stands for; `None` for models that go on with the text.
///
/// `is_encoder` says that tokens see the ones behind them. Such a model cannot go on with a text, so its file must say how it pools.
fn read(keys: &Keys<'_>, is_encoder: bool) -> Result<Option<(Pooling, Embeds)>, ModelError> {
    let expected = || "1 (mean), 2 (cls), 3 (last) or 4 (rank); say it with --pooling".to_owned();
    match keys.integer(POOLING_TYPE)? {
        None if is_encoder => Err(keys.wrong(POOLING_TYPE, "missing", expected())),
        Some(0) if is_encoder => Err(keys.wrong(POOLING_TYPE, "0 (none)", expected())),
        None | Some(0) => Ok(None),
        Some(number) => match PoolingType::ALL.into_iter().find(|kind| kind.number() == number) {
            Some(PoolingType::Mean) => Ok(Some((Pooling::Mean, Embeds::Texts))),
            Some(PoolingType::Cls) => Ok(Some((Pooling::First, Embeds::Texts))),
            Some(PoolingType::Last) => Ok(Some((Pooling::Last, Embeds::Texts))),
            Some(PoolingType::Rank) => {
                let pooling = match keys.integer(RANK_POOLING)? {
                    Some(1) => Pooling::Mean,
                    // In a causal model only the last token has seen both texts.
                    None | Some(2) => {
                        if is_encoder {
                            Pooling::First
                        } else {
                            Pooling::Last
                        }
                    }
                    Some(number) => return Err(keys.wrong(RANK_POOLING, number, "1 (mean) or 2 (cls)".to_owned())),
                };
                Ok(Some((pooling, Embeds::Scores)))
            }
            None => Err(keys.wrong(POOLING_TYPE, number, expected())),
        },
    }
}

impl Pooling {
    /// Those of `rows` tokens from `past` on, in a text of `tokens`, whose hidden states [`Pooled::add`] wants.
    pub fn rows(self, past: usize, rows: usize, tokens: usize) -> Range<usize> {
        let wanted = match self {
            Pooling::Mean => 0..tokens,
            Pooling::First => 0..1,
            Pooling::Last => tokens.saturating_sub(1)..tokens,
        };
        let within = |position: usize| position.clamp(past, past + rows) - past;
        within(wanted.start)..within(wanted.end)
    }
}

/// The vector of one text, while its hidden states are computed, maybe piece by piece.
#[derive(Clone, Default)]
pub struct Pooled {
    sum: Vec<f32>,
    rows: usize,
}

impl Pooled {
    /// Takes the hidden states of the next tokens that are wanted, `[rows][width]`.
    pub fn add(&mut self, hidden: &[f32], width: usize) {
        for row in hidden.chunks_exact(width) {
            if self.rows == 0 {
                self.sum.extend_from_slice(row);
            } else {
                self.sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            self.rows += 1;
        }
    }

    /// The mean of what was added. It starts anew with that.
    pub fn finish(&mut self) -> Vec<f32> {
        let rows = std::mem::take(&mut self.rows) as f32;
        self.sum.drain(..).map(|sum| sum / rows).collect()
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// Cuts off the end of a text beyond `most` tokens. One that ended with the token `end` still does.
pub fn cut_end(tokens: &mut Vec<TokenId>, most: usize, end: Option<TokenId>) {
    if tokens.len() <= most {
        return;
    }
    let last = tokens.last().copied().filter(|&last| Some(last) == end);
    tokens.truncate(most);
    if let (Some(place), Some(last)) = (tokens.last_mut(), last) {
        *place = last;
    }
}

/// Cuts an embedding to its first values, as many as are wanted, and makes its length 1. One of length 0 stays.
pub fn normalize(embedding: &mut Vec<f32>, dimensions: Option<usize>) {
    embedding.truncate(dimensions.unwrap_or(usize::MAX));
    let length = embedding.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    if length > 0.0 {
        embedding.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_give_the_rows_that_the_whole_would() {
        for pooling in [Pooling::Mean, Pooling::First, Pooling::Last] {
            for tokens in 1..6 {
                let whole: Vec<usize> = pooling.rows(0, tokens, tokens).collect();
                for cut in 0..=tokens {
                    let first = pooling.rows(0, cut, tokens);
                    let second = pooling.rows(cut, tokens - cut, tokens).map(|row| row + cut);
                    assert_eq!(first.chain(second).collect::<Vec<_>>(), whole, "{pooling:?} {tokens} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn the_mean_is_the_same_bits_however_it_is_added() {
        let hidden: Vec<f32> = (0..30).map(|i| 1.0 / (i as f32 + 0.3)).collect();
        let mean = |pieces: &[&[f32]]| {
            let mut pooled = Pooled::default();
            pieces.iter().for_each(|piece| pooled.add(piece, 3));
            pooled.finish()
        };
        let whole = mean(&[&hidden]);
        let pieces = mean(&[&hidden[..3], &hidden[3..21], &hidden[21..]]);
        assert!(whole.iter().zip(&pieces).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert!((whole[0] - hidden.iter().step_by(3).sum::<f32>() / 10.0).abs() < 1e-6);
    }

    #[test]
    fn embeddings_are_cut_before_they_are_normalised() {
        let mut embedding = vec![3.0, 4.0, 12.0];
        normalize(&mut embedding, Some(2));
        assert_eq!(embedding, [0.6, 0.8]);
        let mut nothing = vec![0.0; 2];
        normalize(&mut nothing, None);
        assert_eq!(nothing, [0.0, 0.0]);
    }
}
