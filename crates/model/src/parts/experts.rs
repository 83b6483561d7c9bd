//! A mixture of experts: each token goes to a few of many feed-forwards.

use parkade_kernels::{
    Activations, GroupedProduct, MatrixStack, Team, WeightType, add_assign, matmul_grouped, sum_choices,
};

use super::gated::Gated;
use super::linear::{Linear, multiply};
use super::norm::Norm;
use super::scratch::{ExpertScratch, Scratch, room};
use crate::batch::PassCost;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::{Activation, ExpertsPlan, NormKind, SharedExpertPlan};

/// The router and the experts of a layer, and the one that all tokens share, if there is one.
pub(crate) struct Experts {
    plan: ExpertsPlan,
    embedding: usize,
    router: Linear,
    selection_bias: Option<Vec<f32>>,
    gate: Option<ExpertLinear>,
    up: ExpertLinear,
    down: ExpertLinear,
    /// A factor of each expert's results.
    output_scales: Option<Vec<f32>>,
    shared: Option<Shared>,
    beside: Option<Beside>,
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
    /// Loads `name.weight`, `[inputs, outputs, experts]`, and `name.bias`.
    fn load(
        loader: &Loader<'_>,
        name: &str,
        inputs: usize,
        outputs: usize,
        experts: usize,
        bias: Presence,
    ) -> Result<ExpertLinear, ModelError> {
        Ok(ExpertLinear {
            weights: loader.stack(&format!("{name}.weight"), inputs, outputs, experts)?,
            bias: loader.floats_if(bias, &format!("{name}.bias"), &[outputs, experts])?,
        })
    }

    /// Loads two of them, whose outputs lie one after the other for each expert.
    fn load_fused(
        loader: &Loader<'_>,
        name: &str,
        inputs: usize,
        outputs: usize,
        experts: usize,
        bias: Presence,
    ) -> Result<[ExpertLinear; 2], ModelError> {
        let [first, second] = loader.stacks(&format!("{name}.weight"), inputs, [outputs; 2], experts)?;
        let bias = loader.floats_if(bias, &format!("{name}.bias"), &[2 * outputs, experts])?;
        let half = |at: usize| {
            let own = bias.as_ref()?.chunks_exact(outputs).skip(at).step_by(2);
            Some(own.flatten().copied().collect())
        };
        Ok([ExpertLinear { weights: first, bias: half(0) }, ExpertLinear { weights: second, bias: half(1) }])
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
        norm: NormKind,
    ) -> Result<Experts, ModelError> {
        let (experts, width) = (plan.routing.experts, plan.width);
        let linear = |what, inputs, outputs| {
            ExpertLinear::load(loader, &in_layer(layer, what), inputs, outputs, experts, plan.biases)
        };
        let router = Linear::load(loader, &in_layer(layer, "ffn_gate_inp"), embedding, experts, plan.biases)?;
        let bias = in_layer(layer, "exp_probs_b.bias");
        let selection_bias = loader.floats_if(plan.routing.selection_bias, &bias, &[experts])?;
        let fused = in_layer(layer, "ffn_gate_up_exps");
        let (gate, up) = if !plan.gated {
            (None, linear("ffn_up_exps", embedding, width)?)
        } else if loader.has(&format!("{fused}.weight")) {
            let [gate, up] = ExpertLinear::load_fused(loader, &fused, embedding, width, experts, plan.biases)?;
            (Some(gate), up)
        } else {
            (Some(linear("ffn_gate_exps", embedding, width)?), linear("ffn_up_exps", embedding, width)?)
        };
        let down = linear("ffn_down_exps", width, embedding)?;
        let shared = plan.shared.map(|shared| Shared::load(loader, layer, embedding, plan.activation, shared));
        let shared = shared.transpose()?;
        let beside = plan.beside.map(|width| Beside::load(loader, layer, embedding, width, plan.activation, norm));
        let beside = beside.transpose()?;
        let scales = in_layer(layer, "ffn_down_exps.scale");
        let output_scales = loader.floats_if(plan.output_scales, &scales, &[experts])?;
        let mut types = vec![router.ty(), up.ty()];
        types.extend(gate.as_ref().map(ExpertLinear::ty));
        types.extend(shared.iter().flat_map(Shared::types));
        if plan.routing.of_input {
            types.push(WeightType::F32);
        }
        let plan = plan.clone();
        Ok(Experts { plan, embedding, router, selection_bias, gate, up, down, output_scales, shared, beside, types })
    }

    /// What every token meets.
    pub(crate) fn linears(&self) -> Vec<&Linear> {
        let beside = self.beside.iter().flat_map(|beside| beside.body.linears());
        std::iter::once(&self.router).chain(self.shared.iter().flat_map(Shared::linears)).chain(beside).collect()
    }

    /// The types that the input must be set for.
    pub(crate) fn types(&self) -> &[WeightType] {
        self.beside.as_ref().map_or(&self.types, |beside| beside.body.types())
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
        let products: usize = self.stacks().map(|stack| stack.weights.products()).sum();
        PassCost {
            weight_bytes: (self.memory_bytes() as f64 * (1.0 - left)) as usize,
            products: rows * routing.used * products / routing.experts,
        }
    }

    fn stacks(&self) -> impl Iterator<Item = &ExpertLinear> {
        self.gate.iter().chain([&self.up, &self.down])
    }

    /// Sets `delta` to what the experts make of the activations, which are used up.
    pub(crate) fn run(&self, team: &Team, s: &mut Scratch) {
        if let Some(beside) = &self.beside {
            return self.run_beside(beside, team, s);
        }
        self.route(team, s.rows, &s.activations, &mut s.experts);
        self.run_chosen(team, s);
        if let Some(shared) = &self.shared {
            shared.add(team, s);
        }
    }

    /// Of each part the norm of what it gives, and their sum.
    fn run_beside(&self, beside: &Beside, team: &Team, s: &mut Scratch) {
        let values = s.rows * self.embedding;
        beside.body.run(team, s);
        beside.after.run(team, &s.delta[..values], room(&mut s.experts.beside, values));
        beside.router_norm.set(team, &s.hidden[..values], &[self.router.ty()], &mut s.activations);
        self.route(team, s.rows, &s.activations, &mut s.experts);
        beside.before.set(team, &s.hidden[..values], &self.types, &mut s.activations);
        self.run_chosen(team, s);
        beside.after_experts.replace(team, &mut s.delta, values, &mut s.normed);
        add_assign(team, &mut s.delta[..values], &s.experts.beside[..values]);
    }

    fn run_chosen(&self, team: &Team, s: &mut Scratch) {
        let Scratch { rows, activations, inner, gate, up, experts, delta, .. } = s;
        let places = experts.choices.rows();
        let values = places.len() * self.plan.width;
        let types = [self.gate.as_ref().unwrap_or(&self.up).ty(), self.up.ty()];
        if self.plan.routing.of_input {
            let factors = room(&mut experts.factors, places.len());
            for (&place, weight) in experts.choices.places().iter().zip(&mut experts.weights) {
                factors[place as usize] = std::mem::replace(weight, 1.0);
            }
            inner.gather_scaled(team, activations, places, factors, &types);
        } else {
            inner.gather(activations, places, &types);
        }
        let (gates, ups) = (room(gate, values), room(up, values));
        let ends = experts.choices.ends();
        let ExpertsPlan { activation, width, .. } = self.plan;
        match &self.gate {
            Some(gate) => {
                matmul_grouped(team, inner, ends, &mut [gate.product(gates), self.up.product(ups)]);
                inner.set_gated(team, activation, gates, ups, places.len(), width, &[self.down.ty()]);
            }
            None => {
                matmul_grouped(team, inner, ends, &mut [self.up.product(ups)]);
                inner.set_activated(team, activation, ups, places.len(), width, &[self.down.ty()]);
            }
        }
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
        if let Some(scales) = &self.output_scales {
            s.weights.iter_mut().zip(&s.chosen).for_each(|(weight, &expert)| *weight *= scales[expert as usize]);
        }
        s.choices.set(routing.experts, routing.used, &s.chosen);
    }
}

/// A feed-forward beside the experts, and the norms of both.
struct Beside {
    body: Gated,
    /// Of what it gives.
    after: Norm,
    /// Of what the router reads.
    router_norm: Norm,
    /// Of what the experts read.
    before: Norm,
    /// Of what they give.
    after_experts: Norm,
}

impl Beside {
    fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        width: usize,
        activation: Activation,
        kind: NormKind,
    ) -> Result<Beside, ModelError> {
        let norm = |name| Norm::load(loader, &in_layer(layer, name), &[embedding], kind);
        let names = ["ffn_gate", "ffn_up", "ffn_down"];
        let mut factors = loader.floats(&in_layer(layer, "ffn_gate_inp.scale"), &[embedding])?;
        factors.iter_mut().for_each(|factor| *factor /= (embedding as f32).sqrt());
        Ok(Beside {
            body: Gated::load(loader, layer, names, embedding, width, activation)?,
            after: norm("post_ffw_norm_1")?,
            router_norm: Norm::weighted(factors, kind),
            before: norm("pre_ffw_norm_2")?,
            after_experts: norm("post_ffw_norm_2")?,
        })
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
