//! A layer of RWKV 7: a time mix, whose heads carry a matrix of state, and a channel mix. Both see a token together with the one before it.

use parkade_kernels::{
    Activation, Columns, Convolution, Convolved, KeyHeads, Recurrence, Team, Update, WeightType, add_assign,
    for_each_row,
};

use super::super::linear::{Linear, multiply};
use super::super::norm::Norm;
use super::super::scratch::{HEAVY, LIGHT, RwkvScratch, Scratch, of_row, room};
use super::low_rank::{LowRank, each, sigmoid};
use crate::batch::Sequences;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::{NormKind, Plan};

/// What a norm of the output of a head adds before its root.
const HEAD_EPSILON: f32 = 64e-5;
/// What keys of no length are divided by.
const KEY_EPSILON: f32 = 1e-12;
/// `exp(-1/2)`: a state loses at most this power of e at a token.
const FASTEST: f32 = -0.606_531;

/// Both halves of a layer.
pub(crate) struct Rwkv7 {
    /// Where in a slot the layer's state begins: the last token's, the heads', and the last token's of the channel mix.
    start: usize,
    embedding: usize,
    shift: Convolution,
    time: TimeMix,
    channels: ChannelMix,
}

struct TimeMix {
    /// Whether it is the first layer, whose values the others mix with theirs.
    is_first: bool,
    head: usize,
    norm: Norm,
    /// How much of the token before is in what makes queries, decays, keys, values, rates and gates: `[6][embedding]`.
    mixes: Vec<f32>,
    receptance: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    decay: LowRank,
    rate: LowRank,
    value_mix: Option<LowRank>,
    gates: LowRank,
    removed: Vec<f32>,
    kept: Vec<f32>,
    bonus: Vec<f32>,
    to_length: Norm,
    head_norm: Norm,
}

struct ChannelMix {
    norm: Norm,
    mix: Vec<f32>,
    key: Linear,
    value: Linear,
}

impl Rwkv7 {
    /// Loads a layer.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &Plan,
        head: usize,
        width: usize,
    ) -> Result<Rwkv7, ModelError> {
        let shift: Vec<f32> = [1.0, 0.0].repeat(embedding);
        Ok(Rwkv7 {
            start: plan.state_start(layer),
            embedding,
            shift: Convolution::new(2, embedding, &shift, None),
            time: TimeMix::load(loader, layer, embedding, plan, head)?,
            channels: ChannelMix::load(loader, layer, embedding, plan, width)?,
        })
    }

    /// The matrices that every row meets.
    pub(crate) fn linears(&self) -> Vec<&Linear> {
        let time = &self.time;
        let mut linears = vec![&time.receptance, &time.key, &time.value, &time.output];
        let low = [&time.decay, &time.rate, &time.gates].into_iter().chain(&time.value_mix);
        linears.extend(low.flat_map(LowRank::linears));
        linears.extend([&self.channels.key, &self.channels.value]);
        linears
    }

    /// Takes the rows into the states of their sequences, and adds what both halves give to the hidden states.
    pub(crate) fn run(&self, team: &Team, sequences: &mut Sequences<'_>, s: &mut Scratch) {
        let values = s.rows * self.embedding;
        let shift = Convolution::state_values(2, self.embedding);
        self.see(team, sequences, self.start, &self.time.norm, s);
        let heads = self.time.run(team, sequences, self.start + shift, s);
        add_assign(team, &mut s.hidden[..values], &s.delta[..values]);
        self.see(team, sequences, self.start + shift + heads, &self.channels.norm, s);
        self.channels.run(team, s);
        add_assign(team, &mut s.hidden[..values], &s.delta[..values]);
    }

    /// Sets what a half sees: the normed rows, and those before them.
    fn see(&self, team: &Team, sequences: &mut Sequences<'_>, start: usize, norm: &Norm, s: &mut Scratch) {
        let values = s.rows * self.embedding;
        let x = room(&mut s.rwkv.x, values);
        norm.run(team, &s.hidden[..values], x);
        self.shift.run(team, sequences.state_rows(start), Convolved::Plain(x), room(&mut s.rwkv.past, values));
    }
}

/// Makes the rows, mixed with those before them, the input of products.
fn mix(team: &Team, s: &mut Scratch, mix: &[f32], types: &[WeightType]) {
    let (rows, cols) = (s.rows, mix.len());
    let RwkvScratch { mixed, x, past, .. } = &mut s.rwkv;
    let mixed = room(mixed, rows * cols);
    for_each_row(team, LIGHT, [(&mut *mixed, cols)], |row, [mixed]| {
        let (x, past) = (of_row(x, cols, row), of_row(past, cols, row));
        for (mixed, ((x, past), mix)) in mixed.iter_mut().zip(x.iter().zip(past).zip(mix)) {
            *mixed = x + (past - x) * mix;
        }
    });
    s.activations.set(team, mixed, rows, cols, types);
}

impl TimeMix {
    fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &Plan,
        head: usize,
    ) -> Result<TimeMix, ModelError> {
        let name = |what: &str| in_layer(layer, &format!("time_mix_{what}"));
        let linear = |what| Linear::load(loader, &name(what), embedding, embedding, Presence::Never);
        let floats = |what: &str| loader.floats(&name(what), &[embedding]);
        let low = |what, bias| LowRank::load(loader, layer, what, embedding, bias);
        let is_first = layer == 0;
        if is_first {
            // Some files have these, and nothing to mix with.
            ["v0", "v1", "v2"].iter().for_each(|what| loader.leave(&name(&format!("{what}.weight"))));
        }
        let head_kind = NormKind::Layer { eps: HEAD_EPSILON, bias: Presence::Required };
        Ok(TimeMix {
            is_first,
            head,
            norm: Norm::load(loader, &in_layer(layer, "attn_norm"), &[embedding], plan.norm)?,
            mixes: loader.floats(&name("lerp_fused.weight"), &[embedding, 1, 1, 6])?,
            receptance: linear("receptance")?,
            key: linear("key")?,
            value: linear("value")?,
            output: linear("output")?,
            decay: low("w", true)?,
            rate: low("a", true)?,
            value_mix: (!is_first).then(|| low("v", true)).transpose()?,
            gates: low("g", false)?,
            removed: floats("k_k.weight")?,
            kept: floats("k_a.weight")?,
            bonus: floats("r_k.weight")?,
            to_length: Norm::to_length(head, KEY_EPSILON, 1.0),
            head_norm: Norm::load_in_turn(loader, &name("ln"), head, embedding / head, head_kind)?,
        })
    }

    /// Sets `delta` to what the rows give; `start` is where the states of the heads begin. Returns how many values they have.
    fn run(&self, team: &Team, sequences: &mut Sequences<'_>, start: usize, s: &mut Scratch) -> usize {
        let (cols, head) = (self.removed.len(), self.head);
        let (rows, heads) = (s.rows, cols / head);
        let values = rows * cols;
        self.project(team, s);
        self.keys(team, s);
        let own = &mut s.rwkv;
        let out = room(&mut own.out, values);
        Recurrence {
            heads,
            key_heads: heads,
            order: KeyHeads::Neighbours,
            key: head,
            value: head,
            queries: Columns::all(&s.q, cols),
            keys: Columns::all(&s.k, cols),
            values: Columns::all(&s.v, cols),
            update: Update::Replace { decay: &own.decay, take: &own.take, put: &own.put },
        }
        .run(team, sequences.state_rows(start), out);
        self.head_norm.replace(team, &mut own.out, values, &mut s.normed);
        let RwkvScratch { out, gates, .. } = own;
        let out = &mut out[..values];
        // What a token says of itself is added.
        for_each_row(team, LIGHT, [(&mut *out, head)], |at, [out]| {
            let [q, k, v, gates] = [&s.q, &s.k, &s.v, gates].map(|x| of_row(x, head, at));
            let bonus = of_row(&self.bonus, head, at % heads);
            let own: f32 = q.iter().zip(k).zip(bonus).map(|((q, k), bonus)| q * k * bonus).sum();
            out.iter_mut().zip(v).zip(gates).for_each(|((out, v), gate)| *out = (*out + own * v) * gate);
        });
        s.activations.set(team, out, rows, cols, &[self.output.ty()]);
        multiply(team, &s.activations, [(&self.output, room(&mut s.delta, values))]);
        Recurrence::state_values(heads, head, head)
    }

    /// Makes queries, keys, values, decays, rates and gates of the rows.
    fn project(&self, team: &Team, s: &mut Scratch) {
        let cols = self.removed.len();
        let values = s.rows * cols;
        let mixes: Vec<&[f32]> = self.mixes.chunks_exact(cols).collect();
        mix(team, s, mixes[0], &[self.receptance.ty()]);
        multiply(team, &s.activations, [(&self.receptance, room(&mut s.q, values))]);
        mix(team, s, mixes[1], &[self.decay.ty()]);
        self.decay.run(team, s.rows, &mut s.activations, &mut s.rwkv.narrow, &mut s.rwkv.decay, Some(f32::tanh));
        each(team, &mut s.rwkv.decay[..values], |x| (FASTEST * sigmoid(x)).exp());
        mix(team, s, mixes[2], &[self.key.ty()]);
        multiply(team, &s.activations, [(&self.key, room(&mut s.k, values))]);
        let mut types = vec![self.value.ty()];
        types.extend(self.value_mix.as_ref().map(LowRank::ty));
        mix(team, s, mixes[3], &types);
        multiply(team, &s.activations, [(&self.value, room(&mut s.v, values))]);
        if self.is_first {
            room(&mut s.rwkv.first_values, values).copy_from_slice(&s.v[..values]);
        }
        if let Some(low) = &self.value_mix {
            low.run(team, s.rows, &mut s.activations, &mut s.rwkv.narrow, &mut s.rwkv.mixed, None);
            let RwkvScratch { first_values, mixed, .. } = &s.rwkv;
            for_each_row(team, HEAVY, [(&mut s.v[..values], cols)], |row, [v]| {
                let others = of_row(first_values, cols, row).iter().zip(of_row(mixed, cols, row));
                v.iter_mut().zip(others).for_each(|(v, (first, mix))| *v += (first - *v) * sigmoid(*mix));
            });
        }
        mix(team, s, mixes[4], &[self.rate.ty()]);
        self.rate.run(team, s.rows, &mut s.activations, &mut s.rwkv.narrow, &mut s.rwkv.put, None);
        each(team, &mut s.rwkv.put[..values], sigmoid);
        mix(team, s, mixes[5], &[self.gates.ty()]);
        self.gates.run(team, s.rows, &mut s.activations, &mut s.rwkv.narrow, &mut s.rwkv.gates, Some(sigmoid));
    }

    /// Makes of keys and rates what is taken out of the state and put in for it, and what of the keys is kept.
    fn keys(&self, team: &Team, s: &mut Scratch) {
        let cols = self.removed.len();
        let values = s.rows * cols;
        let own = &mut s.rwkv;
        let scaled = room(&mut s.normed, values);
        for_each_row(team, LIGHT, [(&mut *scaled, cols)], |row, [scaled]| {
            let keys = of_row(&s.k, cols, row).iter().zip(&self.removed);
            scaled.iter_mut().zip(keys).for_each(|(scaled, (k, factor))| *scaled = k * factor);
        });
        let taken = room(&mut own.take, values);
        self.to_length.run(team, scaled, taken);
        let arrays = [(&mut s.k[..values], cols), (&mut own.put[..values], cols), (taken, cols)];
        for_each_row(team, LIGHT, arrays, |_, [keys, put, take]| {
            for (((k, put), take), kept) in keys.iter_mut().zip(put).zip(take).zip(&self.kept) {
                *k += *k * kept * (*put - 1.0);
                *put *= *take;
                *take = -*take;
            }
        });
    }
}

impl ChannelMix {
    fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &Plan,
        width: usize,
    ) -> Result<ChannelMix, ModelError> {
        let name = |what: &str| in_layer(layer, &format!("channel_mix_{what}"));
        let linear = |what, inputs, outputs| Linear::load(loader, &name(what), inputs, outputs, Presence::Never);
        Ok(ChannelMix {
            norm: Norm::load(loader, &in_layer(layer, "attn_norm_2"), &[embedding], plan.norm)?,
            mix: loader.floats(&name("lerp_k.weight"), &[embedding])?,
            key: linear("key", embedding, width)?,
            value: linear("value", width, embedding)?,
        })
    }

    /// Sets `delta` to what the rows give.
    fn run(&self, team: &Team, s: &mut Scratch) {
        let (rows, width) = (s.rows, self.key.outputs());
        mix(team, s, &self.mix, &[self.key.ty()]);
        let ups = room(&mut s.up, rows * width);
        multiply(team, &s.activations, [(&self.key, &mut *ups)]);
        s.activations.set_activated(team, Activation::ReluSquared, ups, rows, width, &[self.value.ty()]);
        multiply(team, &s.activations, [(&self.value, room(&mut s.delta, rows * self.mix.len()))]);
    }
}
