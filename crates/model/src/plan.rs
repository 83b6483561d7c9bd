//! What a model computes, layer by layer.
//!
//! A [`Plan`] is a value: the family makes it of the file's metadata, the parts load their tensors and run by it. So a model of parts that
//! there are is a plan, and nothing else. Something new belongs where it is computed:
//!
//! | what | where |
//! | --- | --- |
//! | windows or rotations that change from layer to layer | the family sets them in each layer's [`AttentionPlan`] |
//! | one more table of rotations | [`Plan::ropes`]; another way to stretch it is a variant of [`RopeScaling`] |
//! | a soft cap of scores, layers without rotation, `Q`, `K` and `V` in one tensor | [`AttentionPlan`] and `parts/attention.rs` |
//! | norms after a half, or before and after it; a factor of what a half adds | [`NormOrder`], [`LayerPlan`] and `parts/residual.rs` |
//! | norms that take off the mean | [`NormKind`] and `parts/norm.rs` |
//! | both halves from one input | [`LayerPlan`] and `parts/layer.rs` |
//! | GELU | [`Activation`] |
//! | gate and up in one tensor; no gate | [`FeedForwardPlan`] and `parts/gated.rs` |
//! | another way of experts | [`ExpertsPlan`] and `parts/experts.rs`; of choosing them [`RoutingPlan`] and `parts/routing.rs` |
//! | factors of embeddings and logits, a soft cap of logits | [`Plan`] and `parts/embedding.rs` |

use parkade_kernels::RopeLayout;

use crate::config::{MAX_WIDTH, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;

pub use crate::loader::Presence;
pub use crate::parts::rope::{RopePlan, RopeScaling, YarnScaling};
pub use crate::parts::routing::{ExpertGroups, RoutingPlan, RoutingScores};

/// What a model is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// All norms of the model, those of heads too.
    pub norm: NormKind,
    /// The tables of rotations. Layers name theirs by its place here.
    pub ropes: Vec<RopePlan>,
    /// The layers in the order in which they run.
    pub layers: Vec<LayerPlan>,
}

/// What a layer is made of: a half with attention, then a half with a feed-forward, each added to the hidden states.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerPlan {
    /// Where in each half the norms are.
    pub norms: NormOrder,
    /// The first half.
    pub attention: AttentionPlan,
    /// The second half.
    pub feed_forward: FeedForwardPlan,
}

/// Attention of grouped queries.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionPlan {
    /// Which of [`Plan::ropes`] turns queries and keys.
    pub rope: usize,
    /// Keys that a query sees, itself included, where attention slides.
    pub window: Option<usize>,
    /// Factor of the scores.
    pub scale: f32,
    /// Biases on Q, K and V.
    pub qkv_bias: Presence,
    /// Norms of each head of Q and of K, before the rotation.
    pub head_norms: Presence,
}

/// What stands between the hidden states and what the second half adds to them.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedForwardPlan {
    /// `down (activation (gate x) * up x)`.
    Gated {
        /// Values between the two halves.
        width: usize,
        /// The function of the gate.
        activation: Activation,
    },
    /// The sum of what a few of many feed-forwards give, each token its own few.
    Experts(ExpertsPlan),
}

/// A mixture of experts. Each is `down (activation (gate x) * up x)`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpertsPlan {
    /// Which experts a token goes to.
    pub routing: RoutingPlan,
    /// Values between the two halves of an expert.
    pub width: usize,
    /// The function of the gates.
    pub activation: Activation,
    /// Biases of the router and of the experts.
    pub biases: Presence,
    /// The expert that every token goes to.
    pub shared: Option<SharedExpertPlan>,
}

/// A feed-forward beside the experts that every token goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedExpertPlan {
    /// Values between its two halves.
    pub width: usize,
    /// Whether a sigmoid of the token is a factor of what it gives.
    pub gated: bool,
}

/// The function of a feed-forward's gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`, which makes it SwiGLU.
    Silu,
}

/// A kind of norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NormKind {
    /// `x / sqrt(mean(x^2) + eps) * weight`.
    Rms {
        /// What keeps the root from zero.
        eps: f32,
    },
}

/// Where in a half of a layer the norms are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormOrder {
    /// One, of what the half reads.
    Before,
}

impl Plan {
    /// What a Llama computes, with the numbers of the file: all layers alike, RMS norms before each half, one table of rotations, biases where
    /// the file has them, SwiGLU. A family changes in it what it does otherwise.
    pub(crate) fn llama(keys: &Keys<'_>, config: &ModelConfig, layout: RopeLayout) -> Result<Plan, ModelError> {
        let eps = keys.float("attention.layer_norm_rms_epsilon")?;
        if !(0.0..1.0).contains(&eps) {
            return Err(keys.wrong("attention.layer_norm_rms_epsilon", eps, "from 0 to 1".to_owned()));
        }
        let window = keys.integer("attention.sliding_window")?.map(|window| window as usize);
        let attention = AttentionPlan {
            rope: 0,
            // A window that reaches over the whole context is no window.
            window: window.filter(|&window| window > 0 && window < config.context_length),
            scale: keys.positive("attention.scale")?.unwrap_or(1.0 / (config.head_dim as f32).sqrt()),
            qkv_bias: Presence::Optional,
            head_norms: Presence::Never,
        };
        let width = keys.size("feed_forward_length", MAX_WIDTH)?;
        let feed_forward = FeedForwardPlan::Gated { width, activation: Activation::Silu };
        Ok(Plan {
            norm: NormKind::Rms { eps },
            ropes: vec![RopePlan::read(keys, config, layout)?],
            layers: vec![LayerPlan { norms: NormOrder::Before, attention, feed_forward }; config.layers],
        })
    }

    /// Makes the second halves of some layers a mixture of experts.
    pub(crate) fn mix(&mut self, experts: &ExpertsPlan, which: impl Fn(usize) -> bool) {
        for (_, layer) in self.layers.iter_mut().enumerate().filter(|(index, _)| which(*index)) {
            layer.feed_forward = FeedForwardPlan::Experts(experts.clone());
        }
    }
}

impl ExpertsPlan {
    /// Experts of SwiGLU without biases, and none that is shared.
    pub(crate) fn swiglu(keys: &Keys<'_>, routing: RoutingPlan) -> Result<ExpertsPlan, ModelError> {
        let width = match keys.optional_size("expert_feed_forward_length", MAX_WIDTH)? {
            Some(width) => width,
            None => keys.size("feed_forward_length", MAX_WIDTH)?,
        };
        Ok(ExpertsPlan { routing, width, activation: Activation::Silu, biases: Presence::Never, shared: None })
    }

    /// With a shared expert of the file's width, if it says one.
    pub(crate) fn with_shared(self, keys: &Keys<'_>) -> Result<ExpertsPlan, ModelError> {
        let width = keys.count("expert_shared_feed_forward_length", MAX_WIDTH)?;
        let shared = (width > 0).then_some(SharedExpertPlan { width, gated: false });
        Ok(ExpertsPlan { shared, ..self })
    }

    /// With as many shared experts as the file says, which are one that is as wide as they are together.
    pub(crate) fn with_shared_count(self, keys: &Keys<'_>) -> Result<ExpertsPlan, ModelError> {
        let key = "expert_shared_count";
        let count = keys.count(key, MAX_WIDTH)?;
        if count * self.width > MAX_WIDTH as usize {
            return Err(keys.wrong(key, count, format!("at most {MAX_WIDTH} values of experts {} wide", self.width)));
        }
        let shared = (count > 0).then_some(SharedExpertPlan { width: count * self.width, gated: false });
        Ok(ExpertsPlan { shared, ..self })
    }
}
