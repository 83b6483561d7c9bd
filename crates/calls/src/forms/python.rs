//! Calls in Python: what stands around them.

/// What stands around calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Python {
    /// The marker before them; empty if there is none.
    pub(crate) open: &'static str,
    /// The marker behind them; empty if there is none.
    pub(crate) close: &'static str,
    /// Whether each stands in a line of its own; else they are a list in brackets.
    pub(crate) in_lines: bool,
}

/// `[NAME(key=value)]` as the whole answer: Llama 4.
pub(crate) const BARE: Python = Python { open: "", close: "", in_lines: false };
/// `<|python_start|>[NAME(key=value)]<|python_end|>`: Llama 4.
pub(crate) const LLAMA4: Python = Python { open: "<|python_start|>", close: "<|python_end|>", in_lines: false };
/// `<|tool_call_start|>[NAME(key=value)]<|tool_call_end|>`: LFM 2.
pub(crate) const LFM: Python = Python { open: "<|tool_call_start|>", close: "<|tool_call_end|>", in_lines: false };
/// `<function_calls>\nNAME(key=value)\n</function_calls>`: OLMo 3.
pub(crate) const OLMO: Python = Python { open: "<function_calls>", close: "</function_calls>", in_lines: true };
