//! What the prompt is made of, and which model reads it.

use crate::dialects::request::known_fields::Nothing::{
    AtMost, EmptyList, EmptyObject, EmptyText, False, Number, True, TypeIs, Word,
};
use crate::dialects::request::known_fields::Place::{Both, Chat, Completions};
use crate::dialects::request::known_fields::{Row, refused};

const TEXT_ONLY: &str = "this server reads and writes text only; leave it out";
const NO_REASONING: &str = "use /v1/chat/completions: a completion is all text";
const REASONING_IS_TEXT: &str = "use /v1/chat/completions: thoughts are a part of a completion's text";
const NO_ADAPTERS: &str = "there are no adapters here; load a model that has them merged";
const NO_CUT: &str = "prompts are not cut here; shorten it before it is sent";
const TOP_LEVEL: &str = "send each option as a field of the body";
const OWN_TEMPLATE: &str = "the model's own template is used; chat_template_kwargs reach it";
const NO_SEARCH: &str = "put what was found into the messages";
const USE_SYSTEM: &str = "send it as a message of the role system";
const USE_MESSAGES: &str = "put it into messages";
const ALL_IN_PROMPT: &str = "put all text into prompt";
const NO_SESSIONS: &str = "nothing is remembered here; send the earlier messages too";
const NO_CONTINUATION: &str = "end messages with the answer's beginning and send \"continue_final_message\": true";

pub(super) const ROWS: &[Row] = &[
    refused(Both, &["options", "parameters", "sampling_params", "generation_config"], &[EmptyObject], TOP_LEVEL),
    refused(Both, &["extra_body", "additional_model_request_fields"], &[EmptyObject], TOP_LEVEL),
    refused(Both, &["models"], &[EmptyList], "name one in model"),
    // Cut to a length.
    refused(Both, &["truncate_prompt_tokens"], &[Number(-1.0)], NO_CUT),
    refused(Both, &["truncate", "truncation_length", "num_ctx", "n_ctx"], &[AtMost(0.0), False], NO_CUT),
    refused(Both, &["prompt_truncate_len", "max_context_length", "max_input_tokens"], &[AtMost(0.0)], NO_CUT),
    refused(Both, &["truncate_sequence"], &[False], NO_CUT),
    refused(Both, &["truncation"], &[Word("disabled")], NO_CUT),
    refused(Both, &["context_length_exceeded_behavior"], &[Word("error")], NO_CUT),
    refused(Both, &["context_overflow_policy"], &[Word("stopAtLimit")], NO_CUT),
    refused(Both, &["transforms"], &[EmptyList], NO_CUT),
    // Special tokens.
    refused(Chat, &["add_special_tokens"], &[False], "the chat template writes the special tokens; leave it out"),
    refused(Completions, &["add_special_tokens", "add_bos_token"], &[True], "send the prompt as token ids"),
    refused(Both, &["bos_token_id"], &[EmptyList, AtMost(-1.0)], "send the prompt as token ids to /v1/completions"),
    refused(
        Both,
        &["prompt_embeds", "input_ids"],
        &[EmptyList, EmptyText],
        "send text, or token ids to /v1/completions",
    ),
    // Another model, or the same one changed.
    refused(Both, &["lora_path", "lora_request", "lora_name", "adapter", "adapter_id"], &[EmptyText], NO_ADAPTERS),
    refused(Both, &["lora", "lora_adapter", "lora_adapters", "adapters"], &[EmptyList, EmptyText], NO_ADAPTERS),
    refused(Both, &["adapter_source"], &[EmptyList, EmptyText], NO_ADAPTERS),
    refused(
        Both,
        &["rope_frequency_base", "rope_frequency_scale", "rope_freq_base", "rope_freq_scale"],
        &[AtMost(0.0)],
        "positions are the model's own; leave it out",
    ),
    // Other than text.
    refused(Both, &["images", "videos", "image_data", "audios"], &[EmptyList], TEXT_ONLY),
    refused(Both, &["mm_processor_kwargs", "media_io_kwargs", "images_config"], &[EmptyObject], TEXT_ONLY),
    refused(Both, &["multimodal_data"], &[EmptyList, EmptyText], TEXT_ONLY),
    // Text beside the prompt.
    refused(
        Completions,
        &["system", "template", "input_prefix", "input_suffix", "instructions", "memory"],
        &[EmptyText],
        ALL_IN_PROMPT,
    ),
    refused(Completions, &["context", "input_extra"], &[EmptyList, EmptyText], ALL_IN_PROMPT),
    refused(Completions, &["input", "inputs"], &[EmptyText, EmptyList], "use prompt"),
    refused(Completions, &["raw"], &[True], "the prompt is always taken as it is; leave it out"),
    refused(Completions, &["tools", "functions", "documents"], &[EmptyList], "use /v1/chat/completions"),
    refused(Chat, &["system", "instructions", "system_prompt", "preamble", "guideline"], &[EmptyText], USE_SYSTEM),
    refused(Chat, &["prompt", "input", "inputs"], &[EmptyText, EmptyList], "use messages, or /v1/completions"),
    refused(
        Chat,
        &["suffix", "input_prefix", "input_suffix", "memory", "user_bio", "greeting"],
        &[EmptyText],
        USE_MESSAGES,
    ),
    refused(Chat, &["context", "input_extra", "chat_history"], &[EmptyList, EmptyText], USE_MESSAGES),
    refused(Chat, &["character", "bot_name", "user_name", "name1", "name2"], &[EmptyText], USE_SYSTEM),
    refused(Chat, &["mode"], &[Word("instruct"), EmptyText], USE_SYSTEM),
    refused(Chat, &["safe_prompt"], &[False], USE_SYSTEM),
    refused(Both, &["previous_response_id", "conversation"], &[EmptyText], NO_SESSIONS),
    refused(Both, &["session_params"], &[EmptyObject], NO_SESSIONS),
    // Search.
    refused(Chat, &["web_search_options", "search_parameters", "search_settings"], &[], NO_SEARCH),
    refused(Chat, &["plugins", "tool_resources"], &[EmptyList, EmptyObject], NO_SEARCH),
    refused(Chat, &["enable_search"], &[False], NO_SEARCH),
    // The template.
    refused(Chat, &["raw"], &[False], "use /v1/completions"),
    refused(
        Chat,
        &["chat_template", "template", "prompt_template", "instruction_template", "instruction_template_str"],
        &[EmptyText],
        OWN_TEMPLATE,
    ),
    refused(
        Chat,
        &[
            "chat_template_str",
            "chat_instruct_command",
            "chat_format",
            "chat_parser",
            "generation_prompt",
            "tool_prompt",
        ],
        &[EmptyText],
        OWN_TEMPLATE,
    ),
    refused(Chat, &["template_vars"], &[EmptyObject], "use chat_template_kwargs"),
    // An answer that goes on with what is there.
    refused(Chat, &["echo"], &[False], "put the last message before the answer yourself"),
    refused(Chat, &["continue_", "continue_assistant_turn", "impersonate"], &[False], NO_CONTINUATION),
    refused(Chat, &["assistant_prefill", "response_prefix", "prefill"], &[EmptyText], NO_CONTINUATION),
    // Thinking: a completion has no template that would know of it.
    refused(Completions, &["reasoning_effort"], &[Word("none")], NO_REASONING),
    refused(Completions, &["think"], &[False], NO_REASONING),
    refused(Both, &["thinking_forced_open", "reasoning_control"], &[False], NO_REASONING),
    refused(Completions, &["thinking"], &[False, TypeIs("disabled")], NO_REASONING),
    refused(Completions, &["reasoning"], &[EmptyObject], NO_REASONING),
    refused(Completions, &["enable_thinking"], &[False], NO_REASONING),
    refused(Both, &["prompt_mode"], &[], "send what the chat template knows in chat_template_kwargs"),
    refused(Completions, &["reasoning_budget", "reasoning_budget_tokens"], &[AtMost(-1.0)], NO_REASONING),
    refused(
        Completions,
        &["thinking_budget", "thinking_budget_tokens", "thinking_token_budget"],
        &[AtMost(-1.0)],
        NO_REASONING,
    ),
    refused(Completions, &["include_reasoning", "stream_reasoning"], &[True], REASONING_IS_TEXT),
    refused(Completions, &["separate_reasoning", "reasoning_in_content"], &[False], REASONING_IS_TEXT),
    refused(Completions, &["reasoning_format"], &[Word("none")], REASONING_IS_TEXT),
];
