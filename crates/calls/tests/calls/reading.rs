//! What is read of answers as models write them.

use parkade_calls::{Function, Piece, Reader, Reading, Reasoning, Style};
use serde_json::json;

/// Pieces of a kind in a row are one.
pub fn join(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Text(text)), Piece::Text(more)) | (Some(Piece::Reasoning(text)), Piece::Reasoning(more)) => {
                text.push_str(&more);
            }
            (Some(Piece::Arguments { text, .. }), Piece::Arguments { text: more, .. }) => text.push_str(&more),
            (_, piece) => joined.push(piece),
        }
    }
    joined
}

pub fn read(reading: &Reading, text: &str) -> Vec<Piece> {
    let mut reader = Reader::new(reading.clone());
    let mut pieces = Vec::new();
    reader.push(text, &mut pieces);
    reader.finish(&mut pieces);
    join(pieces)
}

pub fn think() -> Reasoning {
    Reasoning { start: "<think>".to_owned(), end: "</think>".to_owned() }
}

pub fn functions() -> Vec<Function> {
    let weather = json!({
        "type": "object",
        "properties": {
            "city": { "type": "string" },
            "days": { "type": "integer" },
            "exact": { "type": "boolean" },
            "tags": { "type": "array", "items": { "type": "string" } },
            "unit": { "enum": ["C", "F"] },
        },
        "required": ["city", "exact"],
        "additionalProperties": false,
    });
    let function =
        |name: &str, parameters| Function { name: name.to_owned(), description: None, parameters, strict: true };
    vec![function("weather", weather), function("now", json!({}))]
}

pub fn of(style: Style) -> Reading {
    Reading { style: Some(style), reasoning: Some(think()), starts_inside: false, functions: functions().into() }
}

/// An answer as `text`, `(name)arguments` for calls and `[thought]` for thoughts, for short.
pub fn told(pieces: &[Piece]) -> String {
    let mut told = String::new();
    for piece in pieces {
        match piece {
            Piece::Reasoning(text) => told.push_str(&format!("[{text}]")),
            Piece::Text(text) => told.push_str(text),
            Piece::Call { index, name } => told.push_str(&format!("({index} {name})")),
            Piece::Arguments { text, .. } => told.push_str(text),
            Piece::End { .. } => told.push('.'),
        }
    }
    told
}

/// Each text, and what is read of it.
fn check(style: Style, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(told(&read(&of(style), text)), *expected, "{style:?}: {text}");
    }
}

const SUNNY: &str = r#"{"city": "Rome", "exact": true}"#;

#[test]
fn thoughts_are_told_from_text() {
    let reading = Reading { starts_inside: true, ..of(Style::Hermes) };
    assert_eq!(told(&read(&reading, "\nHm.\n\nOk \n</think>\n\nYes.\n")), "[Hm.\n\nOk]Yes.\n");
    assert_eq!(told(&read(&reading, "<think>\nHm</think>")), "[Hm]");
    assert_eq!(told(&read(&reading, "Hm, <think> </th")), "[Hm, <think> </th]");
    let outside = Reading { style: None, ..of(Style::Hermes) };
    assert_eq!(told(&read(&outside, "<think>\n\n</think>\n\nYes.")), "Yes.");
    assert_eq!(told(&read(&outside, " a <think>b</think> c </think>")), " a[b]c </think>");
    let plain = Reading { style: None, reasoning: None, starts_inside: true, functions: [].into() };
    assert_eq!(told(&read(&plain, " <think>b</think>\n")), " <think>b</think>\n");
}

#[test]
fn calls_in_the_notation_of_hermes() {
    let call = format!("<tool_call>\n{{\"name\": \"weather\", \"arguments\": {SUNNY}}}\n</tool_call>");
    let read = format!("(0 weather){SUNNY}.");
    check(
        Style::Hermes,
        &[
            (&call, &read),
            (&format!("Let me see.\n{call}\nDone."), &format!("Let me see.{read}\nDone.")),
            (&format!("\n\n{call}\n{call}\n"), &format!("{read}(1 weather){SUNNY}.")),
            (&format!("<think>a</think>\n{call}"), &format!("[a]{read}")),
            (
                r#"<tool_call>{"arguments": {"city": "a"}, "name": "weather"}</tool_call>"#,
                r#"(0 weather){"city": "a"}."#,
            ),
            (
                r#"<tool_call>{"name": "weather", "arguments": "{\"city\": \"\u00e9\"}"}"#,
                r#"(0 weather){"city": "é"}."#,
            ),
            (r#"<tool_call>{"name": "weather", "arguments": " \"Rome\""}"#, r#"(0 weather)"\"Rome\""."#),
            (r#"<tool_call>{"name": "weather", "arguments": ""}"#, "(0 weather){}."),
            (r#"<tool_call>{"name": "functions.now", "arguments": {}}"#, "(0 now){}."),
            (r#"<tool_call>[{"name":"now"}, {"name":"now","arguments":null}]</tool_call>x"#, "(0 now){}.(1 now){}.x"),
            (r#"<tool_call>{"type":"function","function":{"name":"now","arguments":{}}}</tool_call>"#, "(0 now){}."),
            (r#"<tool_call>{"name":"now"}<tool_call>{"name":"now"}"#, "(0 now){}.(1 now){}."),
        ],
    );
}

#[test]
fn what_is_no_whole_call_of_a_known_function_is_text() {
    check(
        Style::Hermes,
        &[
            (
                r#"<tool_call>{"name": "other", "arguments": {}}</tool_call>"#,
                r#"<tool_call>{"name": "other", "arguments": {}}</tool_call>"#,
            ),
            ("<tool_call>\n{\"name\": \"weat", "<tool_call>\n{\"name\": \"weat"),
            ("a <tool_call> b", "a <tool_call> b"),
            (r#"<tool_call>{"a": 1}</tool_call>"#, r#"<tool_call>{"a": 1}</tool_call>"#),
            (r#"<tool_call><tool_call>{"name":"now"}</tool_call>"#, "<tool_call>(0 now){}."),
            (r#"<tool_call>{"name":"weather","arguments":{"city": "Ro"#, r#"(0 weather){"city": "Ro."#),
            (r#"<tool_call>{"name":"now" oops}"#, "(0 now){}.oops}"),
            ("a<tool_cal", "a<tool_cal"),
        ],
    );
}

/// Calls as models of each family write them, and what is read of them.
pub const CALLS: &[(Style, &str, &str)] = &[
    (
        Style::Qwen3Coder,
        "Let me see.\n<tool_call>\n<function=weather>\n<parameter=city>\nRo\n\"me\"\n</parameter>\n<parameter=days>\n3\n</parameter>\n\
         <parameter=exact>\nTrue\n</parameter>\n<parameter=tags>\n[\"a\"]\n</parameter>\n</function>\n</tool_call>\nDone.",
        "Let me see.(0 weather){\"city\": \"Ro\\n\\\"me\\\"\", \"days\": 3, \"exact\": true, \"tags\": [\"a\"]}.\nDone.",
    ),
    (Style::Qwen3Coder, "<function=now>\n</function>", "(0 now){}."),
    (
        Style::SeedOss,
        "<seed:tool_call>\n<function=weather>\n<parameter=city>Rome</parameter>\n</function>\n</seed:tool_call>",
        "(0 weather){\"city\": \"Rome\"}.",
    ),
    (
        Style::MiniMax,
        "<minimax:tool_call>\n<invoke name=\"weather\">\n<parameter name=\"city\">Rome</parameter>\n</invoke>\n\
         <invoke name=\"now\">\n</invoke>\n</minimax:tool_call>",
        "(0 weather){\"city\": \"Rome\"}.(1 now){}.",
    ),
    (
        Style::Glm,
        "A\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>unit</arg_key>\n<arg_value>C</arg_value>\n\
         </tool_call>\n<tool_call>now</tool_call>",
        "A(0 weather){\"city\": \"Rome\", \"unit\": \"C\"}.(1 now){}.",
    ),
    (
        Style::Llama3,
        "{\"name\": \"weather\", \"parameters\": {\"city\": \"Rome\"}}",
        "(0 weather){\"city\": \"Rome\"}.",
    ),
    (Style::Llama3, "<|python_tag|>{\"type\": \"function\", \"name\": \"now\", \"parameters\": {}}", "(0 now){}."),
    (Style::Llama3, "{\"name\": \"now\"}; {\"name\": \"now\"}", "(0 now){}.(1 now){}."),
    (Style::Llama3, "{\"city\": \"Rome\"}", "{\"city\": \"Rome\"}"),
    (Style::Llama3, "See {\"name\": \"now\"}", "See {\"name\": \"now\"}"),
    (
        Style::Llama4Pythonic,
        "[weather(city='Rome', exact=True, tags=['a', \"b\"], days=2,), now()]",
        "(0 weather){\"city\": \"Rome\", \"exact\": true, \"tags\": [\"a\", \"b\"], \"days\": 2}.(1 now){}.",
    ),
    (Style::Llama4Pythonic, "<|python_start|>[now()]<|python_end|>", "(0 now){}."),
    (Style::Llama4Pythonic, "[1, 2](a)", "[1, 2](a)"),
    (
        Style::Mistral,
        "Wait. [TOOL_CALLS] [{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}, \"id\": \"123456789\"}]",
        "Wait.(0 weather){\"city\": \"Rome\"}.",
    ),
    (Style::Mistral, "[TOOL_CALLS]now[ARGS]{}[TOOL_CALLS]now[CALL_ID]1[ARGS]{}", "(0 now){}.(1 now){}."),
    (Style::MistralNamed, "[TOOL_CALLS]weather[ARGS]{\"city\": \"Rome\"}", "(0 weather){\"city\": \"Rome\"}."),
    (Style::MistralNamed, "[TOOL_CALLS]weather{\"city\": \"Rome\"}", "(0 weather){\"city\": \"Rome\"}."),
    (
        Style::DeepSeekV3,
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"city\": \"Rome\"}\n```<｜tool▁call▁end｜>\n\
         <｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "(0 weather){\"city\": \"Rome\"}.(1 now){}.",
    ),
    (
        Style::DeepSeekV31,
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\": \"Rome\"}<｜tool▁call▁end｜>\
         <｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "(0 weather){\"city\": \"Rome\"}.(1 now){}.",
    ),
    (
        Style::DeepSeekV32,
        "A\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Ro\n\"me\"\
         </｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n\
         <｜DSML｜invoke name=\"now\">\n\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
        "A(0 weather){\"city\": \"Ro\\n\\\"me\\\"\", \"days\": 3}.(1 now){}.",
    ),
    // What the function's schema does not say, the attribute does.
    (
        Style::DeepSeekV32,
        "<｜DSML｜function_calls><｜DSML｜invoke name=\"now\"><｜DSML｜parameter name=\"a\" string=\"true\">12</｜DSML｜parameter>\
         <｜DSML｜parameter name=\"b\" string=\"false\">12</｜DSML｜parameter><｜DSML｜parameter name=\"c\">[1]</｜DSML｜parameter>",
        "(0 now){\"a\": \"12\", \"b\": 12, \"c\": [1].",
    ),
    (
        Style::DeepSeekV4,
        "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"exact\" string=\"false\">true</｜DSML｜parameter>\n\
         </｜DSML｜invoke>\n</｜DSML｜tool_calls>",
        "(0 weather){\"exact\": true}.",
    ),
    (
        Style::KimiK2,
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>{\"city\": \"Rome\"}<|tool_call_end|>\
         <|tool_calls_section_end|>",
        "(0 weather){\"city\": \"Rome\"}.",
    ),
    (Style::Granite, "<|tool_call|>[{\"name\": \"now\", \"arguments\": {}}] Ok", "(0 now){}. Ok"),
    (Style::Phi4Mini, "<|tool_call|>[{\"name\": \"now\", \"arguments\": {}}]<|/tool_call|>", "(0 now){}."),
    (Style::Phi4Mini, "<|tool_call|>{\"name\": \"now\", \"arguments\": {}}<|/tool_call|>", "(0 now){}."),
    (
        Style::Lfm2,
        "<|tool_call_start|>[weather(city=\"Rome\")]<|tool_call_end|>Checking.",
        "(0 weather){\"city\": \"Rome\"}.Checking.",
    ),
    (Style::Lfm2, "<|tool_call_start|>[{\"name\": \"now\", \"arguments\": {}}]<|tool_call_end|>", "(0 now){}."),
    (
        Style::Olmo3,
        "Let me see.\n<function_calls>\nweather(city=\"Rome\", exact=true, tags=[\"a\"])\nnow()\n</function_calls>\nDone.",
        "Let me see.(0 weather){\"city\": \"Rome\", \"exact\": true, \"tags\": [\"a\"]}.(1 now){}.\nDone.",
    ),
    (
        Style::Olmo3,
        "<function_calls>[now(), weather(city='a')]</function_calls>",
        "(0 now){}.(1 weather){\"city\": \"a\"}.",
    ),
    (Style::Olmo3, "<function_calls>now()", "(0 now){}."),
    (Style::Olmo3, "<function_calls></function_calls>", "<function_calls></function_calls>"),
    (
        Style::Apertus,
        "Wait.<|tools_prefix|>[{\"weather\": {\"city\": \"Rome\"}}, {\"now\": {}}]<|tools_suffix|>",
        "Wait.(0 weather){\"city\": \"Rome\"}.(1 now){}.",
    ),
    (
        Style::Apertus,
        "<|tools_prefix|>[{\"now\": {}, \"weather\": {\"days\": 2}}]",
        "(0 now){}.(1 weather){\"days\": 2}.",
    ),
    (Style::Apertus, "<|tools_prefix|>[{\"other\": {}}]", "<|tools_prefix|>[{\"other\": {}}]"),
    (
        Style::CommandR,
        "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"weather\", \"parameters\": {\"city\": \"Rome\"}}\n]<|END_ACTION|>",
        "(0 weather){\"city\": \"Rome\"}.",
    ),
    (Style::CommandR, "<|START_RESPONSE|>Hello.<|END_RESPONSE|>", "Hello."),
    (Style::Jamba, "<tool_calls>[\n  {\"name\": \"now\", \"arguments\": {}}\n]</tool_calls>", "(0 now){}."),
    (Style::Nemotron, "<TOOLCALL>[{\"name\": \"now\", \"arguments\": {}}]</TOOLCALL>", "(0 now){}."),
    (
        Style::FunctionGemma,
        "<start_function_call>call:weather{city:<escape>Rome<escape>,days:3}<end_function_call>",
        "(0 weather){\"city\": \"Rome\", \"days\": 3}.",
    ),
    (
        Style::Gemma4,
        "<|tool_call>call:weather{city:<|\"|>Rome<|\"|>,tags:[<|\"|>a<|\"|>]}<tool_call|><|tool_call>call:now{}<tool_call|>",
        "(0 weather){\"city\": \"Rome\", \"tags\": [\"a\"]}.(1 now){}.",
    ),
];

#[test]
fn calls_in_the_notations_of_all_families() {
    for (style, text, expected) in CALLS {
        check(*style, &[(text, expected)]);
    }
}

#[test]
fn frames_around_text_are_left_out_without_tools_too() {
    let reasoning = Reasoning { start: "<|START_THINKING|>".to_owned(), end: "<|END_THINKING|>".to_owned() };
    let text = "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>";
    let framed = Reading { style: None, reasoning: Some(reasoning), ..of(Style::Hermes) };
    assert_eq!(told(&read(&framed, text)), "[Hm.]Yes.");
    let other = Reading { reasoning: Some(think()), ..framed };
    assert_eq!(told(&read(&other, text)), text);
}

#[test]
fn a_reader_says_whether_it_reads_a_thought() {
    for (style, thought, end) in
        [(Style::Hermes, "<think>a", "</think>"), (Style::Harmony, "<|channel|>analysis<|message|>a", "<|end|>")]
    {
        let mut reader = Reader::new(of(style));
        let mut pieces = Vec::new();
        assert!(!reader.is_thinking());
        reader.push(thought, &mut pieces);
        assert!(reader.is_thinking());
        reader.push(end, &mut pieces);
        assert!(!reader.is_thinking());
    }
}

#[test]
fn channels_are_thoughts_calls_and_text() {
    let call = "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{\"city\": \"Rome\"}";
    check(
        Style::Harmony,
        &[
            (
                "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.\n",
                "[Hm.]Yes.\n",
            ),
            (call, "(0 weather){\"city\": \"Rome\"}."),
            (
                &format!("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant{call}<|call|>"),
                "[Hm.](0 weather){\"city\": \"Rome\"}.",
            ),
            (
                &format!("<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant{call}"),
                "Let me see.(0 weather){\"city\": \"Rome\"}.",
            ),
            (" to=functions.now<|channel|>commentary json<|message|>{}", "(0 now){}."),
            (" to be", " to be"),
            ("<|start|>assistant to=functions.now<|channel|>commentary json<|message|>{}<|call|>", "(0 now){}."),
            (
                "<|channel|>commentary to=functions.other<|message|>{}",
                "<|channel|>commentary to=functions.other<|message|>{}",
            ),
            ("Plain < text.", "Plain < text."),
        ],
    );
}

#[test]
fn text_is_kept_byte_by_byte_where_calls_break_off() {
    check(
        Style::Qwen3Coder,
        &[
            ("a <function=other>\nb", "a <function=other>\nb"),
            ("<tool_call>\n<function=weath", "<tool_call>\n<function=weath"),
            ("<tool_call></tool_call>", "<tool_call></tool_call>"),
        ],
    );
    check(Style::Glm, &[("<tool_call>weather is nice", "<tool_call>weather is nice")]);
    check(Style::Mistral, &[("[TOOL_CALLS] nothing", "[TOOL_CALLS] nothing")]);
    check(Style::Lfm2, &[("<|tool_call_start|>weather()", "<|tool_call_start|>weather()")]);
    check(Style::Gemma4, &[("<|tool_call>weather{}", "<|tool_call>weather{}")]);
}
