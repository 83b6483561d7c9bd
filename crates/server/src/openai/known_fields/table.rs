//! The table: fields that are treated alike in one row, rows of one subject together.

use super::Nothing::{AtMost, EmptyList, EmptyObject, EmptyText, False, Number, OnlyWord, True, TypeIs, Word};
use super::Place::{Both, Chat, Completions};
use super::{Row, harmless, read, refused};

const NO_GRAMMAR: &str = "output cannot be constrained here; describe the format in the prompt";
const TEXT_ONLY: &str = "this server reads and writes text only; leave it out";
const NOT_A_SAMPLER: &str = "this sampler is not implemented; use temperature, top_k, top_p, min_p or typical_p";
const OWN_ORDER: &str = "the order of the samplers is fixed here; leave it out";
const WHOLE_ANSWER: &str =
    "penalties look at the whole answer here (repetition_penalty at the prompt too); leave it out";
const NO_REASONING: &str = "thinking is up to the model's chat template; send what it knows in chat_template_kwargs";
const REASONING_IS_TEXT: &str = "thoughts are not told apart from the answer here; leave it out";
const NO_BEAMS: &str = "beams are not searched here; use n with a temperature";
const NO_ADAPTERS: &str = "there are no adapters here; load a model that has them merged";
const NO_CUT: &str = "prompts are not cut here; shorten it before it is sent";
const NOT_IN_ANSWER: &str = "answers have no such member here; leave it out";
const USE_LOGPROBS: &str = "use logprobs";
const USE_STOP: &str = "use stop";
const USE_MAX_TOKENS: &str = "use max_tokens";
const USE_LOGIT_BIAS: &str = "use logit_bias";
const TOP_LEVEL: &str = "send each option as a field of the body";
const OWN_TEMPLATE: &str = "the model's own template is used; chat_template_kwargs reach it";
const NO_SEARCH: &str = "put what was found into the messages";

/// All fields of both endpoints.
pub(super) const KNOWN: &[Row] = &[
    // What this server reads.
    read(
        Both,
        &["model", "stream", "stream_options", "n", "best_of", "user", "service_tier", "priority", "cache_salt"],
    ),
    read(Both, &["max_tokens", "max_completion_tokens", "n_predict", "stop", "ignore_eos", "logprobs", "logit_bias"]),
    read(Both, &["temperature", "top_p", "top_k", "min_p", "typical_p", "typ_p", "seed"]),
    read(Both, &["presence_penalty", "frequency_penalty", "repetition_penalty", "repeat_penalty"]),
    read(Chat, &["messages", "tools", "tool_choice", "parallel_tool_calls", "documents", "top_logprobs"]),
    read(Chat, &["chat_template_kwargs", "add_generation_prompt"]),
    read(Completions, &["prompt", "echo"]),
    // OpenAI: what is kept or counted about a request, and how soon its answer comes.
    harmless(
        Both,
        &["store", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prediction"],
    ),
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
    // llama.cpp's context shift: here an answer ends where the context does.
    harmless(Both, &["n_keep", "n_discard", "num_keep"]),
    // The fine tuning of samplers that are refused themselves.
    harmless(Both, &["dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers", "dry_range"]),
    harmless(
        Both,
        &["xtc_threshold", "mirostat_tau", "mirostat_eta", "dynatemp_exponent", "dynatemp_low", "dynatemp_high"],
    ),
    harmless(Both, &["adaptive_decay", "smoothing_curve", "guided_decoding_backend", "guided_whitespace_pattern"]),
    // Special tokens are never shown, so there is nothing between them.
    harmless(Both, &["spaces_between_special_tokens", "truncation_side", "return_token_offsets"]),
    // Constrained output.
    refused(Both, &["response_format"], &[TypeIs("text")], NO_GRAMMAR),
    refused(Both, &["structured_outputs"], &[EmptyObject], NO_GRAMMAR),
    refused(
        Both,
        &["json_schema", "guided_json", "grammar", "guided_regex", "guided_grammar"],
        &[EmptyText],
        NO_GRAMMAR,
    ),
    refused(Both, &["grammar_string", "regex", "ebnf", "structural_tag", "format"], &[EmptyText], NO_GRAMMAR),
    refused(Both, &["guided_choice", "grammar_triggers", "preserved_tokens"], &[EmptyList], NO_GRAMMAR),
    refused(Both, &["grammar_lazy"], &[False], NO_GRAMMAR),
    // Other samplers.
    refused(Both, &["mirostat", "mirostat_mode", "dynatemp_range", "dry_multiplier"], &[AtMost(0.0)], NOT_A_SAMPLER),
    refused(
        Both,
        &["xtc_probability", "top_n_sigma", "nsigma", "top_a", "smoothing_factor"],
        &[AtMost(0.0)],
        NOT_A_SAMPLER,
    ),
    refused(Both, &["eta_cutoff", "epsilon_cutoff", "no_repeat_ngram_size", "skew"], &[Number(0.0)], NOT_A_SAMPLER),
    refused(Both, &["penalty_alpha"], &[Number(0.0)], NOT_A_SAMPLER),
    refused(Both, &["adaptive_target"], &[AtMost(-1.0)], NOT_A_SAMPLER),
    refused(
        Both,
        &["tfs_z", "tfs", "guidance_scale", "cfg_scale", "encoder_repetition_penalty"],
        &[Number(1.0)],
        NOT_A_SAMPLER,
    ),
    refused(Both, &["negative_prompt"], &[EmptyText], NOT_A_SAMPLER),
    refused(Both, &["dynamic_temperature", "watermark", "watermarking", "token_healing"], &[False], NOT_A_SAMPLER),
    refused(Both, &["logits_processors"], &[EmptyList], NOT_A_SAMPLER),
    refused(Both, &["custom_logit_processor", "logits_processor_pattern"], &[EmptyText], NOT_A_SAMPLER),
    refused(Both, &["vllm_xargs", "custom_params", "repetition_detection"], &[EmptyObject], NOT_A_SAMPLER),
    refused(Both, &["samplers", "sampler_priority", "sampler_order"], &[], OWN_ORDER),
    refused(Both, &["temperature_last"], &[False], OWN_ORDER),
    refused(Both, &["min_keep"], &[AtMost(1.0)], "one token is always kept here, and no more; leave it out"),
    refused(Both, &["repeat_last_n", "penalty_last_n"], &[Number(-1.0)], WHOLE_ANSWER),
    refused(Both, &["repetition_penalty_range", "penalty_range", "rep_pen_range"], &[AtMost(0.0)], WHOLE_ANSWER),
    refused(
        Both,
        &["repetition_context_size", "presence_context_size", "frequency_context_size", "frequency_penalty_range"],
        &[AtMost(0.0)],
        WHOLE_ANSWER,
    ),
    refused(Both, &["rep_pen", "temp", "typical"], &[], "use repetition_penalty, temperature or typical_p"),
    refused(
        Both,
        &["suppress_tokens", "bad_words_ids", "forced_bos_token_id", "forced_eos_token_id"],
        &[EmptyList],
        USE_LOGIT_BIAS,
    ),
    refused(Both, &["penalize_nl"], &[True], "line ends are penalised like other tokens here; leave it out"),
    refused(Both, &["do_sample"], &[True], "use \"temperature\": 0"),
    refused(Both, &["use_beam_search", "early_stopping"], &[False], NO_BEAMS),
    refused(Both, &["length_penalty", "num_beams", "beam_width"], &[Number(1.0)], NO_BEAMS),
    refused(Both, &["random_seed", "sampling_seed"], &[], "use seed"),
    // Where the answer ends.
    refused(Both, &["stop_token_ids"], &[EmptyList], "use stop with the token's text"),
    refused(Both, &["stop_regex"], &[EmptyText, EmptyList], USE_STOP),
    refused(
        Both,
        &["stop_sequences", "stop_strings", "stopping_strings", "custom_stopping_strings", "stop_words"],
        &[EmptyList],
        USE_STOP,
    ),
    refused(Both, &["include_stop_str_in_output", "no_stop_trim"], &[False], "append the stop string yourself"),
    refused(Both, &["min_tokens", "min_new_tokens", "min_length"], &[Number(0.0)], "use ignore_eos with max_tokens"),
    refused(Both, &["ban_eos_token"], &[False], "use ignore_eos"),
    refused(
        Both,
        &["max_new_tokens", "max_length", "max_gen_len", "num_predict", "max_output_tokens", "max_tokens_to_sample"],
        &[],
        USE_MAX_TOKENS,
    ),
    refused(Both, &["n_indent"], &[Number(0.0)], "leave it out, or describe the form in the prompt"),
    refused(Both, &["t_max_predict_ms", "t_max_prompt_ms"], &[AtMost(0.0)], "send the header x-request-timeout-ms"),
    refused(Both, &["max_time"], &[], "send the header x-request-timeout-ms"),
    refused(Both, &["n_cmpl", "num_return_sequences"], &[Number(1.0)], "use n"),
    // Which tokens may come.
    refused(Both, &["allowed_token_ids", "bad_words", "banned_tokens", "banned_strings"], &[EmptyList], USE_LOGIT_BIAS),
    refused(Both, &["custom_token_bans"], &[EmptyText], USE_LOGIT_BIAS),
    // What the prompt is made of.
    refused(Both, &["truncate_prompt_tokens"], &[], NO_CUT),
    refused(Both, &["truncate", "truncation_length", "num_ctx", "n_ctx"], &[AtMost(0.0), False], NO_CUT),
    refused(Both, &["truncate_sequence"], &[False], NO_CUT),
    refused(Both, &["truncation"], &[Word("disabled")], NO_CUT),
    refused(Both, &["transforms"], &[EmptyList], NO_CUT),
    refused(Chat, &["add_special_tokens"], &[False], "the chat template writes the special tokens; leave it out"),
    refused(Completions, &["add_special_tokens", "add_bos_token"], &[True], "send the prompt as token ids"),
    refused(Both, &["skip_special_tokens"], &[True], "special tokens have no text in answers; leave it out"),
    refused(Both, &["prompt_embeds", "input_ids"], &[], "send text, or token ids to /v1/completions"),
    refused(Both, &["lora_path", "lora_request", "adapter", "adapter_id"], &[EmptyText], NO_ADAPTERS),
    refused(Both, &["lora", "adapters", "adapter_source"], &[EmptyList], NO_ADAPTERS),
    refused(Both, &["images", "videos", "image_data"], &[EmptyList], TEXT_ONLY),
    refused(Both, &["mm_processor_kwargs", "media_io_kwargs", "images_config"], &[EmptyObject], TEXT_ONLY),
    refused(Both, &["options", "parameters"], &[EmptyObject], TOP_LEVEL),
    refused(Completions, &["suffix"], &[EmptyText], "the model cannot fill in the middle; put all text into prompt"),
    refused(Completions, &["system", "template"], &[EmptyText], "put all text into prompt"),
    refused(Completions, &["context", "input_extra"], &[EmptyList], "put all text into prompt"),
    refused(Completions, &["raw"], &[True], "the prompt is always taken as it is; leave it out"),
    refused(Completions, &["tools", "functions", "documents"], &[EmptyList], "use /v1/chat/completions"),
    refused(Chat, &["audio"], &[], TEXT_ONLY),
    refused(Chat, &["modalities"], &[OnlyWord("text")], "only [\"text\"] is possible"),
    refused(Chat, &["functions"], &[EmptyList], "use tools"),
    refused(Chat, &["function_call"], &[Word("none"), Word("auto")], "use tool_choice"),
    refused(Chat, &["tool_prompt", "guideline"], &[EmptyText], OWN_TEMPLATE),
    refused(Chat, &["web_search_options"], &[], NO_SEARCH),
    refused(Chat, &["plugins", "tool_resources"], &[EmptyList, EmptyObject], NO_SEARCH),
    refused(Chat, &["enable_search"], &[False], NO_SEARCH),
    refused(Chat, &["safe_prompt"], &[False], "put it into the system message"),
    refused(Chat, &["echo"], &[False], "put the last message before the answer yourself"),
    refused(Chat, &["continue_final_message"], &[False], "use /v1/completions with the rendered prompt"),
    refused(Chat, &["chat_template", "chat_format", "chat_parser", "generation_prompt"], &[], OWN_TEMPLATE),
    refused(Chat, &["parse_tool_calls"], &[False], "calls in the answer are not parsed here; leave it out"),
    // Thinking.
    refused(Both, &["reasoning_effort"], &[Word("none")], NO_REASONING),
    refused(Both, &["verbosity"], &[Word("medium")], "ask for a shorter or longer answer in the prompt"),
    refused(Both, &["think", "thinking_forced_open", "reasoning_control"], &[False], NO_REASONING),
    refused(Both, &["thinking"], &[False, TypeIs("disabled")], NO_REASONING),
    refused(Both, &["reasoning"], &[EmptyObject], NO_REASONING),
    refused(Both, &["enable_thinking"], &[], NO_REASONING),
    refused(Both, &["reasoning_budget", "reasoning_budget_tokens"], &[AtMost(-1.0)], NO_REASONING),
    refused(
        Both,
        &["thinking_budget", "thinking_budget_tokens", "thinking_token_budget"],
        &[AtMost(-1.0)],
        NO_REASONING,
    ),
    refused(Both, &["include_reasoning", "stream_reasoning"], &[True], REASONING_IS_TEXT),
    refused(Both, &["separate_reasoning"], &[False], REASONING_IS_TEXT),
    refused(Both, &["reasoning_format"], &[Word("none")], REASONING_IS_TEXT),
    // More than an answer has here.
    refused(Both, &["n_probs"], &[Number(0.0)], USE_LOGPROBS),
    refused(
        Both,
        &["post_sampling_probs"],
        &[False],
        "logprobs are the model's own, before the samplers; use logprobs",
    ),
    refused(Chat, &["prompt_logprobs"], &[], "use /v1/completions with echo and logprobs"),
    refused(Completions, &["prompt_logprobs"], &[], "use echo with logprobs"),
    refused(Completions, &["top_logprobs"], &[Number(0.0)], "the number stands in logprobs here"),
    refused(Both, &["top_n_tokens", "logprob_token_ids"], &[Number(0.0), EmptyList], USE_LOGPROBS),
    refused(Both, &["return_tokens_as_token_ids", "return_token_ids", "return_tokens"], &[False], NOT_IN_ANSWER),
    refused(Both, &["return_hidden_states", "return_routed_experts", "return_meta_info"], &[False], NOT_IN_ANSWER),
    refused(
        Both,
        &["return_prompt_token_ids", "return_prompt_text", "return_cached_tokens_details"],
        &[False],
        NOT_IN_ANSWER,
    ),
    refused(
        Both,
        &["return_progress", "timings_per_token", "verbose", "decoder_input_details"],
        &[False],
        NOT_IN_ANSWER,
    ),
    refused(Both, &["detokenize"], &[True], "answers are always text; leave it out"),
    refused(Both, &["response_fields"], &[EmptyList], "answers always have all members; leave it out"),
];

/// The members of fields that are objects.
pub(super) const NESTED: &[(&str, &[Row])] = &[
    (
        "stream_options",
        &[
            read(Both, &["include_usage"]),
            // OpenAI's padding against listeners; there is none here.
            harmless(Both, &["include_obfuscation"]),
            refused(Both, &["continuous_usage_stats", "chunk_include_usage"], &[False], "use include_usage"),
        ],
    ),
    ("response_format", &[read(Both, &["type"])]),
];
