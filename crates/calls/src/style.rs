//! How families of models write calls.

/// A family's way of writing calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Nous Hermes, Qwen 2.5 and 3, Granite 4, SmolLM 3 and many more.
    Hermes,
    /// The same in ordinary text, for templates that know no tools ([`crate::generic`]).
    Generic,
    /// `<tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>`: Qwen 3 Coder, Nemotron 3 and others.
    Qwen3Coder,
    /// The same in `<seed:tool_call>`: Seed-OSS.
    SeedOss,
    /// `<minimax:tool_call><invoke name="NAME"><parameter name="KEY">VALUE</parameter></invoke></minimax:tool_call>`: MiniMax M2.
    MiniMax,
    /// `<tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>`: GLM 4.5 and later.
    Glm,
    /// `{"name": …, "parameters": {…}}` as the whole answer, or behind `<|python_tag|>`: Llama 3.1 and later.
    Llama3,
    /// `[NAME(key=value)]` as the whole answer: Llama 4, and Llama 3.2 as its makers show it.
    Llama4Pythonic,
    /// `[TOOL_CALLS][{"name": …, "arguments": {…}}]`: Mistral until 2025.
    Mistral,
    /// `[TOOL_CALLS]NAME[ARGS]{…}`: Mistral since 2025.
    MistralNamed,
    /// `<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME` and the arguments in a fence: DeepSeek V3 and R1.
    DeepSeekV3,
    /// `<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{…}<｜tool▁call▁end｜>`: DeepSeek V3.1.
    DeepSeekV31,
    /// `<｜DSML｜function_calls><｜DSML｜invoke name="NAME"><｜DSML｜parameter name="KEY" string="true">VALUE</｜DSML｜parameter>…`: DeepSeek V3.2.
    DeepSeekV32,
    /// The same in `<｜DSML｜tool_calls>`: DeepSeek V4.
    DeepSeekV4,
    /// `<|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{…}<|tool_call_end|>`: Kimi K2.
    KimiK2,
    /// `<|tool_call|>[{"name": …, "arguments": {…}}]`: Granite 3.
    Granite,
    /// The same, ended by `<|/tool_call|>`: Phi 4 mini.
    Phi4Mini,
    /// Messages in channels, calls to `functions.NAME`: gpt-oss.
    Harmony,
    /// `<|tool_call_start|>[NAME(key=value)]<|tool_call_end|>`: LFM 2.
    Lfm2,
    /// `<function_calls>` and in each line `NAME(key=value)`: OLMo 3.
    Olmo3,
    /// `<|START_ACTION|>[{"tool_name": …, "parameters": {…}}]<|END_ACTION|>`: Command R7B and Command A.
    CommandR,
    /// `<TOOLCALL>[{"name": …, "arguments": {…}}]</TOOLCALL>`: Nemotron Nano and Super.
    Nemotron,
    /// `<tool_calls>[{"name": …, "arguments": {…}}]</tool_calls>`: Jamba, Hunyuan A13B, Apriel.
    Jamba,
    /// `<|tools_prefix|>[{"NAME": {…}}]<|tools_suffix|>`: Apertus.
    Apertus,
    /// `<start_function_call>call:NAME{key:<escape>text<escape>}<end_function_call>`: FunctionGemma.
    FunctionGemma,
    /// `<|tool_call>call:NAME{key:<|"|>text<|"|>}<tool_call|>`: Gemma 4.
    Gemma4,
}

/// Names of styles, the first of each its own; the others are those of parsers elsewhere, vLLM's first of all.
const NAMES: [(Style, &[&str]); 26] = [
    (Style::Hermes, &["hermes", "qwen", "qwen25", "qwen3"]),
    (Style::Generic, &["generic"]),
    (Style::Qwen3Coder, &["qwen3_coder", "qwen3_xml"]),
    (Style::SeedOss, &["seed_oss"]),
    (Style::MiniMax, &["minimax_m2", "minimax", "minimax-m2"]),
    (Style::Glm, &["glm45", "glm47"]),
    (Style::Llama3, &["llama3_json", "llama3", "llama4_json"]),
    (Style::Llama4Pythonic, &["llama4_pythonic", "pythonic"]),
    (Style::Mistral, &["mistral"]),
    (Style::MistralNamed, &["mistral_named"]),
    (Style::DeepSeekV3, &["deepseek_v3", "deepseekv3"]),
    (Style::DeepSeekV31, &["deepseek_v31", "deepseekv31"]),
    (Style::DeepSeekV32, &["deepseek_v32", "deepseekv32"]),
    (Style::DeepSeekV4, &["deepseek_v4", "deepseekv4"]),
    (Style::KimiK2, &["kimi_k2"]),
    (Style::Granite, &["granite"]),
    (Style::Phi4Mini, &["phi4_mini_json", "phi4_mini"]),
    (Style::Harmony, &["openai", "harmony", "gpt-oss", "gpt_oss"]),
    (Style::Lfm2, &["lfm2"]),
    (Style::Olmo3, &["olmo3"]),
    (Style::CommandR, &["command_r7b", "cohere_command3", "cohere"]),
    (Style::Nemotron, &["nemotron"]),
    (Style::Jamba, &["jamba", "hunyuan_a13b"]),
    (Style::Apertus, &["apertus"]),
    (Style::FunctionGemma, &["functiongemma"]),
    (Style::Gemma4, &["gemma4"]),
];

/// What templates mention that know a style, all of it; the first line that fits decides.
const SIGNS: [(Style, &[&str]); 27] = [
    (Style::Harmony, &["<|channel|>", "functions."]),
    (Style::DeepSeekV3, &["<｜tool▁calls▁begin｜>", "```json"]),
    (Style::DeepSeekV31, &["<｜tool▁calls▁begin｜>"]),
    // Their markers are put together in the template.
    (Style::DeepSeekV32, &["｜DSML｜", "function_calls>"]),
    (Style::DeepSeekV4, &["｜DSML｜", "tool_calls>"]),
    (Style::KimiK2, &["<|tool_calls_section_begin|>"]),
    (Style::MiniMax, &["<minimax:tool_call>"]),
    (Style::SeedOss, &["<seed:tool_call>"]),
    (Style::Qwen3Coder, &["<function=", "<parameter="]),
    (Style::Glm, &["<arg_key>"]),
    (Style::FunctionGemma, &["<start_function_call>"]),
    (Style::Gemma4, &["<|tool_call>", "call:"]),
    (Style::Lfm2, &["<|tool_list_start|>"]),
    (Style::Lfm2, &["<|tool_call_start|>"]),
    (Style::Olmo3, &["<function_calls>"]),
    (Style::Apertus, &["<|tools_prefix|>"]),
    (Style::MistralNamed, &["[TOOL_CALLS]", "[ARGS]"]),
    (Style::Mistral, &["[TOOL_CALLS]"]),
    (Style::CommandR, &["<|START_ACTION|>"]),
    (Style::Nemotron, &["<TOOLCALL>"]),
    (Style::Jamba, &["<tool_calls>["]),
    (Style::Phi4Mini, &["<|tool|>", "<|/tool|>"]),
    (Style::Hermes, &["<tool_call>"]),
    (Style::Granite, &["<|tool_call|>"]),
    (Style::Llama4Pythonic, &["[func_name1("]),
    (Style::Llama3, &["<|python_tag|>"]),
    (Style::Llama3, &["\"parameters\": ", "tool"]),
];

impl Style {
    /// The style that the source of a chat template shows; `None` if it knows no tools, or writes calls in another way than all of these.
    pub fn of_template(source: &str) -> Option<Style> {
        let shows = |signs: &[&str]| signs.iter().all(|sign| source.contains(sign));
        SIGNS.iter().find(|(_, signs)| shows(signs)).map(|(style, _)| *style)
    }

    /// The style of a name, or of one of the names that other servers have for it.
    pub fn by_name(name: &str) -> Option<Style> {
        NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(style, _)| *style)
    }

    /// The names of all styles, one for each.
    pub fn names() -> Vec<&'static str> {
        NAMES.iter().filter_map(|(_, names)| names.first().copied()).collect()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(style, _)| *style == self).and_then(|(_, names)| names.first()).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_has_a_name_of_its_own() {
        let mut all: Vec<&str> = NAMES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for name in &all {
            let style = Style::by_name(name).expect("it has one");
            assert_eq!(Style::by_name(style.name()), Some(style));
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "no name is of two");
        assert_eq!(Style::by_name("other"), None);
    }
}
