//! What the families make of a file: their plans.

use parkade_kernels::RopeLayout;
use parkade_model::describe;
use parkade_model::gguf::{Array, Value};
use parkade_model::plan::{Activation, FeedForwardPlan, HeadNorms, NormKind, NormOrder, Plan, Presence, RopeScaling};

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
        assert_eq!((layer.norms, attention.rope, attention.window), (NormOrder::Before, Some(0), None));
        assert_eq!(attention.scale, 1.0 / 8f32.sqrt());
        assert_eq!((attention.qkv_bias, attention.head_norms), (Presence::Optional, HeadNorms::NEVER));
        let gated = FeedForwardPlan::Gated { width: FEED_FORWARD, activation: Activation::Silu, cutoff: None };
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
    let qwen3 = qwen(|plan| plan.layers.iter_mut().for_each(|layer| layer.attention.head_norms = HeadNorms::OF_HEADS));
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
fn layers_slide_by_the_files_pattern_or_the_familys_period() {
    const WINDOW: usize = 7;
    let sliding = |architecture, pattern: Option<Value>| {
        let mut model = Synthetic { architecture, ..Synthetic::default() };
        model = model.with("attention.sliding_window", WINDOW as u32);
        if let Some(pattern) = pattern {
            model = model.with("attention.sliding_window_pattern", pattern);
        }
        plan(model).layers.iter().map(|layer| layer.attention.window.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(LAYERS, 2);
    assert_eq!(sliding("gemma2", None), [true, false]);
    assert_eq!(sliding("gemma3", None), [true, true]);
    assert_eq!(sliding("gemma3", Some(2u32.into())), [true, false]);
    assert_eq!(sliding("gemma3", Some(1u32.into())), [false, false]);
    assert_eq!(sliding("gemma3", Some(Array::Bool(vec![false, true]).into())), [false, true]);
    assert_eq!(sliding("gemma3", Some(Array::I32(vec![1, 0]).into())), [true, false]);
}

#[test]
fn the_context_chooses_the_divisors_of_long_rope() {
    let scaling = |original: usize| {
        let model = Synthetic { architecture: "phi3", ..Synthetic::default() }
            .with("rope.scaling.type", "longrope")
            .with("rope.scaling.attn_factor", 1.5f32)
            .with("rope.scaling.original_context_length", original as u32);
        plan(model).ropes.remove(0).scaling
    };
    assert_eq!(scaling(CONTEXT), RopeScaling::Long { longer: false, attn_factor: 1.5 });
    assert_eq!(scaling(CONTEXT - 1), RopeScaling::Long { longer: true, attn_factor: 1.5 });
}

#[test]
fn a_plan_can_be_printed() {
    let text = format!("{:?}", of("qwen3").layers[1]);
    assert!(text.contains("head_norms: HeadNorms { presence: Required") && text.contains("activation: Silu"), "{text}");
}
