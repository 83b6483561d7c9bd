//! Calls as JSON objects: what stands around them.

/// What stands around the objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json {
    /// The marker before them; empty if there is none.
    pub(crate) open: &'static str,
    /// The marker behind them; empty if there is none. Models forget it, so calls are read without it.
    pub(crate) close: &'static str,
    /// Whether several objects stand in a list.
    pub(crate) is_list: bool,
    /// The keys of the name and of the arguments, as the family writes them; `None` if the name is itself the key of the arguments.
    pub(crate) keys: Option<(&'static str, &'static str)>,
}

const KEYS: Option<(&str, &str)> = Some(("name", "arguments"));
const LLAMA_KEYS: Option<(&str, &str)> = Some(("name", "parameters"));

/// `<tool_call>{…}</tool_call>`: Nous Hermes, Qwen 2.5 and 3, and many more.
pub(crate) const HERMES: Json = Json { open: "<tool_call>", close: "</tool_call>", is_list: false, keys: KEYS };
/// `<|tool_call|>[{…}]`: Granite 3.
pub(crate) const GRANITE: Json = Json { open: "<|tool_call|>", close: "", is_list: true, keys: KEYS };
/// `<|tool_call|>[{…}]<|/tool_call|>`: Phi 4 mini.
pub(crate) const PHI: Json = Json { open: "<|tool_call|>", close: "<|/tool_call|>", is_list: true, keys: KEYS };
/// `<|START_ACTION|>[{…}]<|END_ACTION|>`: Command R7B and Command A.
pub(crate) const COMMAND_R: Json =
    Json { open: "<|START_ACTION|>", close: "<|END_ACTION|>", is_list: true, keys: Some(("tool_name", "parameters")) };
/// `<TOOLCALL>[{…}]</TOOLCALL>`: Nemotron Nano and Super.
pub(crate) const NEMOTRON: Json = Json { open: "<TOOLCALL>", close: "</TOOLCALL>", is_list: true, keys: KEYS };
/// `<tool_calls>[{…}]</tool_calls>`: Jamba, Hunyuan A13B, Apriel.
pub(crate) const JAMBA: Json = Json { open: "<tool_calls>", close: "</tool_calls>", is_list: true, keys: KEYS };
/// `<|tools_prefix|>[{"NAME": {…}}]<|tools_suffix|>`: Apertus.
pub(crate) const APERTUS: Json =
    Json { open: "<|tools_prefix|>", close: "<|tools_suffix|>", is_list: true, keys: None };
/// `[TOOL_CALLS][{…}]`: Mistral until 2025.
pub(crate) const MISTRAL: Json = Json { open: "[TOOL_CALLS]", close: "", is_list: true, keys: KEYS };
/// `<|python_tag|>{…}`: Llama 3.1 and later.
pub(crate) const LLAMA3: Json = Json { open: "<|python_tag|>", close: "", is_list: false, keys: LLAMA_KEYS };
/// `<|python_start|>{…}<|python_end|>`: Llama 4.
pub(crate) const LLAMA4: Json =
    Json { open: "<|python_start|>", close: "<|python_end|>", is_list: false, keys: LLAMA_KEYS };
/// `{…}` as the whole answer: Llama 3.1 and later.
pub(crate) const BARE: Json = Json { open: "", close: "", is_list: false, keys: LLAMA_KEYS };
/// `<|tool_call_start|>[{…}]<|tool_call_end|>`: LFM 2, if it is told to write JSON.
pub(crate) const LFM: Json =
    Json { open: "<|tool_call_start|>", close: "<|tool_call_end|>", is_list: true, keys: KEYS };
