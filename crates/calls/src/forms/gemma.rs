//! Calls as `call:NAME{key:value}`: what stands around them and their texts.

/// The markers of a family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gemma {
    /// Before a call.
    pub(crate) open: &'static str,
    /// Behind a call.
    pub(crate) close: &'static str,
    /// On both sides of a text.
    pub(crate) quote: &'static str,
}

/// `<start_function_call>call:NAME{key:<escape>text<escape>}<end_function_call>`: FunctionGemma.
pub(crate) const FUNCTION_GEMMA: Gemma =
    Gemma { open: "<start_function_call>", close: "<end_function_call>", quote: "<escape>" };
/// `<|tool_call>call:NAME{key:<|"|>text<|"|>}<tool_call|>`: Gemma 4.
pub(crate) const GEMMA4: Gemma = Gemma { open: "<|tool_call>", close: "<tool_call|>", quote: "<|\"|>" };
