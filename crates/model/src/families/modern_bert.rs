//! ModernBERT: an encoder with rotations, of which most layers see only what is near.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{Activation, EmbedsPlan, HeadActivation, HeadPlan, NormKind, Plan, Presence, RopePlan};
use crate::pooling::{Pooling, RANK_POOLING};

pub(super) const NAMES: &[&str] = &["modern-bert"];

/// Of so many layers the first sees all.
const PERIOD: usize = 3;

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::encoder(keys, config, RopeLayout::Halves, NormKind::layer(keys, Presence::Never)?)?;
    plan.ends.first_norm = Presence::Required;
    let function = "hidden_activation";
    plan.gate_by(match keys.text(function)? {
        None | Some("gelu" | "geglu") => Activation::Gelu,
        Some("silu" | "swish" | "swiglu") => Activation::Silu,
        Some(other) => return Err(keys.wrong(function, other, "gelu or silu".to_owned())),
    });
    // The first layer reads embeddings that were normed already.
    plan.layers[0].attention_norm = Presence::Never;
    let near = keys.freq_base("rope.freq_base_swa")?.unwrap_or(10_000.0);
    plan.ropes.push(RopePlan { freq_base: near, ..plan.ropes[0].clone() });
    let first = |layer: usize, period: usize| period > 0 && layer.is_multiple_of(period);
    let slides = keys.pattern_by("attention.sliding_window_pattern", config.layers, PERIOD, |l, p| !first(l, p))?;
    let has_windows = keys.integer("attention.sliding_window")?.is_some_and(|window| window > 0);
    for (layer, slides) in plan.layers.iter_mut().zip(slides) {
        if !slides {
            layer.attention.window = None;
        } else if has_windows {
            layer.attention.rope = Some(1);
        }
    }
    rank_by_mean(keys, &mut plan)?;
    Ok(plan)
}

/// The score of a text is made of the mean unless the file says otherwise.
fn rank_by_mean(keys: &Keys<'_>, plan: &mut Plan) -> Result<(), ModelError> {
    let (NormKind::Layer { eps, .. } | NormKind::Rms { eps }) = plan.norm;
    if let Some(EmbedsPlan { pooling, head: HeadPlan::Classifier { activation, norm, .. }, .. }) = &mut plan.embeds {
        if keys.integer(RANK_POOLING)?.is_none() {
            *pooling = Pooling::Mean;
        }
        *activation = HeadActivation::Gelu;
        *norm = Some(eps);
    }
    Ok(())
}
