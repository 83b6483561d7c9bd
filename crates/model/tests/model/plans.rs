//! What the families make of a file: their plans.

use parkade_kernels::RopeLayout;
use parkade_model::describe;
use parkade_model::plan::{Activation, FeedForwardPlan, NormKind, NormOrder, Plan, Presence, RopeScaling};

use crate::synthetic::{CONTEXT, FEED_FORWARD, LAYERS, Synthetic};

fn plan(model: Synthetic) -> Plan {
    describe(&model.gguf()).unwrap().1
}

fn of(architecture: &'static str) -> Plan {
    plan(Synthetic { architecture, ..Synthetic::default() })
}

#[test]
fn a_llama_is_alike_in_all_layers() {
    let plan = of("llama");
    assert_eq!(plan.norm, NormKind::Rms { eps: 1e-5 });
    assert_eq!(plan.ropes.len(), 1);
    let rope = &plan.ropes[0];
    assert_eq!((rope.layout, rope.dimensions, rope.freq_base), (RopeLayout::Interleaved, 8, 10_000.0));
    assert_eq!(rope.scaling, RopeScaling::None);
    assert_eq!(plan.layers.len(), LAYERS);
    for layer in &plan.layers {
        let attention = &layer.attention;
        assert_eq!((layer.norms, attention.rope, attention.window), (NormOrder::Before, 0, None));
        assert_eq!(attention.scale, 1.0 / 8f32.sqrt());
        assert_eq!((attention.qkv_bias, attention.head_norms), (Presence::Optional, Presence::Never));
        let gated = FeedForwardPlan::Gated { width: FEED_FORWARD, activation: Activation::Silu };
        assert_eq!(layer.feed_forward, gated);
    }
}

#[test]
fn the_families_differ_from_a_llama_in_what_they_say() {
    let llama = of("llama");
    for kin in ["mistral", "smollm", "tinyllama"] {
        assert_eq!(of(kin), llama, "{kin}");
    }
    let qwen = |change: fn(&mut Plan)| {
        let mut plan = llama.clone();
        plan.ropes[0].layout = RopeLayout::Halves;
        change(&mut plan);
        plan
    };
    let qwen2 = qwen(|plan| plan.layers.iter_mut().for_each(|layer| layer.attention.qkv_bias = Presence::Required));
    assert_eq!(of("qwen2"), qwen2);
    let qwen3 = qwen(|plan| plan.layers.iter_mut().for_each(|layer| layer.attention.head_norms = Presence::Required));
    assert_eq!(of("qwen3"), qwen3);
}

#[test]
fn a_window_over_the_whole_context_is_none() {
    let window = |keys: usize| {
        let plan = plan(Synthetic::default().with("attention.sliding_window", keys as u32));
        plan.layers.iter().map(|layer| layer.attention.window).collect::<Vec<_>>()
    };
    assert_eq!(window(7), [Some(7); LAYERS]);
    assert_eq!(window(CONTEXT - 1), [Some(CONTEXT - 1); LAYERS]);
    for none in [0, CONTEXT, CONTEXT + 1] {
        assert_eq!(window(none), [None; LAYERS]);
    }
}

#[test]
fn a_plan_can_be_printed() {
    let text = format!("{:?}", of("qwen3").layers[1]);
    assert!(text.contains("head_norms: Required") && text.contains("activation: Silu"), "{text}");
}
