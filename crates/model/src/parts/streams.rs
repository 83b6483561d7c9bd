//! Several streams of hidden states, of which the layers work on one (AltUp, <https://arxiv.org/abs/2301.13310>), and a way of low rank beside
//! attention (LAuReL, <https://arxiv.org/abs/2411.07501>).
//!
//! Before a layer each stream is predicted from all of them; the layer works on the prediction of the first. What comes out of it corrects
//! the others. By how much is said by a router that reads the first stream.

use parkade_kernels::{GroupedProduct, MatrixStack, Team, add_assign, for_each_row, matmul_grouped, scale};

use super::linear::{Linear, multiply};
use super::norm::Norm;
use super::scratch::{LIGHT, Scratch, StreamScratch, of_row, room};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::Plan;

/// What is between the embeddings and the streams, and between these and the last norm.
pub(crate) struct StreamEnds {
    streams: usize,
    embedding: usize,
    first: MatrixStack,
    last: MatrixStack,
}

impl StreamEnds {
    pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, streams: usize) -> Result<StreamEnds, ModelError> {
        let embedding = config.embedding;
        let stack = |name| loader.stack(name, embedding, embedding, streams - 1);
        let (first, last) = (stack("altup_proj.weight")?, stack("altup_unembd_proj.weight")?);
        Ok(StreamEnds { streams, embedding, first, last })
    }

    pub(crate) fn stacks(&self) -> [&MatrixStack; 2] {
        [&self.first, &self.last]
    }

    /// Makes the streams of the hidden states: the first is these, the others are as long.
    pub(crate) fn begin(&self, team: &Team, s: &mut Scratch) {
        let (streams, width, rows) = (self.streams, self.embedding, s.rows);
        s.streams.width = streams * width;
        let values = rows * streams * width;
        let states = room(&mut s.streams.states, values);
        for_each_row(team, LIGHT, [(states, streams * width)], |row, [state]| {
            state[..width].copy_from_slice(of_row(&s.hidden, width, row));
        });
        self.turn(team, &self.first, 0, s);
        for_each_row(team, LIGHT, [(&mut s.streams.states[..values], streams * width)], |row, [state]| {
            for (stream, state) in state.chunks_exact_mut(width).enumerate().skip(1) {
                state.copy_from_slice(of_row(&s.normed, width, (stream - 1) * rows + row));
            }
        });
    }

    /// Makes the hidden states of the streams: the mean of the first and of the others, which are made as long.
    pub(crate) fn end(&self, team: &Team, s: &mut Scratch) {
        let (streams, width, rows) = (self.streams, self.embedding, s.rows);
        self.turn(team, &self.last, 1, s);
        take_first(team, streams, width, s);
        for made in s.normed[..(streams - 1) * rows * width].chunks_exact(rows * width) {
            add_assign(team, &mut s.hidden[..rows * width], made);
        }
        scale(team, &mut s.hidden[..rows * width], 1.0 / streams as f32);
    }

    /// Sets `normed`, `[streams - 1][rows][width]`, to the products of each matrix with its stream (or with the first for all, where `step` is 0), as
    /// long as the first stream.
    fn turn(&self, team: &Team, matrices: &MatrixStack, step: usize, s: &mut Scratch) {
        let (streams, width, rows) = (self.streams, self.embedding, s.rows);
        let Scratch { streams: StreamScratch { states, .. }, gate: sorted, normed, activations, .. } = s;
        let places = (streams - 1) * rows;
        let sorted = room(sorted, places * width);
        for_each_row(team, LIGHT, [(&mut *sorted, width)], |index, [to]| {
            let (stream, row) = ((1 + index / rows) * step, index % rows);
            to.copy_from_slice(of_row(states, width, row * streams + stream));
        });
        activations.set(team, sorted, places, width, &[matrices.weight_type()]);
        let ends: Vec<usize> = (1..streams).map(|stream| stream * rows).collect();
        let out = room(normed, places * width);
        let mut product = [GroupedProduct { weights: matrices, bias: None, out: &mut *out }];
        matmul_grouped(team, activations, &ends, &mut product);
        for_each_row(team, LIGHT, [(out, width)], |index, [made]| {
            let first = of_row(states, width, index % rows * streams);
            let factor = length(first) / length(made);
            made.iter_mut().for_each(|x| *x *= factor);
        });
    }
}

fn length(x: &[f32]) -> f32 {
    x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32
}

/// What a layer does with the streams.
pub(crate) struct Streams {
    streams: usize,
    embedding: usize,
    router_norm: Norm,
    router: Linear,
    /// `[streams][streams][streams]`: how much of a stream is in the prediction of another, by the router's outputs.
    predict: Vec<f32>,
    /// `[streams][streams]`: how much a stream is corrected, by the router's outputs.
    correct: Vec<f32>,
    correct_scale: Vec<f32>,
    /// The norm of what attention reads, which the way beside it reads too.
    before: Norm,
    low_rank: [Linear; 2],
    low_rank_norm: Norm,
}

impl Streams {
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        config: &ModelConfig,
        plan: &Plan,
        streams: usize,
    ) -> Result<Streams, ModelError> {
        let embedding = config.embedding;
        let name = |what: &str| in_layer(layer, what);
        let linear = |what, from, to| Linear::load(loader, &name(what), from, to, Presence::Never);
        let norm = |what| Norm::load(loader, &name(what), &[embedding], plan.norm);
        let mut factors = loader.floats(&name("altup_router_norm.weight"), &[embedding])?;
        factors.iter_mut().for_each(|factor| *factor /= embedding as f32);
        let rank = loader.rows(&name("laurel_l.weight")).unwrap_or(1);
        Ok(Streams {
            streams,
            embedding,
            router_norm: Norm::weighted(factors, plan.norm),
            router: linear("altup_router", embedding, streams)?,
            predict: loader.floats(&name("altup_predict_coef.weight"), &[streams, streams * streams])?,
            correct: loader.floats(&name("altup_correct_coef.weight"), &[streams, streams])?,
            correct_scale: loader.floats(&name("altup_correct_scale.weight"), &[embedding])?,
            before: norm("attn_norm")?,
            low_rank: [linear("laurel_l", embedding, rank)?, linear("laurel_r", rank, embedding)?],
            low_rank_norm: norm("laurel_post_norm")?,
        })
    }

    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        [&self.router].into_iter().chain(&self.low_rank)
    }

    /// Predicts the streams, and makes the first of them the hidden states. What goes beside attention is made too.
    pub(crate) fn predict(&self, team: &Team, s: &mut Scratch) {
        let (streams, width) = (self.streams, self.embedding);
        take_first(team, streams, width, s);
        self.route(team, s);
        let states = &mut s.streams.states[..s.rows * streams * width];
        for_each_row(team, LIGHT, [(states, streams * width)], |row, [state]| {
            let coefficients = combine(&self.predict, of_row(&s.gate, streams, row));
            let before = state.to_vec();
            for (state, of_all) in state.chunks_exact_mut(width).zip(coefficients.chunks_exact(streams)) {
                for (part, coefficient) in before.chunks_exact(width).zip(of_all) {
                    state.iter_mut().zip(part).for_each(|(x, y)| *x += coefficient * y);
                }
            }
        });
        take_first(team, streams, width, s);
        self.go_beside(team, s);
    }

    /// Sets `streams.beside`.
    fn go_beside(&self, team: &Team, s: &mut Scratch) {
        let values = s.rows * self.embedding;
        let [down, up] = &self.low_rank;
        self.before.set(team, &s.hidden[..values], &[down.ty()], &mut s.activations);
        let inner = room(&mut s.gate, s.rows * down.outputs());
        multiply(team, &s.activations, [(down, &mut *inner)]);
        s.activations.set(team, inner, s.rows, down.outputs(), &[up.ty()]);
        multiply(team, &s.activations, [(up, room(&mut s.streams.beside, values))]);
        self.low_rank_norm.replace(team, &mut s.streams.beside, values, &mut s.normed);
        self.before.run(team, &s.hidden[..values], room(&mut s.normed, values));
        add_assign(team, &mut s.streams.beside[..values], &s.normed[..values]);
    }

    /// Adds what went beside attention.
    pub(crate) fn join(&self, team: &Team, s: &mut Scratch) {
        let values = s.rows * self.embedding;
        add_assign(team, &mut s.hidden[..values], &s.streams.beside[..values]);
        scale(team, &mut s.hidden[..values], std::f32::consts::FRAC_1_SQRT_2);
    }

    /// Corrects the streams by what the layer made of the first, and sets the hidden states to what the layer's own embedding reads.
    pub(crate) fn correct(&self, team: &Team, s: &mut Scratch) {
        let (streams, width) = (self.streams, self.embedding);
        self.route(team, s);
        let states = &mut s.streams.states[..s.rows * streams * width];
        let arrays = [(states, streams * width), (&mut s.hidden[..s.rows * width], width)];
        for_each_row(team, LIGHT, arrays, |row, [state, hidden]| {
            let coefficients = combine(&self.correct, of_row(&s.gate, streams, row));
            hidden.iter_mut().zip(&*state).for_each(|(made, predicted)| *made -= predicted);
            for (state, coefficient) in state.chunks_exact_mut(width).zip(&coefficients) {
                state.iter_mut().zip(&*hidden).for_each(|(x, y)| *x += (coefficient + 1.0) * y);
            }
            for ((hidden, first), factor) in hidden.iter_mut().zip(&*state).zip(&self.correct_scale) {
                *hidden = first * factor;
            }
        });
    }

    /// Adds `delta` to all streams but the first.
    pub(crate) fn add(&self, team: &Team, s: &mut Scratch) {
        let (streams, width) = (self.streams, self.embedding);
        let states = &mut s.streams.states[..s.rows * streams * width];
        for_each_row(team, LIGHT, [(states, streams * width)], |row, [state]| {
            for state in state.chunks_exact_mut(width).skip(1) {
                state.iter_mut().zip(of_row(&s.delta, width, row)).for_each(|(x, y)| *x += y);
            }
        });
    }

    /// Sets `gate`, `[rows][streams]`, to what the router says of the hidden states.
    fn route(&self, team: &Team, s: &mut Scratch) {
        let values = s.rows * self.embedding;
        self.router_norm.set(team, &s.hidden[..values], &[self.router.ty()], &mut s.activations);
        let routes = room(&mut s.gate, s.rows * self.streams);
        multiply(team, &s.activations, [(&self.router, &mut *routes)]);
        routes.iter_mut().for_each(|x| *x = x.tanh());
    }
}

/// Makes the first of the streams the hidden states.
fn take_first(team: &Team, streams: usize, width: usize, s: &mut Scratch) {
    for_each_row(team, LIGHT, [(&mut s.hidden[..s.rows * width], width)], |row, [hidden]| {
        hidden.copy_from_slice(of_row(&s.streams.states, width, row * streams));
    });
}

/// The products of a small matrix's rows with a vector.
fn combine(matrix: &[f32], x: &[f32]) -> Vec<f32> {
    matrix.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
}
