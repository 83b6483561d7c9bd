//! What a model takes of this machine, and how fast it will be.

use std::sync::Arc;

use parkade_bench::Roofline;
use parkade_core::{EngineConfig, KvGroups, LoadOptions};
use parkade_kernels::Team;
use parkade_model::{PassCost, Survey};
use serde::Serialize;

use crate::args::{DoctorArgs, default_max_seqs};
use crate::doctor::checks::gib;
use crate::loading;
use crate::machine::Machine;

/// Tokens of the prompt that the estimate is for.
const PROMPT: usize = 512;
/// The parts of the machine's limits that one stream and a prompt reach: what `parkade bench model` measures of small models, rounded down.
pub(in crate::doctor) const DECODE_SHARE: f64 = 0.75;
const PREFILL_SHARE: f64 = 0.4;

/// Memory.
#[derive(Debug, Serialize)]
pub(super) struct Needs {
    /// The weights as they will lie in memory.
    pub weight_bytes: u64,
    /// While no window has left anything behind.
    pub kv_bytes_per_token: u64,
    /// For one sequence of the whole context, at its most.
    pub kv_bytes_for_context: u64,
    /// What a sequence takes whatever its length, where layers keep a state; 0 for most models.
    pub state_bytes_per_sequence: u64,
    /// What the KV cache would be, by `--kv-cache-mb` or half of what is free beside the weights, and the tokens of the longest texts that it
    /// holds (of a model of states alone none take any).
    pub kv_cache_bytes: u64,
    pub kv_cache_tokens: Option<u64>,
    /// What can be taken now.
    pub memory_free: u64,
    /// Why that is not enough.
    #[serde(skip)]
    pub problems: Vec<String>,
}

impl Needs {
    pub(super) fn of(survey: &Survey, args: &DoctorArgs, machine: &Machine) -> Option<Needs> {
        let config = survey.config()?;
        let LoadOptions { block_len, kv_type, .. } = LoadOptions::default();
        let layout = survey.kv_layout()?;
        let (block, groups) =
            (layout.bytes_per_block(block_len, kv_type)? as u64, KvGroups::new(layout.reaches(), block_len));
        let bytes_for = |tokens: usize| block.saturating_mul(groups.most_blocks(tokens) as u64);
        let state = survey.state_bytes() as u64;
        let weight_bytes = survey.weight_bytes() as u64;
        let free = machine.memory_free;
        let mut problems = Vec::new();
        if weight_bytes > free {
            let (weights, free) = (gib(weight_bytes), gib(free));
            problems.push(format!(
                "too large for the memory: the weights take {weights}, and {free} are free; take a smaller quantisation or model"
            ));
        }
        problems.extend(loading::options(&args.model, EngineConfig::default(), machine).err().map(|e| e.to_string()));
        let beside = free.saturating_sub(weight_bytes);
        // As `parkade serve` takes it: no more than its sequences can fill.
        let for_context = bytes_for(config.context_length);
        let most = for_context.saturating_add(state);
        let useful = most.saturating_mul(default_max_seqs() as u64);
        let kv_cache_bytes = args.model.kv_cache_mb.map_or((beside / 2).min(useful), |mib| mib << 20);
        let least = bytes_for(1).saturating_add(state);
        if kv_cache_bytes < least && problems.is_empty() {
            let problem =
                format!("the KV cache would have {kv_cache_bytes} bytes, and what one sequence needs takes {least}");
            problems.push(problem);
        }
        if args.model.kv_cache_mb.is_some() && kv_cache_bytes > beside && problems.is_empty() {
            let (cache, beside) = (gib(kv_cache_bytes), gib(beside));
            problems.push(format!("kv-cache-mb asks for {cache}, and {beside} are free beside the weights; give less"));
        }
        Some(Needs {
            weight_bytes,
            kv_bytes_per_token: bytes_for(1) / block_len as u64,
            state_bytes_per_sequence: state,
            kv_bytes_for_context: for_context,
            kv_cache_bytes,
            kv_cache_tokens: tokens_in(kv_cache_bytes, for_context, config.context_length),
            memory_free: free,
            problems,
        })
    }
}

/// The tokens of texts as long as the context in so many bytes, parts of a text included.
fn tokens_in(bytes: u64, for_context: u64, context: usize) -> Option<u64> {
    let tokens = (u128::from(bytes) * context as u128).checked_div(u128::from(for_context))?;
    u64::try_from(tokens).ok()
}

/// How fast a model will be here. An estimate: nothing of the model is run.
#[derive(Debug, Serialize)]
pub(super) struct Speed {
    /// Measured now, with as many threads as will compute.
    pub read_bytes_per_second: f64,
    pub int8_products_per_second: f64,
    /// Weights that one token reads.
    pub bytes_per_token: u64,
    pub products_per_prompt_token: u64,
    pub decode_tokens_per_second: f64,
    pub prefill_tokens_per_second: f64,
    /// How the two come about.
    pub formula: String,
}

impl Speed {
    pub(super) fn estimate(survey: &Survey, args: &DoctorArgs, machine: &Machine) -> Option<Speed> {
        let (decode, prefill) = (survey.pass_cost(1, 1)?, survey.pass_cost(PROMPT, 1)?);
        let roofline = Roofline::measure(&Arc::new(Team::new(loading::threads(&args.model, machine))));
        let seconds =
            |cost: PassCost| (cost.weight_bytes as f64 / roofline.read).max(cost.products as f64 / roofline.int8);
        Some(Speed {
            read_bytes_per_second: roofline.read,
            int8_products_per_second: roofline.int8,
            bytes_per_token: decode.weight_bytes as u64,
            products_per_prompt_token: (prefill.products / PROMPT) as u64,
            decode_tokens_per_second: DECODE_SHARE / seconds(decode),
            prefill_tokens_per_second: PREFILL_SHARE * PROMPT as f64 / seconds(prefill),
            formula: format!(
                "one stream: {DECODE_SHARE} x bandwidth / bytes of weights that a token reads; a prompt of {PROMPT}: {PREFILL_SHARE} x int8 rate / \
                 products; attention left out"
            ),
        })
    }
}
