//! Where an answer ends, what form it has, and what comes with it.

use crate::dialects::request::known_fields::Nothing::{
    AtMost, EmptyList, EmptyObject, EmptyText, False, Number, OnlyWord, True, Word,
};
use crate::dialects::request::known_fields::Place::{Both, Chat, Completions};
use crate::dialects::request::known_fields::{Adjusts, Row, adjusts, refused};

const NO_SUCH_FORMAT: &str = "use response_format, structured_outputs or grammar";
const TEXT_ONLY: &str = "this server reads and writes text only; leave it out";
const NOT_IN_ANSWER: &str = "answers have no such member here; leave it out";
const USE_LOGPROBS: &str = "use logprobs";
const USE_STOP: &str = "use stop";
const USE_MAX_TOKENS: &str = "use max_tokens";
const USE_TIMEOUT: &str = "send the header x-request-timeout-ms";
const USE_TOOLS: &str = "use tools";

/// There are stop strings.
const STOPPING: Adjusts = &[(&["stop"], &[EmptyList])];

/// Log-probabilities are wanted.
const SCORING: Adjusts = &[(&["logprobs"], &[False])];

pub(super) const ENDS: &[Row] = &[
    refused(Both, &["eos_token_id"], &[EmptyList, AtMost(-1.0)], "use stop_token_ids"),
    refused(Both, &["stop_regex"], &[EmptyText, EmptyList], USE_STOP),
    refused(
        Both,
        &[
            "stop_sequences",
            "stop_sequence",
            "stop_strings",
            "stopping_strings",
            "custom_stopping_strings",
            "stop_words",
        ],
        &[EmptyList, EmptyText],
        USE_STOP,
    ),
    adjusts(STOPPING, Both, &["trim_stop"], &[True], "use include_stop_str_in_output"),
    refused(Both, &["min_length"], &[Number(0.0)], "use min_tokens"),
    refused(Both, &["ban_eos_token", "bypass_eos"], &[False], "use ignore_eos"),
    refused(Both, &["max_new_tokens", "max_length", "max_gen_len", "max_tokens_to_sample"], &[], USE_MAX_TOKENS),
    refused(Chat, &["num_predict", "max_output_tokens"], &[AtMost(-1.0)], USE_MAX_TOKENS),
    refused(Completions, &["num_predict", "max_output_tokens"], &[], USE_MAX_TOKENS),
    refused(Both, &["auto_max_new_tokens"], &[False], "send \"max_tokens\": -1"),
    refused(Both, &["n_indent"], &[Number(0.0)], "leave it out, or describe the form in the prompt"),
    refused(Both, &["t_max_predict_ms", "t_max_prompt_ms", "max_tokens_second"], &[AtMost(0.0)], USE_TIMEOUT),
    refused(Both, &["max_time"], &[], USE_TIMEOUT),
    refused(Both, &["n_cmpl", "num_return_sequences"], &[Number(1.0)], "use n"),
];

pub(super) const FORM: &[Row] = &[
    refused(Both, &["grammar_string", "regex_pattern", "structural_tag"], &[EmptyText], NO_SUCH_FORMAT),
    refused(Both, &["guided_structural_tag", "format"], &[EmptyText], NO_SUCH_FORMAT),
    refused(Both, &["preserved_tokens", "constraints", "force_words_ids"], &[EmptyList], NO_SUCH_FORMAT),
    refused(Both, &["verbosity"], &[Word("medium")], "ask for a shorter or longer answer in the prompt"),
    refused(Chat, &["audio"], &[], TEXT_ONLY),
    refused(Chat, &["modalities"], &[OnlyWord("text")], "only [\"text\"] is possible"),
    refused(Both, &["image_config"], &[EmptyObject], TEXT_ONLY),
    refused(Chat, &["functions"], &[EmptyList], USE_TOOLS),
    refused(Chat, &["function_call"], &[Word("none"), Word("auto")], "use tool_choice"),
    refused(Chat, &["parse_tool_calls"], &[True], "calls are always parsed where tools are sent; leave it out"),
    refused(Chat, &["mcp_servers", "integrations"], &[EmptyList], USE_TOOLS),
    refused(Chat, &["enable_code_interpreter", "enable_code_execution"], &[False], USE_TOOLS),
];

pub(super) const MEMBERS: &[Row] = &[
    refused(Both, &["n_probs"], &[Number(0.0)], USE_LOGPROBS),
    adjusts(
        SCORING,
        Both,
        &["post_sampling_probs"],
        &[False],
        "logprobs are the model's own, before the samplers; leave it out",
    ),
    refused(Completions, &["top_logprobs"], &[Number(0.0)], "the number stands in logprobs here"),
    refused(Both, &["top_n_tokens", "logprob_token_ids"], &[Number(0.0), EmptyList], USE_LOGPROBS),
    adjusts(SCORING, Both, &["return_tokens_as_token_ids"], &[False], NOT_IN_ANSWER),
    refused(Both, &["return_tokens", "return_prompt_token_ids"], &[False], NOT_IN_ANSWER),
    refused(Both, &["return_hidden_states", "return_routed_experts", "return_meta_info"], &[False], NOT_IN_ANSWER),
    refused(Both, &["return_prompt_text", "return_cached_tokens_details", "raw_output"], &[False], NOT_IN_ANSWER),
    refused(Both, &["details", "decoder_input_details"], &[False], NOT_IN_ANSWER),
    refused(Completions, &["verbose"], &[False], NOT_IN_ANSWER),
    refused(Both, &["output_scores", "output_logits", "perf_metrics_in_response"], &[False], NOT_IN_ANSWER),
    refused(Both, &["return_images", "return_related_questions"], &[False], NOT_IN_ANSWER),
    refused(Completions, &["return_full_text"], &[False], "use echo"),
    refused(Chat, &["return_full_text"], &[False], "put the last message before the answer yourself"),
    refused(Both, &["detokenize"], &[True], "answers are always text; leave it out"),
    refused(Both, &["response_fields"], &[EmptyList], "answers always have all members; leave it out"),
];
