//! Which style and which thoughts a template shows. The templates are short imitations of the families'.

use parkade_calls::{Reasoning, Style};

/// A turn of an assistant with calls, as the templates of a family write it.
fn turn(calls: &str) -> String {
    "{% if tools %}Tools: {{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }}\
     {% for c in m.tool_calls or [] %}CALLS{% endfor %}{% endfor %}"
        .replace("CALLS", calls)
}

#[test]
fn styles_are_known_from_what_their_templates_write() {
    let cases = [
        (
            Style::Hermes,
            r#"<tool_call>\n{"name": "{{ c.name }}", "arguments": {{ c.arguments | tojson }}}\n</tool_call>"#,
        ),
        (
            Style::Qwen3Coder,
            r"<tool_call>\n<function={{ c.name }}>\n<parameter={{ k }}>\n{{ v }}\n</parameter></function></tool_call>",
        ),
        (
            Style::SeedOss,
            r"<seed:tool_call>\n<function={{ c.name }}>\n<parameter={{ k }}>{{ v }}</parameter></function></seed:tool_call>",
        ),
        (Style::MiniMax, r#"<minimax:tool_call>\n<invoke name="{{ c.name }}">\n</invoke>\n</minimax:tool_call>"#),
        (
            Style::Glm,
            r"<tool_call>{{ c.name }}\n<arg_key>{{ k }}</arg_key>\n<arg_value>{{ v }}</arg_value>\n</tool_call>",
        ),
        (Style::Llama3, r#"{"name": "{{ c.name }}", "parameters": {{ c.arguments | tojson }}}"#),
        (Style::Llama3, r"<|python_tag|>{{ c.name }}.call()"),
        (Style::Llama4Pythonic, r"Use the form [func_name1(key=value), func_name2()]. [{{ c.name }}()]"),
        (Style::Mistral, r#"[TOOL_CALLS] [{"name": {{ c.name | tojson }}}]"#),
        (Style::MistralNamed, r"[TOOL_CALLS]{{ c.name }}[ARGS]{{ c.arguments }}"),
        (
            Style::DeepSeekV3,
            r"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ c.name }}\n```json\n{}\n```",
        ),
        (Style::DeepSeekV31, r"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{{ c.name }}<｜tool▁sep｜>{{ c.arguments }}"),
        (
            Style::DeepSeekV32,
            r#"{% set dsml = "｜DSML｜" %}<{{ dsml }}function_calls>\n<{{ dsml }}invoke name="{{ c.name }}">\n</{{ dsml }}function_calls>"#,
        ),
        (Style::DeepSeekV4, r#"<｜DSML｜tool_calls>\n<｜DSML｜invoke name="{{ c.name }}">\n</｜DSML｜tool_calls>"#),
        (Style::Olmo3, r"<function_calls>\n{{ c.name }}()\n</function_calls>"),
        (Style::Apertus, r#"<|tools_prefix|>[{"{{ c.name }}": {{ c.arguments }}}]<|tools_suffix|>"#),
        (Style::KimiK2, r"<|tool_calls_section_begin|><|tool_call_begin|>{{ c.id }}<|tool_call_argument_begin|>{}"),
        (Style::Granite, r#"<|tool_call|>[{"name": "{{ c.name }}"}]"#),
        (Style::Phi4Mini, r"<|tool|>{{ tools }}<|/tool|><|tool_call|>{{ c | tojson }}<|/tool_call|>"),
        (Style::Harmony, r"<|channel|>commentary to=functions.{{ c.name }} <|constrain|>json<|message|>{}<|call|>"),
        (Style::Lfm2, r"<|tool_list_start|>{{ tools }}<|tool_list_end|>"),
        (Style::Lfm2, r"<|tool_call_start|>[{{ c.name }}()]<|tool_call_end|>"),
        (Style::CommandR, r#"<|START_ACTION|>[{"tool_name": "{{ c.name }}"}]<|END_ACTION|>"#),
        (Style::Nemotron, r#"<TOOLCALL>[{"name": "{{ c.name }}"}]</TOOLCALL>"#),
        (Style::Jamba, r#"<tool_calls>[{"name": "{{ c.name }}"}]</tool_calls>"#),
        (Style::FunctionGemma, r"<start_function_call>call:{{ c.name }}{}<end_function_call>"),
        (Style::Gemma4, r"<|tool_call>call:{{ c.name }}{}<tool_call|>"),
    ];
    for (style, calls) in cases {
        assert_eq!(Style::of_template(&turn(calls)), Some(style), "{calls}");
    }
    let known = |style: &Style| *style == Style::Generic || cases.iter().any(|(shown, _)| shown == style);
    assert!(Style::names().into_iter().filter_map(Style::by_name).all(|style| known(&style)), "each style is shown");
    assert_eq!(Style::of_template("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"), None);
}

#[test]
fn thoughts_are_known_from_the_template() {
    let of = |source: &str| Reasoning::of_template(source).map(|reasoning| (reasoning.start, reasoning.end));
    let pair = |start: &str, end: &str| Some((start.to_owned(), end.to_owned()));
    assert_eq!(of("{{ content.split('</think>')[-1] }}"), pair("<think>", "</think>"));
    assert_eq!(
        of("<|channel|>analysis<|message|>{{ m.thinking }}<|end|>"),
        pair("<|channel|>analysis<|message|>", "<|end|>")
    );
    assert_eq!(of("<|channel>thought\\n<channel|>"), pair("<|channel>thought", "<channel|>"));
    assert_eq!(of("[THINK]{{ m.thinking }}[/THINK]"), pair("[THINK]", "[/THINK]"));
    assert_eq!(of("<|START_THINKING|><|END_THINKING|>"), pair("<|START_THINKING|>", "<|END_THINKING|>"));
    assert_eq!(of("<|im_start|>{{ m.content }}<|end|>"), None);
}
