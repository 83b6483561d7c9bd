//! Calls as a name and a JSON object: what stands around both.

/// What stands around a name and its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    /// Before all calls, or before each if that is all that stands there.
    pub(crate) begin: &'static str,
    /// Before each call; empty if the marker of all calls stands there.
    pub(crate) open: &'static str,
    /// Between the name and the arguments.
    pub(crate) middle: &'static [&'static str],
    /// Behind each call; empty if nothing stands there.
    pub(crate) close: &'static str,
    /// Behind all calls; empty if nothing stands there.
    pub(crate) end: &'static str,
    /// Before each name.
    pub(crate) prefix: &'static str,
    /// Whether a colon and a number stand behind each name.
    pub(crate) is_numbered: bool,
    /// Whether the arguments stand in a fence, which the middle opens.
    pub(crate) is_fenced: bool,
}

/// `[TOOL_CALLS]NAME[ARGS]{…}`: Mistral since 2025.
pub(crate) const MISTRAL: Named = Named {
    begin: "[TOOL_CALLS]",
    open: "",
    middle: &["[ARGS]", "[CALL_ID]", "{"],
    close: "",
    end: "",
    prefix: "",
    is_numbered: false,
    is_fenced: false,
};

/// `<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{…}<｜tool▁call▁end｜>`: DeepSeek V3.1.
pub(crate) const DEEPSEEK_V31: Named = Named {
    begin: "<｜tool▁calls▁begin｜>",
    open: "<｜tool▁call▁begin｜>",
    middle: &["<｜tool▁sep｜>"],
    close: "<｜tool▁call▁end｜>",
    end: "<｜tool▁calls▁end｜>",
    prefix: "",
    is_numbered: false,
    is_fenced: false,
};

/// The name behind the separator, and the arguments in a fence: DeepSeek V3 and R1.
pub(crate) const DEEPSEEK_V3: Named = Named {
    begin: "<｜tool▁calls▁begin｜>",
    open: "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
    middle: &["\n```json"],
    close: "<｜tool▁call▁end｜>",
    end: "<｜tool▁calls▁end｜>",
    prefix: "",
    is_numbered: false,
    is_fenced: true,
};

/// `<|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{…}<|tool_call_end|>`: Kimi K2.
pub(crate) const KIMI: Named = Named {
    begin: "<|tool_calls_section_begin|>",
    open: "<|tool_call_begin|>",
    middle: &["<|tool_call_argument_begin|>"],
    close: "<|tool_call_end|>",
    end: "<|tool_calls_section_end|>",
    prefix: "functions.",
    is_numbered: true,
    is_fenced: false,
};

impl Named {
    /// The name inside of what stands between the markers.
    pub(crate) fn name<'a>(&self, text: &'a str) -> &'a str {
        let name = text.strip_prefix(self.prefix).unwrap_or(text);
        match name.rsplit_once(':').filter(|_| self.is_numbered) {
            Some((name, number)) if number.chars().all(|c| c.is_ascii_digit()) => name,
            _ => name,
        }
    }
}
