//! Calls whose arguments stand one by one between tags: the tags.

/// The tags. `open`, `key`, `value` and `close` are tried after white space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tags {
    /// Before all calls.
    pub(crate) begin: &'static str,
    /// Before a name; empty if the name stands behind the marker of all calls.
    pub(crate) open: &'static str,
    /// Behind a name: other markers than these are tags that end a name too.
    pub(crate) named: &'static [&'static str],
    /// Before a key.
    pub(crate) key: &'static str,
    /// Behind a key, and what that says of the value. Others than the first are read too.
    pub(crate) key_end: &'static [(&'static str, Told)],
    /// Before a value; empty if it stands behind the key's end.
    pub(crate) value: &'static str,
    /// Behind a value.
    pub(crate) value_end: &'static [&'static str],
    /// Whether a line break behind the key's end is not the value's.
    pub(crate) breaks: bool,
    /// Behind the arguments.
    pub(crate) close: &'static str,
    /// Behind all calls; empty if that is what stands behind the arguments.
    pub(crate) end: &'static str,
    /// Whether several calls stand between one pair of markers.
    pub(crate) is_shared: bool,
}

/// What stands behind a key says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing: the function's schema says it.
    Nothing,
    /// That it is text.
    Text,
    /// That it is JSON, and no text.
    Json,
}

/// `<tool_call><function=NAME><parameter=KEY>\nVALUE\n</parameter></function></tool_call>`: Qwen 3 Coder, Nemotron 3 and others.
pub(crate) const QWEN_CODER: Tags = Tags {
    begin: "<tool_call>",
    open: "<function=",
    named: &[">"],
    key: "<parameter=",
    key_end: &[(">", Told::Nothing)],
    value: "",
    value_end: &["\n</parameter>", "</parameter>"],
    breaks: true,
    close: "</function>",
    end: "</tool_call>",
    is_shared: false,
};

/// The same between other tags, and without line breaks around values: Seed-OSS.
pub(crate) const SEED_OSS: Tags = Tags {
    begin: "<seed:tool_call>",
    value_end: &["</parameter>"],
    breaks: false,
    end: "</seed:tool_call>",
    ..QWEN_CODER
};

/// `<minimax:tool_call><invoke name="NAME"><parameter name="KEY">VALUE</parameter></invoke></minimax:tool_call>`: MiniMax M2.
pub(crate) const MINIMAX: Tags = Tags {
    begin: "<minimax:tool_call>",
    open: "<invoke name=\"",
    named: &["\">"],
    key: "<parameter name=\"",
    key_end: &[("\">", Told::Nothing)],
    value_end: &["</parameter>"],
    breaks: false,
    close: "</invoke>",
    end: "</minimax:tool_call>",
    is_shared: true,
    ..QWEN_CODER
};

/// `<｜DSML｜function_calls><｜DSML｜invoke name="NAME"><｜DSML｜parameter name="KEY" string="true">VALUE</｜DSML｜parameter></｜DSML｜invoke>…`:
/// DeepSeek V3.2.
pub(crate) const DEEPSEEK_V32: Tags = Tags {
    begin: "<｜DSML｜function_calls>",
    open: "<｜DSML｜invoke name=\"",
    key: "<｜DSML｜parameter name=\"",
    key_end: &[("\" string=\"true\">", Told::Text), ("\" string=\"false\">", Told::Json), ("\">", Told::Nothing)],
    value_end: &["</｜DSML｜parameter>"],
    close: "</｜DSML｜invoke>",
    end: "</｜DSML｜function_calls>",
    ..MINIMAX
};

/// The same in `<｜DSML｜tool_calls>`: DeepSeek V4.
pub(crate) const DEEPSEEK_V4: Tags =
    Tags { begin: "<｜DSML｜tool_calls>", end: "</｜DSML｜tool_calls>", ..DEEPSEEK_V32 };

/// `<tool_call>NAME\n<arg_key>KEY</arg_key>\n<arg_value>VALUE</arg_value>\n</tool_call>`: GLM 4.5 and later.
pub(crate) const GLM: Tags = Tags {
    begin: "<tool_call>",
    open: "",
    named: &["\n", "<arg_key>", "</tool_call>"],
    key: "<arg_key>",
    key_end: &[("</arg_key>", Told::Nothing)],
    value: "<arg_value>",
    value_end: &["</arg_value>"],
    breaks: false,
    close: "</tool_call>",
    end: "",
    is_shared: false,
};

impl Tags {
    /// What is written behind a key whose value is text, or is not.
    pub(crate) fn key_end(&self, is_text: bool) -> &'static str {
        let other = if is_text { Told::Json } else { Told::Text };
        self.key_end.iter().find(|(_, told)| *told != other).map(|(end, _)| *end).unwrap_or_default()
    }
}
