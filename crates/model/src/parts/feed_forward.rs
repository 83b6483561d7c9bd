//! The half of a layer with a feed-forward, or with a mixture of them.

use parkade_kernels::Team;

use super::experts::Experts;
use super::gated::Gated;
use super::linear::Linear;
use super::residual::Residual;
use super::scratch::Scratch;
use crate::error::ModelError;
use crate::loader::Loader;
use crate::plan::{FeedForwardPlan, Plan};

/// What it computes, and how that is added to the hidden states.
pub(crate) struct FeedForward {
    residual: Residual,
    body: Body,
}

/// What stands between the two.
enum Body {
    Gated(Box<Gated>),
    Experts(Box<Experts>),
}

impl FeedForward {
    /// Loads the feed-forward of a layer, if it has one.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &Plan,
    ) -> Result<Option<FeedForward>, ModelError> {
        let names = ["ffn_gate", "ffn_up", "ffn_down"];
        let body = match &plan.layers[layer].feed_forward {
            &FeedForwardPlan::Gated { width, activation, cutoff } => {
                let gated = Gated::load(loader, layer, names, embedding, width, activation)?;
                Body::Gated(Box::new(gated.with_cutoff(cutoff)))
            }
            &FeedForwardPlan::Plain { width, activation } => {
                Body::Gated(Box::new(Gated::load_plain(loader, layer, embedding, width, activation)?))
            }
            FeedForwardPlan::None => return Ok(None),
            FeedForwardPlan::Experts(experts) => {
                Body::Experts(Box::new(Experts::load(loader, layer, embedding, experts, plan.norm)?))
            }
        };
        let norm = plan.layers[layer].feed_forward_norm;
        let residual =
            Residual::load(loader, layer, Some(norm), "post_ffw_norm", "layer_output_norm", plan, embedding)?;
        Ok(Some(FeedForward { residual, body }))
    }

    /// The matrices that every row meets.
    pub(crate) fn linears(&self) -> Vec<&Linear> {
        match &self.body {
            Body::Gated(gated) => gated.linears().collect(),
            Body::Experts(experts) => experts.linears(),
        }
    }

    /// Those of which each row meets a few.
    pub(crate) fn experts(&self) -> Option<&Experts> {
        match &self.body {
            Body::Gated(_) => None,
            Body::Experts(experts) => Some(experts),
        }
    }

    /// Adds the result to the hidden states.
    pub(crate) fn run(&self, team: &Team, s: &mut Scratch) {
        match &self.body {
            Body::Gated(gated) => {
                self.residual.read(team, s, gated.types());
                gated.run(team, s);
            }
            Body::Experts(experts) => {
                self.residual.read(team, s, experts.types());
                experts.run(team, s);
            }
        }
        self.residual.add(team, s);
    }
}
