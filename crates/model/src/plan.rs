//! What a model computes, layer by layer.
//!
//! A [`Plan`] is a value: the family makes it of the file's metadata, the parts load their tensors and run by it. So a model of parts that
//! there are is a plan, and nothing else. Whether `Q`, `K` and `V`, or gate and up, are one tensor or several is the file's own affair.
//! Something new belongs where it is computed:
//!
//! | what | where |
//! | --- | --- |
//! | windows, rotations or none, that change from layer to layer | the family sets them in each layer's [`AttentionPlan`] |
//! | one more table of rotations | [`Plan::ropes`]; another way to stretch it is a variant of [`RopeScaling`] |
//! | what is done to queries, keys and scores | [`AttentionPlan`] and `parts/attention.rs` |
//! | which norms there are in a half of a layer, and how it is added | [`NormOrder`], [`LayerPlan`] and `parts/residual.rs` |
//! | another kind of norm | [`NormKind`] and `parts/norm.rs` |
//! | another way to carry a state from token to token | [`StatePlan`] and `parts/state` |
//! | another order of the halves | [`Halves`] and `parts/layer.rs` |
//! | another function inside of a feed-forward | [`Activation`], in the kernels |
//! | another kind of feed-forward | [`FeedForwardPlan`] and `parts/gated.rs` |
//! | another way from a text to its embedding or score | [`EmbedsPlan`], `pooling.rs` and `parts/head.rs` |
//! | another way of experts | [`ExpertsPlan`] and `parts/experts.rs`; of choosing them [`RoutingPlan`] and `parts/routing.rs` |
//! | what is done to embeddings and logits | [`Plan`] and `parts/embedding.rs` |
//! | several streams of hidden states | [`Plan::streams`] and `parts/streams.rs` |
//! | what layers are told of the token itself | [`Plan::layer_embedding`] and `parts/layer_embedding.rs` |

use parkade_kernels::{KvLayer, KvShape, RopeLayout};

use crate::config::{MAX_WIDTH, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;

pub use parkade_kernels::Activation;

pub use crate::loader::Presence;
pub use crate::parts::rope::{RopePlan, RopeScaling, YarnScaling};
pub use crate::parts::routing::{ExpertGroups, RoutingPlan, RoutingScores};
pub use crate::pooling::{EmbedsPlan, HeadActivation, HeadPlan};
pub use crate::state_plan::{StatePlan, StateSpace};

/// What a model is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// All norms of the model, those of heads too.
    pub norm: NormKind,
    /// The tables of rotations. Layers name theirs by its place here.
    pub ropes: Vec<RopePlan>,
    /// The layers in the order in which they run.
    pub layers: Vec<LayerPlan>,
    /// Factor of the embeddings.
    pub embedding_scale: f32,
    /// Factor of the logits.
    pub logit_scale: f32,
    /// Bound of the logits after that: each becomes `cap * tanh(logit / cap)`.
    pub logit_cap: Option<f32>,
    /// Streams of hidden states, if there are several; the layers have embeddings of their own then.
    pub streams: Option<usize>,
    /// Values of what each layer is told of the token itself, if it is.
    pub layer_embedding: Option<usize>,
    /// What there is before the first layer and after the last.
    pub ends: EndsPlan,
    /// What it makes of texts, if it does not go on with them.
    pub embeds: Option<EmbedsPlan>,
}

/// What there is before the first layer and after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndsPlan {
    /// Vectors of the positions that are added to the embeddings.
    pub positions: Presence,
    /// Vectors of the kinds of tokens that are added. All tokens are of the first kind.
    pub token_types: Presence,
    /// A norm of the embeddings.
    pub first_norm: Presence,
    /// A norm of the hidden states after the last layer.
    pub last_norm: Presence,
    /// Its name.
    pub last_norm_name: &'static str,
}

impl EndsPlan {
    /// Embeddings as they are in the table, and a last norm.
    pub const PLAIN: EndsPlan = EndsPlan {
        positions: Presence::Never,
        token_types: Presence::Never,
        first_norm: Presence::Never,
        last_norm: Presence::Required,
        last_norm_name: "output_norm",
    };
}

/// What a layer is made of: a half that mixes tokens with those before them and a half with a feed-forward, each added to the hidden states.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerPlan {
    /// Which half reads what.
    pub halves: Halves,
    /// Where in each half the norms are.
    pub norms: NormOrder,
    /// The norm before attention, where norms come before.
    pub attention_norm: Presence,
    /// Where norms come after sums, a second one behind attention: of the sum of what the layer was given and the first one's result.
    pub second_attention_norm: Presence,
    /// Name of the norm before the feed-forward, if there is one.
    pub feed_forward_norm: &'static str,
    /// Factor of what a half adds.
    pub residual_scale: f32,
    /// Whether the file has a factor of what the layer leaves.
    pub output_scale: Presence,
    /// How tokens are mixed with those before them.
    pub mixing: Mixing,
    /// The attention, where it is by attention.
    pub attention: AttentionPlan,
    /// The half with a feed-forward.
    pub feed_forward: FeedForwardPlan,
}

/// How a layer mixes tokens with those before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mixing {
    /// By attention.
    Attention,
    /// By a state that goes on from token to token.
    State(StatePlan),
    /// By both, whose results are added.
    SideBySide(StatePlan),
}

impl LayerPlan {
    /// Whether the layer has attention.
    pub fn attends(&self) -> bool {
        !matches!(self.mixing, Mixing::State(_))
    }

    /// What of the layer carries a state.
    pub fn state(&self) -> Option<&StatePlan> {
        match &self.mixing {
            Mixing::Attention => None,
            Mixing::State(state) | Mixing::SideBySide(state) => Some(state),
        }
    }

    /// Whether the layer has keys and values of its own.
    fn has_keys(&self) -> bool {
        self.attends() && self.attention.kv_of.is_none()
    }
}

impl AttentionPlan {
    /// Values of a latent, where latents are cached: they are keys and values at once.
    fn cached_latent(&self) -> Option<usize> {
        self.latent.as_ref().filter(|latent| latent.apart).map(|latent| latent.rank)
    }

    /// Values of what a head attends to.
    pub(crate) fn value_dim(&self) -> usize {
        self.cached_latent().unwrap_or(self.head_dim)
    }
}

/// Which half of a layer reads what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halves {
    /// The feed-forward reads what attention has added to.
    InTurn,
    /// Both read what the layer was given.
    Parallel,
}

impl AttentionPlan {
    /// How many keys up to its own a query sees at most; `None`: all, or also those behind it.
    fn reach(&self) -> Option<usize> {
        let nearest = self.window.into_iter().chain(self.chunk).min();
        nearest.filter(|_| !self.both_ways)
    }
}

/// Attention of grouped queries.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionPlan {
    /// Values in a head; even, and not more than the model's.
    pub head_dim: usize,
    /// Heads of keys and values, each for as many heads of queries.
    pub kv_heads: usize,
    /// The earlier layer whose keys and values are used, if there are none of the layer's own.
    pub kv_of: Option<usize>,
    /// Norms without weights of the heads of V.
    pub value_norms: bool,
    /// What makes the values; where it may be missing and is, they are the keys as they are before norms and rotation.
    pub values: Presence,
    /// Which of [`Plan::ropes`] turns queries and keys, if they are turned.
    pub rope: Option<usize>,
    /// Keys that a query sees, itself included, where attention slides.
    pub window: Option<usize>,
    /// Keys of a piece of the text, where queries see only those of their own piece.
    pub chunk: Option<usize>,
    /// A query also sees the keys behind its own. A window then reaches half its width to both sides.
    pub both_ways: bool,
    /// ALiBi: scores fall with the distance, in the first of `n` heads by 2 to the power of minus this by `n`, in others more slowly.
    pub alibi: Option<f32>,
    /// Factor of the scores.
    pub scale: f32,
    /// Bound of the scores: each becomes `cap * tanh(score / cap)`.
    pub soft_cap: Option<f32>,
    /// For each head a score that takes part in the softmax and has no value.
    pub sinks: Presence,
    /// How scores grow with the position.
    pub temperature: Option<Temperature>,
    /// Biases on Q, K and V.
    pub qkv_bias: Presence,
    /// Whether each head of Q has behind it as many gates of what the head gives.
    pub gated: bool,
    /// Norms of Q and of K.
    pub head_norms: HeadNorms,
    /// How keys and values are compressed, if they are. Only the rotation and the factor of the scores are taken from the rest then.
    pub latent: Option<LatentPlan>,
}

/// Norms of Q and of K.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadNorms {
    /// Whether there are some.
    pub presence: Presence,
    /// What is one row of them.
    pub over: NormOver,
    /// Whether they come after the rotation.
    pub after_rotation: bool,
}

/// What a norm of Q or K is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormOver {
    /// Each head, with the same weights.
    Head,
    /// Each head, without weights.
    HeadUnweighted,
    /// Each head, with weights of its own.
    EachHead,
    /// All heads together.
    Whole,
}

/// Queries at a position are multiplied by `1 + scale * ln(1 + floor((position + offset) / length))`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperature {
    /// How quickly they grow.
    pub scale: f32,
    /// Positions up to which they do not.
    pub length: usize,
    /// By how much sooner they do.
    pub offset: usize,
}

/// Keys and values that are made of a latent vector (multi-head latent attention), with heads of `plain` and then `rotated` values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatentPlan {
    /// Values of the latent that queries are made of, if they are.
    pub query_rank: Option<usize>,
    /// Values of the latent.
    pub rank: usize,
    /// Values of a query's and a key's head that are not rotated.
    pub plain: usize,
    /// Values behind them, which are; a key's are the same for all heads.
    pub rotated: usize,
    /// Values of a value's head.
    pub value: usize,
    /// Whether the matrices that make keys and values of the latent are two tensors. The latents are cached then, as one head.
    pub apart: bool,
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
        /// How many standard deviations above its row's mean a gate must be not to be nothing; what is above is what counts.
        cutoff: Option<f32>,
    },
    /// `down (activation (up x))`.
    Plain {
        /// Values between the two halves.
        width: usize,
        /// The function.
        activation: Activation,
    },
    /// The sum of what a few of many feed-forwards give, each token its own few.
    Experts(ExpertsPlan),
    /// Nothing: the layer has no second half.
    None,
}

/// A mixture of experts. Each is `down (activation (gate x) * up x)`, or `down (activation (up x))`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpertsPlan {
    /// Which experts a token goes to.
    pub routing: RoutingPlan,
    /// Values between the two halves of an expert.
    pub width: usize,
    /// Whether there are gates.
    pub gated: bool,
    /// The function of the gates, or of what stands between the halves.
    pub activation: Activation,
    /// Biases of the router and of the experts.
    pub biases: Presence,
    /// Whether the results of each expert have a factor.
    pub output_scales: Presence,
    /// The expert that every token goes to.
    pub shared: Option<SharedExpertPlan>,
    /// Values between the halves of a feed-forward beside them, if there is one. Then both read the hidden states by norms of their own, as the
    /// router does, and what each gives is normed before the sum.
    pub beside: Option<usize>,
}

/// A feed-forward beside the experts that every token goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedExpertPlan {
    /// Values between its two halves.
    pub width: usize,
    /// Whether a sigmoid of the token is a factor of what it gives.
    pub gated: bool,
}

/// A kind of norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NormKind {
    /// `x / sqrt(mean(x^2) + eps) * weight`.
    Rms {
        /// What keeps the root from zero.
        eps: f32,
    },
    /// `(x - mean(x)) / sqrt(variance(x) + eps) * weight + bias`.
    Layer {
        /// What keeps the root from zero.
        eps: f32,
        /// Whether there is a bias.
        bias: Presence,
    },
}

/// Where in a half of a layer the norms are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormOrder {
    /// One, of what the half reads.
    Before,
    /// One, of what the half adds.
    After,
    /// Both of them.
    Both,
    /// One, of the sum of the hidden states and what the half adds.
    AfterSum,
}

impl NormKind {
    /// RMS norms, by the file's numbers.
    pub(crate) fn rms(keys: &Keys<'_>) -> Result<NormKind, ModelError> {
        Ok(NormKind::Rms { eps: keys.epsilon("attention.layer_norm_rms_epsilon")? })
    }

    /// Norms that take off the mean, by the file's numbers.
    pub(crate) fn layer(keys: &Keys<'_>, bias: Presence) -> Result<NormKind, ModelError> {
        Ok(NormKind::Layer { eps: keys.epsilon("attention.layer_norm_epsilon")?, bias })
    }
}

impl HeadNorms {
    /// No norms of Q and K.
    pub const NEVER: HeadNorms = HeadNorms { presence: Presence::Never, over: NormOver::Head, after_rotation: false };
    /// Norms of each head with the same weights, before the rotation.
    pub const OF_HEADS: HeadNorms = HeadNorms { presence: Presence::Required, ..HeadNorms::NEVER };
}

impl Plan {
    /// What a Llama computes, with the numbers of the file: all layers alike, RMS norms before each half, one table of rotations, biases where
    /// the file has them, SwiGLU. A family changes in it what it does otherwise.
    pub(crate) fn llama(keys: &Keys<'_>, config: &ModelConfig, layout: RopeLayout) -> Result<Plan, ModelError> {
        Plan::decoder(keys, config, layout, NormKind::rms(keys)?)
    }

    /// The same with another kind of norms.
    pub(crate) fn decoder(
        keys: &Keys<'_>,
        config: &ModelConfig,
        layout: RopeLayout,
        norm: NormKind,
    ) -> Result<Plan, ModelError> {
        let widths = keys.sizes("feed_forward_length", MAX_WIDTH, config.layers)?;
        let gated = |&width: &usize| FeedForwardPlan::Gated { width, activation: Activation::Silu, cutoff: None };
        let mut plan = Plan::of_halves(keys, config, norm, widths.iter().map(gated).collect())?;
        plan.ropes.push(RopePlan::read(keys, config, layout)?);
        plan.layers.iter_mut().for_each(|layer| layer.attention.rope = Some(0));
        Ok(plan)
    }

    /// The same without rotations, with these second halves of the layers.
    pub(crate) fn of_halves(
        keys: &Keys<'_>,
        config: &ModelConfig,
        norm: NormKind,
        halves: Vec<FeedForwardPlan>,
    ) -> Result<Plan, ModelError> {
        let both_ways = keys.flag("attention.causal")? == Some(false);
        let window = keys.integer("attention.sliding_window")?.map(|window| window as usize);
        let attention = AttentionPlan {
            head_dim: config.head_dim,
            kv_heads: config.kv_heads,
            kv_of: None,
            value_norms: false,
            values: Presence::Required,
            rope: None,
            // A window that reaches over the whole context is no window.
            window: window.filter(|&window| window > 0 && window < config.context_length),
            chunk: None,
            both_ways,
            alibi: None,
            scale: keys.positive("attention.scale")?.unwrap_or(1.0 / (config.head_dim as f32).sqrt()),
            soft_cap: None,
            sinks: Presence::Never,
            temperature: None,
            qkv_bias: Presence::Optional,
            gated: false,
            head_norms: HeadNorms::NEVER,
            latent: None,
        };
        let layer = |(feed_forward, &kv_heads)| LayerPlan {
            halves: Halves::InTurn,
            norms: NormOrder::Before,
            attention_norm: Presence::Required,
            second_attention_norm: Presence::Never,
            feed_forward_norm: "ffn_norm",
            residual_scale: 1.0,
            output_scale: Presence::Never,
            mixing: Mixing::Attention,
            attention: AttentionPlan { kv_heads, ..attention.clone() },
            feed_forward,
        };
        Ok(Plan {
            norm,
            ropes: Vec::new(),
            layers: halves.into_iter().zip(&config.layer_kv_heads).map(layer).collect(),
            embedding_scale: 1.0,
            logit_scale: 1.0,
            logit_cap: None,
            ends: EndsPlan::PLAIN,
            embeds: EmbedsPlan::read(keys, both_ways)?,
            layer_embedding: None,
            streams: None,
        })
    }

    /// What encoders have in common with that: tokens see each other both ways, and the file says how they are pooled.
    pub(crate) fn encoder(
        keys: &Keys<'_>,
        config: &ModelConfig,
        layout: RopeLayout,
        norm: NormKind,
    ) -> Result<Plan, ModelError> {
        let mut plan = Plan::decoder(keys, config, layout, norm)?;
        plan.look_both_ways(keys)?;
        Ok(plan)
    }

    /// Lets tokens see the ones behind them, whatever the file says by its silence.
    pub(crate) fn look_both_ways(&mut self, keys: &Keys<'_>) -> Result<(), ModelError> {
        let key = "attention.causal";
        if keys.flag(key)? == Some(true) {
            return Err(keys.wrong(key, true, "false: the architecture is that of encoders".to_owned()));
        }
        self.layers.iter_mut().for_each(|layer| layer.attention.both_ways = true);
        self.embeds = EmbedsPlan::read(keys, true)?;
        Ok(())
    }

    /// The layers that have keys and values of their own: those of the cache. `context` is the longest text.
    pub fn kv_layers(&self, context: usize) -> Vec<KvLayer> {
        let mut own: Vec<KvLayer> = Vec::new();
        for (index, layer) in self.layers.iter().enumerate().filter(|(_, layer)| layer.attends()) {
            let attention = &layer.attention;
            let reach = attention.reach().filter(|&reach| reach < context);
            if layer.has_keys() {
                let (heads, dim, latent) = (attention.kv_heads, attention.head_dim, attention.cached_latent());
                own.push(KvLayer { shape: KvShape { heads, dim, latent }, reach });
            } else {
                // It reads another layer's keys, and perhaps more of them than that.
                let owner = own.get_mut(self.kv_place(index)).expect("a layer's keys are an earlier layer's");
                owner.reach = owner.reach.zip(reach).map(|(one, other)| one.max(other));
            }
        }
        own
    }

    /// The layer of the KV cache that the attention of a layer uses.
    pub(crate) fn kv_place(&self, layer: usize) -> usize {
        let owner = self.layers[layer].attention.kv_of.unwrap_or(layer);
        self.layers[..owner].iter().filter(|layer| layer.has_keys()).count()
    }

    /// Whether tokens see the ones behind them, so that a text must be whole in one pass.
    pub fn is_two_way(&self) -> bool {
        self.layers.iter().any(|layer| layer.attention.both_ways)
    }

    /// Floats of the state of a sequence over all layers.
    pub fn state_values(&self) -> usize {
        self.state_start(self.layers.len())
    }

    /// Where in a sequence's state that of a layer begins.
    pub(crate) fn state_start(&self, layer: usize) -> usize {
        self.layers[..layer].iter().filter_map(LayerPlan::state).map(StatePlan::values).sum()
    }

    /// Takes the rotations away.
    pub(crate) fn without_rotation(&mut self) {
        self.ropes.clear();
        self.layers.iter_mut().for_each(|layer| layer.attention.rope = None);
    }

    /// Sets the function of the gates.
    pub(crate) fn gate_by(&mut self, function: Activation) {
        for layer in &mut self.layers {
            if let FeedForwardPlan::Gated { activation, .. } = &mut layer.feed_forward {
                *activation = function;
            }
        }
    }

    /// Makes the second halves of some layers a mixture of experts.
    pub(crate) fn mix(&mut self, experts: &ExpertsPlan, which: impl Fn(usize) -> bool) {
        for (_, layer) in self.layers.iter_mut().enumerate().filter(|(index, _)| which(*index)) {
            layer.feed_forward = FeedForwardPlan::Experts(experts.clone());
        }
    }

    /// Puts a mixture of experts beside the feed-forward of every layer.
    pub(crate) fn mix_beside(&mut self, experts: &ExpertsPlan) {
        for layer in &mut self.layers {
            if let FeedForwardPlan::Gated { width, .. } = layer.feed_forward {
                layer.feed_forward = FeedForwardPlan::Experts(ExpertsPlan { beside: Some(width), ..experts.clone() });
            }
        }
    }

    /// Makes the feed-forwards plain ones of the same width.
    pub(crate) fn without_gates(&mut self, activation: Activation) {
        for layer in &mut self.layers {
            if let FeedForwardPlan::Gated { width, .. } = layer.feed_forward {
                layer.feed_forward = FeedForwardPlan::Plain { width, activation };
            }
        }
    }

    /// Lets attention slide in some layers only. The file may say in which; else it is all but the last of each `period`. Returns which slide.
    pub(crate) fn slide(&mut self, keys: &Keys<'_>, period: usize) -> Result<Vec<bool>, ModelError> {
        let sliding = keys.pattern("attention.sliding_window_pattern", self.layers.len(), period)?;
        for (layer, _) in self.layers.iter_mut().zip(&sliding).filter(|(_, sliding)| !**sliding) {
            layer.attention.window = None;
        }
        Ok(sliding)
    }
}

impl ExpertsPlan {
    /// Experts of SwiGLU without biases, and none that is shared.
    pub(crate) fn swiglu(keys: &Keys<'_>, routing: RoutingPlan) -> Result<ExpertsPlan, ModelError> {
        let width = match keys.optional_size("expert_feed_forward_length", MAX_WIDTH)? {
            Some(width) => width,
            None => keys.size("feed_forward_length", MAX_WIDTH)?,
        };
        let (activation, biases) = (Activation::Silu, Presence::Never);
        let (output_scales, shared, beside) = (Presence::Never, None, None);
        Ok(ExpertsPlan { routing, width, gated: true, activation, biases, output_scales, shared, beside })
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
