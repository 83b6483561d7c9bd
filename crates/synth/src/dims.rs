//! The numbers that models of one architecture differ in.

/// The numbers of a model. Not every architecture reads all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dims {
    pub(crate) width: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head: usize,
    pub(crate) ffn: usize,
    pub(crate) vocab: usize,
    pub(crate) context: usize,
    /// The base of the rotation.
    pub(crate) base: f32,
    /// Keys that a query sees where attention slides.
    pub(crate) window: usize,
    /// Experts, and how many each token has.
    pub(crate) experts: usize,
    pub(crate) used: usize,
    /// Width of an expert, and of all shared ones together.
    pub(crate) expert_ffn: usize,
    pub(crate) shared_ffn: usize,
    /// Layers in front that have no experts.
    pub(crate) dense: usize,
    /// Whether the output is the embedding table.
    pub(crate) tied: bool,
}

/// What most tiny models have.
pub(crate) const TINY: Dims = Dims {
    width: 128,
    layers: 2,
    heads: 4,
    kv_heads: 2,
    head: 32,
    ffn: 96,
    vocab: 512,
    context: 512,
    base: 10_000.0,
    window: 32,
    experts: 6,
    used: 3,
    expert_ffn: 32,
    shared_ffn: 0,
    dense: 0,
    tied: false,
};
