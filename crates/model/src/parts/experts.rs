//! A mixture of experts: each token goes to a few of many feed-forwards.

use parkade_kernels::{
    Activations, GroupedProduct, MatrixStack, Team, WeightType, add_assign, matmul_grouped, sum_choices,
};

use super::gated::Gated;
use super::linear::{Linear, multiply};
use super::scratch::{ExpertScratch, Scratch, room};
use crate::batch::PassCost;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::{Activation, ExpertsPlan, SharedExpertPlan};

/// The router and the experts of a layer, and the one that all tokens share, if there is one.
pub(crate) struct Experts {
    plan: ExpertsPlan,
    embedding: usize,
    router: Linear,
    selection_bias: Option<Vec<f32>>,
    gate: ExpertLinear,
    up: ExpertLinear,
    down: ExpertLinear,
    shared: Option<Shared>,
    /// What the input must be set for.
    types: Vec<WeightType>,
}

/// The weight matrices of all experts, with their biases.
struct ExpertLinear {
    weights: MatrixStack,
    /// `[experts][outputs]`.
    bias: Option<Vec<f32>>,
}

impl ExpertLinear {
    fn load(loader: &Loader<'_>, name: &str, shape: [usize; 3], bias: Presence) -> Result<ExpertLinear, ModelError> {
        let [_, outputs, experts] = shape;
        Ok(ExpertLinear {
            weights: loader.stack(&format!("{name}.weight"), shape)?,
            bias: loader.floats_if(bias, &format!("{name}.bias"), &[outputs, experts])?,
        })
    }

    fn ty(&self) -> WeightType {
        self.weights.weight_type()
    }

    fn memory_bytes(&self) -> usize {
        self.weights.memory_bytes() + self.bias.as_ref().map_or(0, |bias| size_of_val(bias.as_slice()))
    }

    fn product<'a>(&'a self, out: &'a mut [f32]) -> GroupedProduct<'a> {
        GroupedProduct { weights: &self.weights, bias: self.bias.as_deref(), out }
    }
}

impl Experts {
    /// Loads the experts of a layer.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &ExpertsPlan,
    ) -> Result<Experts, ModelError> {
        let (experts, width) = (plan.routing.experts, plan.width);
        let stack = |what, inputs, outputs| {
            ExpertLinear::load(loader, &in_layer(layer, what), [inputs, outputs, experts], plan.biases)
        };
        let router = Linear::load(loader, &in_layer(layer, "ffn_gate_inp"), embedding, experts, plan.biases)?;
        let bias = in_layer(layer, "exp_probs_b.bias");
        let selection_bias = loader.floats_if(plan.routing.selection_bias, &bias, &[experts])?;
        let gate = stack("ffn_gate_exps", embedding, width)?;
        let up = stack("ffn_up_exps", embedding, width)?;
        let down = stack("ffn_down_exps", width, embedding)?;
        let shared = plan.shared.map(|shared| Shared::load(loader, layer, embedding, plan.activation, shared));
        let shared = shared.transpose()?;
        let mut types = vec![router.ty(), gate.ty(), up.ty()];
        types.extend(shared.iter().flat_map(Shared::types));
        Ok(Experts { plan: plan.clone(), embedding, router, selection_bias, gate, up, down, shared, types })
    }

    /// What every token meets.
    pub(crate) fn linears(&self) -> Vec<&Linear> {
        std::iter::once(&self.router).chain(self.shared.iter().flat_map(Shared::linears)).collect()
    }

    /// The types that the input must be set for.
    pub(crate) fn types(&self) -> &[WeightType] {
        &self.types
    }

    /// Memory that the weights of all experts take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.stacks().map(ExpertLinear::memory_bytes).sum()
    }

    /// What so many rows ask of the experts: each row its own, and of the weights those that somebody chose. Tokens that choose evenly and apart
    /// leave an expert alone with the probability `(1 - used / experts)^rows`.
    pub(crate) fn cost(&self, rows: usize) -> PassCost {
        let routing = &self.plan.routing;
        let left = (1.0 - routing.used as f64 / routing.experts as f64).powf(rows as f64);
        let weights: usize = self.stacks().map(|stack| stack.weights.rows() * stack.weights.cols()).sum();
        PassCost {
            weight_bytes: (self.memory_bytes() as f64 * (1.0 - left)) as usize,
            products: rows * routing.used * weights,
        }
    }

    fn stacks(&self) -> impl Iterator<Item = &ExpertLinear> {
        [&self.gate, &self.up, &self.down].into_iter()
    }

    /// Sets `delta` to what the experts make of the activations, which are used up.
    pub(crate) fn run(&self, team: &Team, s: &mut Scratch) {
        self.run_chosen(team, s);
        if let Some(shared) = &self.shared {
            shared.add(team, s);
        }
    }

    fn run_chosen(&self, team: &Team, s: &mut Scratch) {
        let Scratch { rows, activations, inner, gate, up, experts, delta, .. } = s;
        self.route(team, *rows, activations, experts);
        let places = experts.choices.rows();
        let values = places.len() * self.plan.width;
        inner.gather(activations, places, &[self.gate.ty(), self.up.ty()]);
        let (gates, ups) = (room(gate, values), room(up, values));
        let ends = experts.choices.ends();
        matmul_grouped(team, inner, ends, &mut [self.gate.product(gates), self.up.product(ups)]);
        let ExpertsPlan { activation, width, .. } = self.plan;
        inner.set_gated(team, activation, gates, ups, places.len(), width, &[self.down.ty()]);
        let outputs = room(&mut experts.outputs, places.len() * self.embedding);
        matmul_grouped(team, inner, ends, &mut [self.down.product(outputs)]);
        let delta = room(delta, *rows * self.embedding);
        sum_choices(team, &experts.choices, &experts.weights, outputs, self.embedding, delta);
    }

    /// Each row chooses its experts.
    fn route(&self, team: &Team, rows: usize, activations: &Activations, s: &mut ExpertScratch) {
        let routing = &self.plan.routing;
        let outputs = room(&mut s.scores, rows * routing.experts);
        multiply(team, activations, [(&self.router, &mut *outputs)]);
        s.chosen.clear();
        s.weights.clear();
        for outputs in outputs.chunks_exact_mut(routing.experts) {
            let bias = self.selection_bias.as_deref();
            routing.choose(outputs, bias, &mut s.selection, &mut s.chosen, &mut s.weights);
        }
        s.choices.set(routing.experts, routing.used, &s.chosen);
    }
}

/// A feed-forward that every token goes to.
struct Shared {
    body: Gated,
    /// One number for each token, whose sigmoid is the factor of the result.
    gate: Option<Linear>,
}

impl Shared {
    fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        activation: Activation,
        plan: SharedExpertPlan,
    ) -> Result<Shared, ModelError> {
        let names = ["ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"];
        let gate = || Linear::load(loader, &in_layer(layer, "ffn_gate_inp_shexp"), embedding, 1, Presence::Never);
        Ok(Shared {
            body: Gated::load(loader, layer, names, embedding, plan.width, activation)?,
            gate: plan.gated.then(gate).transpose()?,
        })
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.body.linears().chain(&self.gate)
    }

    fn types(&self) -> impl Iterator<Item = WeightType> {
        self.body.types().iter().copied().chain(self.gate.as_ref().map(Linear::ty))
    }

    /// Adds its result to that of the chosen experts.
    fn add(&self, team: &Team, s: &mut Scratch) {
        if let Some(gate) = &self.gate {
            let gates = room(&mut s.experts.scores, s.rows);
            multiply(team, &s.activations, [(gate, &mut *gates)]);
            gates.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
        }
        std::mem::swap(&mut s.delta, &mut s.experts.outputs);
        self.body.run(team, s);
        let values = s.rows * self.body.outputs();
        let delta = &mut s.delta[..values];
        if self.gate.is_some() {
            for (row, gate) in delta.chunks_exact_mut(self.body.outputs()).zip(&s.experts.scores) {
                row.iter_mut().for_each(|x| *x *= gate);
            }
        }
        add_assign(team, delta, &s.experts.outputs[..values]);
    }
}
