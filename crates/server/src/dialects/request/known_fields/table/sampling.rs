//! How the next token is chosen.

use crate::dialects::request::known_fields::Nothing::{
    AtLeast, AtMost, EmptyList, EmptyObject, EmptyText, False, Number, True, Word,
};
use crate::dialects::request::known_fields::Place::Both;
use crate::dialects::request::known_fields::{Adjusts, Row, adjusts, refused};

const NOT_A_SAMPLER: &str =
    "this sampler is not implemented; use temperature, top_k, top_p, min_p, typical_p, top_n_sigma, xtc or dry";
const OWN_ORDER: &str = "the order of the samplers is fixed here; leave it out";
const EVEN: &str = "penalties are the same for all tokens that they look at; leave it out";
const USE_WINDOW: &str = "use repeat_last_n";
const NO_BEAMS: &str = "beams are not searched here; use n with a temperature";
const USE_LOGIT_BIAS: &str = "use logit_bias";

/// Penalties are at work.
const PENALISING: Adjusts = &[
    (&["presence_penalty", "frequency_penalty"], &[Number(0.0)]),
    (&["repetition_penalty", "repeat_penalty"], &[Number(1.0)]),
];

/// Tokens are filtered.
const FILTERING: Adjusts =
    &[(&["top_k"], &[AtMost(0.0)]), (&["top_p", "typical_p", "typ_p"], &[Number(1.0)]), (&["min_p"], &[Number(0.0)])];

/// DRY is at work.
const DRY: Adjusts = &[(&["dry_multiplier"], &[AtMost(0.0)])];

pub(super) const PENALTIES: &[Row] = &[
    adjusts(
        PENALISING,
        Both,
        &["repetition_penalty_range", "penalty_range", "rep_pen_range", "repetition_context_size"],
        &[AtMost(0.0)],
        USE_WINDOW,
    ),
    adjusts(
        PENALISING,
        Both,
        &["presence_context_size", "frequency_context_size", "frequency_penalty_range"],
        &[AtMost(0.0)],
        USE_WINDOW,
    ),
    adjusts(PENALISING, Both, &["repetition_decay", "rep_pen_slope"], &[Number(0.0)], EVEN),
    adjusts(
        PENALISING,
        Both,
        &["penalize_nl", "penalize_newline"],
        &[True],
        "line ends are penalised like other tokens here; leave it out",
    ),
    refused(Both, &["encoder_repetition_penalty"], &[Number(1.0)], "use repetition_penalty"),
    refused(Both, &["encoder_no_repeat_ngram_size"], &[Number(0.0)], "use repetition_penalty"),
    refused(Both, &["rep_pen", "typical", "temp"], &[Number(1.0)], "use repetition_penalty, typical_p or temperature"),
];

pub(super) const ROWS: &[Row] = &[
    // Other samplers.
    refused(Both, &["mirostat", "mirostat_mode", "dynatemp_range"], &[AtMost(0.0)], NOT_A_SAMPLER),
    // Only where DRY is at work: llama.cpp's window has another name.
    adjusts(DRY, Both, &["dry_range"], &[AtMost(0.0)], "use dry_penalty_last_n"),
    refused(Both, &["top_a", "smoothing_factor"], &[AtMost(0.0)], NOT_A_SAMPLER),
    refused(Both, &["eta_cutoff", "epsilon_cutoff", "no_repeat_ngram_size", "skew"], &[Number(0.0)], NOT_A_SAMPLER),
    refused(Both, &["penalty_alpha", "dynatemp_min", "dynatemp_max"], &[Number(0.0)], NOT_A_SAMPLER),
    refused(Both, &["min_temp", "max_temp"], &[Number(1.0)], NOT_A_SAMPLER),
    refused(Both, &["adaptive_target"], &[AtMost(-1.0)], NOT_A_SAMPLER),
    refused(Both, &["tfs_z", "tfs"], &[AtLeast(1.0)], NOT_A_SAMPLER),
    refused(Both, &["guidance_scale", "cfg_scale"], &[Number(1.0)], NOT_A_SAMPLER),
    refused(Both, &["dynamic_temperature", "watermark", "watermarking", "token_healing"], &[False], NOT_A_SAMPLER),
    refused(Both, &["logits_processors", "exponential_decay_length_penalty"], &[EmptyList], NOT_A_SAMPLER),
    refused(Both, &["custom_logit_processor", "logits_processor_pattern"], &[EmptyText], NOT_A_SAMPLER),
    refused(Both, &["vllm_xargs", "custom_params", "repetition_detection"], &[EmptyObject], NOT_A_SAMPLER),
    refused(Both, &["dola_layers"], &[EmptyText, EmptyList], NOT_A_SAMPLER),
    refused(Both, &["preset"], &[EmptyText, Word("None")], "there are no presets here; send each setting as a field"),
    refused(Both, &["samplers"], &[], OWN_ORDER),
    refused(Both, &["sampler_priority", "sampler_order"], &[EmptyList, EmptyText], OWN_ORDER),
    adjusts(FILTERING, Both, &["temperature_last"], &[False], OWN_ORDER),
    adjusts(FILTERING, Both, &["min_keep"], &[AtMost(1.0)], "one token is always kept here, and no more; leave it out"),
    refused(Both, &["do_sample"], &[True], "use \"temperature\": 0"),
    refused(Both, &["use_beam_search"], &[False], NO_BEAMS),
    refused(Both, &["num_beams", "beam_width"], &[Number(1.0)], NO_BEAMS),
    refused(Both, &["random_seed", "sampling_seed", "sampler_seed"], &[Number(-1.0)], "use seed"),
    // Which tokens may come.
    refused(
        Both,
        &["suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "token_ban_ranges"],
        &[EmptyList],
        USE_LOGIT_BIAS,
    ),
    refused(Both, &["forced_bos_token_id", "forced_eos_token_id", "forced_decoder_ids"], &[EmptyList], USE_LOGIT_BIAS),
    refused(Both, &["allowed_tokens"], &[EmptyList], "use allowed_token_ids"),
    refused(Both, &["banned_tokens", "banned_strings"], &[EmptyList], "use bad_words"),
    refused(Both, &["sequence_bias"], &[EmptyList, EmptyObject], USE_LOGIT_BIAS),
    refused(Both, &["custom_token_bans"], &[EmptyText], USE_LOGIT_BIAS),
    refused(Both, &["use_default_badwordsids"], &[False], USE_LOGIT_BIAS),
];
