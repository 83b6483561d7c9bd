//! Fields that are read, and those that change no answer.

use crate::dialects::request::known_fields::Place::{Both, Chat, Completions};
use crate::dialects::request::known_fields::{Row, harmless, read};

pub(super) const ROWS: &[Row] = &[
    // What this server reads.
    read(
        Both,
        &[
            "model",
            "stream",
            "stream_options",
            "n",
            "best_of",
            "user",
            "service_tier",
            "priority",
            "cache_salt",
            "supersedes",
        ],
    ),
    read(Both, &["max_tokens", "max_completion_tokens", "n_predict", "stop", "ignore_eos", "logprobs", "logit_bias"]),
    read(Both, &["temperature", "top_p", "top_k", "min_p", "typical_p", "typ_p", "seed"]),
    read(Both, &["presence_penalty", "frequency_penalty", "repetition_penalty", "repeat_penalty"]),
    read(Both, &["return_token_ids", "prompt_logprobs", "timings_per_token", "return_progress"]),
    read(Chat, &["verbose"]),
    read(Both, &["repeat_last_n", "penalty_last_n", "top_n_sigma", "nsigma", "xtc_probability", "xtc_threshold"]),
    read(Both, &["dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers"]),
    read(Both, &["allowed_token_ids", "bad_words", "stop_token_ids", "min_tokens", "min_new_tokens"]),
    read(Both, &["include_stop_str_in_output", "no_stop_trim", "skip_special_tokens"]),
    read(
        Both,
        &["response_format", "structured_outputs", "json_schema", "guided_json", "guided_json_object", "json_mode"],
    ),
    read(Both, &["guided_regex", "regex", "guided_choice", "choice", "guided_grammar", "grammar", "ebnf"]),
    read(Chat, &["messages", "tools", "tool_choice", "parallel_tool_calls", "documents", "top_logprobs"]),
    read(Chat, &["chat_template_kwargs", "add_generation_prompt", "continue_final_message"]),
    read(Chat, &["reasoning_effort", "reasoning", "thinking", "enable_thinking", "think", "reasoning_format"]),
    read(Chat, &["thinking_budget", "thinking_budget_tokens", "thinking_token_budget"]),
    read(Chat, &["reasoning_budget", "reasoning_budget_tokens", "include_reasoning", "stream_reasoning"]),
    read(Chat, &["separate_reasoning", "reasoning_in_content"]),
    read(Completions, &["prompt", "echo", "suffix"]),
    // OpenAI: what is kept or counted about a request, and how soon its answer comes.
    harmless(
        Both,
        &["store", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prediction"],
    ),
    // Names for a request, and what gateways do with it: whom they ask, what they note, how they are paid.
    harmless(Both, &["request_id", "rid", "session_id", "trace", "tags", "usage", "provider", "route", "debug"]),
    harmless(Both, &["cache_control", "prompt_cache_isolation_key", "extra_key", "genkey", "quiet"]),
    // Where and how soon it is computed, elsewhere.
    harmless(Both, &["cache_prompt", "n_cache_reuse", "id_slot", "slot_id", "backend_sampling", "keep_alive", "ttl"]),
    harmless(
        Both,
        &["draft_model", "speculative_ngram", "sse_ping_interval", "stream_interval", "use_mmap", "use_mlock"],
    ),
    harmless(
        Both,
        &["speculative.n_min", "speculative.n_max", "speculative.p_min", "num_thread", "num_gpu", "num_batch"],
    ),
    harmless(Both, &["numa", "main_gpu", "low_vram", "f16_kv", "use_cache", "cache_implementation", "static_cache"]),
    harmless(Both, &["prompt_lookup_num_tokens", "num_assistant_tokens", "draft_num_predict", "cfg_cache"]),
    harmless(Both, &["kv_transfer_params", "bootstrap_host", "bootstrap_port", "bootstrap_room"]),
    harmless(Both, &["data_parallel_rank", "routed_dp_rank", "disagg_prefill_dp_rank"]),
    // Context shift: here an answer ends where the context does.
    harmless(Both, &["n_keep", "n_discard", "num_keep", "shift", "generate_window"]),
    // What fills up batches, or mends numbers that are none.
    harmless(Both, &["pad_token_id", "remove_invalid_values", "renormalize_logits"]),
    // The fine tuning of what is refused itself when it is at work.
    harmless(Both, &["mirostat_tau", "mirostat_eta", "dynatemp_exponent", "dynatemp_low", "dynatemp_high"]),
    harmless(Both, &["mirostat_target", "mirostat_lr", "temp_exponent", "adaptive_decay", "smoothing_curve"]),
    harmless(Both, &["negative_prompt", "length_penalty", "early_stopping", "diversity_penalty", "num_beam_groups"]),
    harmless(Both, &["guided_decoding_backend", "guided_whitespace_pattern", "grammar_lazy", "grammar_triggers"]),
    harmless(
        Both,
        &[
            "guided_decoding_disable_fallback",
            "guided_decoding_disable_any_whitespace",
            "guided_decoding_disable_additional_properties",
        ],
    ),
    harmless(Both, &["search_options", "reasoning_budget_message"]),
    // Special tokens are never shown, so there is nothing between them.
    harmless(Both, &["spaces_between_special_tokens", "truncation_side", "return_token_offsets"]),
    // There are no tools in a completion, and the template writes the BOS of a chat.
    harmless(Completions, &["tool_choice", "parallel_tool_calls"]),
    harmless(Chat, &["add_bos_token"]),
];
