//! Memory of a pass.

use parkade_kernels::{Activations, Choices, Span};

/// Memory that is kept between passes. The first index of each buffer is the row; a buffer grows to the largest batch so far, and what lies
/// behind the rows of the pass means nothing.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Rows that are still computed.
    pub(crate) rows: usize,
    /// The position of each row in its sequence.
    pub(crate) positions: Vec<u32>,
    /// Hidden states `[rows][embedding]`.
    pub(crate) hidden: Vec<f32>,
    /// Queries `[rows][heads][head_dim]`.
    pub(crate) q: Vec<f32>,
    /// Keys `[rows][kv_heads][head_dim]`.
    pub(crate) k: Vec<f32>,
    /// Values, as the keys.
    pub(crate) v: Vec<f32>,
    /// What a norm replaces: Q, K, or what a half adds.
    pub(crate) normed: Vec<f32>,
    /// What the queries attend to, `[rows][heads][value_dim]`.
    pub(crate) attended: Vec<f32>,
    /// The gates of a feed-forward.
    pub(crate) gate: Vec<f32>,
    /// What they are multiplied with.
    pub(crate) up: Vec<f32>,
    /// What a half of a layer adds to the hidden states.
    pub(crate) delta: Vec<f32>,
    /// What the layers are told of the tokens themselves, `[rows][layers][width]`.
    pub(crate) layer_embeddings: Vec<f32>,
    /// How much of it there is for a row.
    pub(crate) layer_embeddings_width: usize,
    /// The input of a product.
    pub(crate) activations: Activations,
    /// What carries a state.
    pub(crate) states: StateScratch,
    /// What RWKV makes of tokens and those before them.
    pub(crate) rwkv: RwkvScratch,
    /// What latent attention makes its queries, keys and values of.
    pub(crate) latent: LatentScratch,
    /// The input of experts, place by place, and then what is between their halves; and the inputs of products inside of attention.
    pub(crate) inner: Activations,
    /// What rows choose of a mixture of experts.
    pub(crate) experts: ExpertScratch,
    /// Where there are several streams of hidden states.
    pub(crate) streams: StreamScratch,
}

/// Memory of several streams of hidden states.
#[derive(Default)]
pub(crate) struct StreamScratch {
    /// The streams `[rows][streams][embedding]`.
    pub(crate) states: Vec<f32>,
    /// How much of it there is for a row.
    pub(crate) width: usize,
    /// What goes beside attention.
    pub(crate) beside: Vec<f32>,
}

/// Memory of what carries a state.
#[derive(Default)]
pub(crate) struct StateScratch {
    /// What a projection gives.
    pub(crate) projected: Vec<f32>,
    /// The same after the convolution.
    pub(crate) convolved: Vec<f32>,
    /// The gates of what comes out.
    pub(crate) gates: Vec<f32>,
    /// Queries, where they are normed, `[rows][key_heads][key]`.
    pub(crate) queries: Vec<f32>,
    /// Keys, as the queries.
    pub(crate) keys: Vec<f32>,
    /// How much of each head's state is left, `[rows][heads]`.
    pub(crate) decay: Vec<f32>,
    /// The factor of what each head takes in, `[rows][heads]`.
    pub(crate) factor: Vec<f32>,
    /// Both, before they are taken apart.
    pub(crate) together: Vec<f32>,
    /// The input of the projection behind it, `[rows][width]`.
    pub(crate) out: Vec<f32>,
    /// Its width.
    pub(crate) width: usize,
}

/// Memory of RWKV. All are `[rows][embedding]` unless it is said.
#[derive(Default)]
pub(crate) struct RwkvScratch {
    /// What a half sees of a token.
    pub(crate) x: Vec<f32>,
    /// The same of the token before.
    pub(crate) past: Vec<f32>,
    /// Both, mixed.
    pub(crate) mixed: Vec<f32>,
    /// What is between two matrices of low rank, `[rows][rank]`.
    pub(crate) narrow: Vec<f32>,
    /// The values of the first layer.
    pub(crate) first_values: Vec<f32>,
    /// How much of the state is left.
    pub(crate) decay: Vec<f32>,
    /// What is taken out of the state.
    pub(crate) take: Vec<f32>,
    /// What is put in for it.
    pub(crate) put: Vec<f32>,
    /// The gates of what comes out.
    pub(crate) gates: Vec<f32>,
    /// What comes out.
    pub(crate) out: Vec<f32>,
}

/// Memory of latent attention.
#[derive(Default)]
pub(crate) struct LatentScratch {
    /// What a projection gives before it is taken apart.
    pub(crate) whole: Vec<f32>,
    /// The rotated parts of queries `[rows][heads][rotated]`.
    pub(crate) query_turned: Vec<f32>,
    /// The rotated keys `[rows][rotated]`.
    pub(crate) key_turned: Vec<f32>,
    /// What meets a matrix of each head, head by head.
    pub(crate) by_head: Vec<f32>,
    /// Values as they are cached, where it is not the latents.
    pub(crate) values: Vec<f32>,
}

/// Memory of a mixture of experts. A place is a choice of a row; see [`Choices`].
#[derive(Default)]
pub(crate) struct ExpertScratch {
    /// Outputs of the router, and of the gate of a shared expert.
    pub(crate) scores: Vec<f32>,
    /// What one row chooses by.
    pub(crate) selection: Vec<f32>,
    /// Experts of each row, `[rows][used]`.
    pub(crate) chosen: Vec<u32>,
    /// Their weights.
    pub(crate) weights: Vec<f32>,
    /// The weights place by place, where they are factors of what experts read.
    pub(crate) factors: Vec<f32>,
    /// The choices, sorted by expert.
    pub(crate) choices: Choices,
    /// What the experts give, place by place.
    pub(crate) outputs: Vec<f32>,
    /// What a feed-forward beside them gives.
    pub(crate) beside: Vec<f32>,
}

impl Scratch {
    /// Begins a pass over the rows of the spans.
    pub(crate) fn start(&mut self, spans: &[Span<'_>]) {
        self.positions.clear();
        for span in spans {
            // Positions are below the context length, which is far below 2^32.
            self.positions.extend((span.past..span.past + span.rows).map(|p| p as u32));
        }
        self.rows = self.positions.len();
    }

    /// Goes on with the given rows alone, which ascend. The widths are those of `hidden` and `attended`, the second
    /// 0 where nothing was attended to.
    pub(crate) fn keep(&mut self, rows: &[usize], embedding: usize, heads: usize) {
        gather(&mut self.hidden, rows, embedding);
        gather(&mut self.attended, rows, heads);
        gather(&mut self.states.out, rows, self.states.width);
        gather(&mut self.layer_embeddings, rows, self.layer_embeddings_width);
        if self.streams.width > 0 {
            gather(&mut self.streams.states, rows, self.streams.width);
            gather(&mut self.streams.beside, rows, embedding);
        }
        self.rows = rows.len();
    }
}

/// The first `len` values of a buffer that grows when it must. What it held before stays in it, to be overwritten: clearing megabytes in every
/// step would be for nothing.
pub(crate) fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// Values of one row of `cols`.
pub(crate) fn of_row(x: &[f32], cols: usize, row: usize) -> &[f32] {
    &x[row * cols..][..cols]
}

/// Values that a thread takes at a time where each costs a few instructions; see [`parkade_kernels::for_each_row`].
pub(crate) const LIGHT: usize = 16_384;
/// The same where each costs an exponential or the like.
pub(crate) const HEAVY: usize = 2_048;

/// Moves the given rows, which ascend, to the front.
fn gather(x: &mut [f32], rows: &[usize], cols: usize) {
    for (to, &from) in rows.iter().enumerate() {
        x.copy_within(from * cols..(from + 1) * cols, to * cols);
    }
}
