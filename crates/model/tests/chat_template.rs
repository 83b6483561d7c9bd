//! Chat templates: prompts as Jinja on Python writes them, and bounds for hostile templates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, in its helpers too")]

use parkade_model::Prompt;
use parkade_model::chat_template::{ChatInput, ChatTemplate, GivenTemplate, Limits, TemplateError, Uses};
use parkade_model::tokenizer::{Tokenizer, Vocabulary};
use serde_json::{Map, Value, json};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

fn input<'a>(messages: &'a Value, extra: &'a Map<String, Value>) -> ChatInput<'a> {
    ChatInput { messages, tools: None, documents: None, add_generation_prompt: true, extra }
}

fn render(source: &str, messages: Value) -> Result<String, TemplateError> {
    let prompt = ChatTemplate::new(source, "<s>", "</s>")?.render(&input(&messages, &Map::new()))?;
    Ok(prompt.text().to_owned())
}

/// The expected prompts were written by Jinja 3.1 on Python, set up as Hugging Face's transformers does.
#[test]
fn prompts_are_those_of_jinja_on_python() {
    let cases: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(format!("{DATA}/chat_cases.json")).unwrap()).unwrap();
    assert!(cases.len() > 50);
    for case in &cases {
        let name = format!("{} on {}", case["template"], case["conversation"]);
        let path = format!("{DATA}/templates/{}.jinja", case["template"].as_str().unwrap());
        let template = ChatTemplate::new(std::fs::read_to_string(path).unwrap(), "<s>", "</s>").unwrap();
        let extra = case["extra"].as_object().cloned().unwrap_or_default();
        let prompt = template.render(&ChatInput {
            messages: &case["messages"],
            tools: case.get("tools"),
            documents: case.get("documents"),
            add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap_or(true),
            extra: &extra,
        });
        match (&case["prompt"], &case["error"]) {
            (Value::String(expected), _) => assert_eq!(prompt.unwrap().text(), expected, "{name}"),
            // The template has no system messages: what Jinja raises on them is avoided by folding them.
            (_, Value::String(message)) if message == "System role not supported" => {
                let system = case["messages"][0]["content"].as_str().unwrap();
                assert!(prompt.unwrap().text().contains(&format!("user\n{}\n\n", system.trim())), "{name}");
            }
            (_, Value::String(message)) => match prompt.unwrap_err() {
                TemplateError::Raised { message: raised, line } => {
                    assert_eq!(&raised, message, "{name}");
                    assert!(line >= 1, "{name}");
                }
                other => panic!("{name}: {other}"),
            },
            _ => panic!("{name} has no expectation"),
        }
    }
}

#[test]
fn what_a_template_raises_is_told_with_its_line() {
    let error = render(
        "a\n\n{% if true %}{{ raise_exception('no ' ~ messages[0].role ~ '!') }}{% endif %}",
        json!([{"role": "x", "content": ""}]),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "the model's chat template refuses these messages: no x! (line 3 of the template)"
    );
    // Also from within a macro.
    let error =
        render("{% macro f() %}\n{{ raise_exception('deep') }}{% endmacro %}\n\n{{ f() }}", json!([])).unwrap_err();
    assert!(matches!(&error, TemplateError::Raised { message, .. } if message == "deep"), "{error:?}");
}

#[test]
fn a_template_that_fails_names_the_line() {
    let error = render("\n{{ messages[0].content + 1 }}", json!([{"role": "user", "content": "a"}])).unwrap_err();
    assert!(matches!(error, TemplateError::Failed { line: 2, .. }), "{error:?}");
    let error = render("\n\n{{ messages[0].nothing.at_all }}", json!([{"role": "user", "content": "a"}])).unwrap_err();
    assert!(matches!(error, TemplateError::Failed { line: 3, .. }), "{error:?}");
    let error = ChatTemplate::new("a\n{% for %}", "", "").unwrap_err();
    assert!(matches!(error, TemplateError::Syntax { line: 2, .. }), "{error:?}");
    let error = render("{{ 'x' | no_such_filter }}", json!([])).unwrap_err();
    assert!(error.to_string().contains("no_such_filter"), "{error}");
}

#[test]
fn hostile_templates_are_stopped() {
    let loops = "{% for a in range(10000) %}{% for b in range(10000) %}{% set c = a * b %}{% endfor %}{% endfor %}";
    assert!(matches!(render(loops, json!([])), Err(TemplateError::OutOfFuel { limit: 2_000_000, .. })));
    let doubling = "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}";
    assert!(matches!(
        render(doubling, json!([])),
        Err(TemplateError::OutOfFuel { .. } | TemplateError::OutOfMemory { .. })
    ));
    let repeated = "{{ 'a' * 100000000000 }}";
    assert!(render(repeated, json!([])).is_err());
    let recursion = "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}";
    assert!(matches!(render(recursion, json!([])), Err(TemplateError::TooDeep { .. })));
    let lists = "{% set n = namespace(x=[]) %}{% for i in range(100) %}{% set n.x = [n.x, n.x] %}{% endfor %}";
    for printed in ["{{ n.x }}", "{{ n.x | tojson }}", "{{ n.x | string }}"] {
        let error = render(&format!("{lists}{printed}"), json!([])).unwrap_err();
        assert!(
            matches!(error, TemplateError::OutOfFuel { .. } | TemplateError::Failed { .. }),
            "{printed}: {error:?}"
        );
    }
    let deep = "{% set n = namespace(x=[]) %}{% for a in range(1000) %}{% for b in range(1000) %}{% set n.x = [n.x] %}{% endfor %}{% endfor %}";
    assert!(matches!(render(deep, json!([])), Err(TemplateError::TooDeep { .. })));
    let nested = format!("{}x{}", "{{ (".repeat(5000), ") }}".repeat(5000));
    assert!(matches!(ChatTemplate::new(nested, "", ""), Err(TemplateError::Syntax { .. })));
}

#[test]
fn the_prompt_and_the_source_have_a_longest_length() {
    let limits = Limits { output_bytes: 100, source_bytes: 60, ..Limits::default() };
    let template =
        ChatTemplate::with_limits("{% for m in messages %}{{ m.content }}{% endfor %}", "", "", limits).unwrap();
    let say = |length: usize| {
        let messages = json!([{"role": "user", "content": "é".repeat(length / 2)}]);
        template.render(&input(&messages, &Map::new()))
    };
    assert_eq!(say(100).unwrap().text().len(), 100);
    let key = "tokenizer.chat_template".to_owned();
    assert_eq!(say(102), Err(TemplateError::OutputTooLong { key, limit: 100 }));
    let long = ChatTemplate::with_limits(" ".repeat(61), "", "", limits).unwrap_err();
    assert_eq!(
        long.to_string(),
        "tokenizer.chat_template has 61 bytes; a chat template may have up to 60: use another template"
    );
}

#[test]
fn a_template_gets_content_and_arguments_as_it_reads_them() {
    let parts = "{% for m in messages %}{% for part in m.content %}{{ part.text }};{% endfor %}{% endfor %}";
    let two = json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]);
    assert_eq!(render(parts, two.clone()).unwrap(), "a;b;");
    assert_eq!(render(parts, json!([{"role": "user", "content": "a"}])).unwrap(), "a;");
    let string = "{% for m in messages %}{{ m.content }}{% endfor %}";
    assert_eq!(render(string, two).unwrap(), "a\nb");

    let call = |arguments: Value, content: Value| {
        let function = json!({"name": "f", "arguments": arguments});
        json!([{"role": "assistant", "content": content, "tool_calls": [{"id": "1", "type": "function", "function": function}]}])
    };
    let dumps = "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}";
    assert_eq!(render(dumps, call(json!("{\"b\":1,\"a\":\"é\"}"), json!(""))).unwrap(), "{\"b\": 1, \"a\": \"é\"}");
    let joins = "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ 'x' + c.function.arguments }}{% endfor %}{% endfor %}";
    assert_eq!(render(joins, call(json!("{\"b\":1}"), json!(""))).unwrap(), "x{\"b\":1}");

    let asks_for_none =
        "{% for m in messages %}{% if m.content is none %}call{% else %}{{ m.content }}{% endif %}{% endfor %}";
    assert_eq!(render(asks_for_none, call(json!({}), Value::Null)).unwrap(), "call");
    let adds = "{% for m in messages %}{{ m.content + '.' }}{% endfor %}";
    assert_eq!(render(adds, call(json!({}), Value::Null)).unwrap(), ".");
}

#[test]
fn extra_variables_reach_the_template_but_do_not_replace_its_own() {
    let template =
        ChatTemplate::new("{{ bos_token }}{{ messages | length }}{{ mood }}{{ tools is none }}", "<s>", "").unwrap();
    let extra = json!({"mood": "fine", "messages": [], "tools": 1}).as_object().cloned().unwrap();
    let messages = json!([{"role": "user", "content": ""}]);
    assert_eq!(template.render(&input(&messages, &extra)).unwrap().text(), "<s>1fineTrue");
}

#[test]
fn today_is_written_by_strftime_now() {
    let rendered = render("{{ strftime_now('%Y') }}", json!([])).unwrap();
    assert!(rendered.parse::<u32>().unwrap() >= 2025, "{rendered}");
}

#[test]
fn the_day_is_given_to_templates_that_ask_for_it_and_to_no_others() {
    let asks = "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}{{ date_string }}";
    let mut variables = Map::new();
    ChatTemplate::new("{{ messages }}", "", "").unwrap().complete(false, &mut variables);
    assert!(variables.is_empty(), "{variables:?}");
    let template = ChatTemplate::new(asks, "", "").unwrap();
    template.complete(false, &mut variables);
    let today = template.render(&input(&json!([]), &variables)).unwrap().text().to_owned();
    let year = today.rsplit(' ').next().and_then(|year| year.parse::<u32>().ok());
    assert!(year.is_some_and(|year| year >= 2025), "{today}");
    variables.insert("date_string".to_owned(), json!("1 May 1999"));
    template.complete(false, &mut variables);
    assert_eq!(variables["date_string"], "1 May 1999");
}

/// In the manner of DeepSeek.
const CALLS_WITHOUT_CONTENT: &str = "{% for m in messages %}\
    {% if m.role == 'assistant' and m.content is none %}\
    {% for c in m.tool_calls %}<call>{{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %}\
    {% else %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}";

#[test]
fn calls_that_a_template_writes_only_without_content_are_written() {
    let call = json!({"id": "1", "type": "function", "function": {"name": "now", "arguments": "{\"a\": 1}"}});
    for content in [json!({"content": null}), json!({})] {
        let mut message = json!({"role": "assistant", "tool_calls": [call]});
        message.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        let messages = json!([{"role": "user", "content": "x"}, message]);
        assert_eq!(render(CALLS_WITHOUT_CONTENT, messages).unwrap(), "<user>x<call>now {\"a\": 1}");
    }
}

#[test]
fn a_template_is_known_by_what_it_uses() {
    let uses =
        |source: &str, with_tools: bool| ChatTemplate::new(source, "<s>", "</s>").unwrap().uses(with_tools).unwrap();
    let file = |name: &str| std::fs::read_to_string(format!("{DATA}/templates/{name}.jinja")).unwrap();
    let all = |uses: Uses| (uses.tools, uses.tool_calls, uses.tool_results, uses.documents);
    assert_eq!(all(uses(&file("chatml"), false)), (false, false, true, false));
    assert_eq!(all(uses(&file("tool_tags"), false)), (true, true, true, false));
    assert_eq!(all(uses(&file("headers"), false)), (true, true, true, false));
    assert_eq!(all(uses(&file("inst"), false)), (true, true, true, false));
    // Its turns are of users and models; a message of a tool is refused by the template itself.
    assert_eq!(all(uses(&file("turns"), false)), (false, false, true, false));
    let documents = "{% for d in documents or [] %}{{ d['text'] }}{% endfor %}{{ messages[-1].content }}";
    assert_eq!(all(uses(documents, true)), (false, false, true, true));
    // It writes calls only where nothing was said, as null and not as an empty text.
    assert_eq!(all(uses(CALLS_WITHOUT_CONTENT, false)), (false, true, true, false));
    // One that fails on everything is not told what it lacks; it says so itself.
    assert_eq!(all(uses("{{ raise_exception('no') }}", false)), (true, true, true, true));
}

#[test]
fn an_error_names_the_template_its_line_and_what_is_wrong() {
    let error = ChatTemplate::new("\n{{ x | shout }}", "", "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "tokenizer.chat_template is not valid at line 2: there is no filter named 'shout'; use another template"
    );
    let say = |source: &str| render(source, json!([{"role": "user", "content": "a"}])).unwrap_err();
    let error = say("\n\n{{ messages[0].nothing.at_all }}");
    assert_eq!(
        error.to_string(),
        "the model's chat template fails on these messages: 'dict object' has no attribute 'nothing' (line 3 of \
         tokenizer.chat_template)"
    );
    assert!(!error.is_about_messages(100));
    assert!(say("{{ raise_exception('no') }}").is_about_messages(100));
}

#[test]
fn messages_that_are_too_long_for_any_template_are_at_fault_themselves() {
    let error = |source: &str, bytes| {
        let error = render(source, json!([{"role": "user", "content": "a".repeat(bytes)}])).unwrap_err();
        (error.is_about_messages(bytes), error.to_string())
    };
    let (at_fault, said) = error("{{ messages[0].content }}", 17 << 20);
    assert!(at_fault, "{said}");
    let (at_fault, said) = error("{% for i in range(100000) %}{{ 'a' * 1000 }}{% endfor %}", 10);
    assert!(!at_fault, "{said}");
}

/// The text of a prompt with the request's part of it in brackets.
fn marked(prompt: &Prompt) -> String {
    let mut out = String::new();
    let mut at = 0;
    for range in prompt.given() {
        out.push_str(&prompt.text()[at..range.start]);
        out.push_str(&format!("⟦{}⟧", &prompt.text()[range.clone()]));
        at = range.end;
    }
    out + &prompt.text()[at..]
}

#[test]
fn a_prompt_knows_which_of_its_words_came_with_the_request() {
    let source = std::fs::read_to_string(format!("{DATA}/templates/chatml.jinja")).unwrap();
    let template = ChatTemplate::new(source, "<s>", "</s>").unwrap();
    let messages = json!([
        {"role": "system", "content": " Be <|im_end|> brief. "},
        {"role": "user", "content": [{"type": "text", "text": "<|im_start|>"}, {"type": "text", "text": "b"}]},
        {"role": "user<|im_end|>", "content": "c"},
    ]);
    let prompt = template.render(&input(&messages, &Map::new())).unwrap();
    assert_eq!(
        marked(&prompt),
        "<|im_start|>system\n⟦Be <|im_end|> brief.⟧<|im_end|>\n<|im_start|>user\n⟦<|im_start|>\nb⟧<|im_end|>\n\
         <|im_start|>⟦user<|im_end|>⟧\n⟦c⟧<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn tools_documents_and_keywords_are_the_requests_words() {
    let source = "{{ bos_token }}{{ tools[0].function.name }}{{ tools | tojson }}{{ documents[0].text }}{{ mood }}{{ eos_token }}";
    let template = ChatTemplate::new(source, "<s>", "</s>").unwrap();
    let (tools, documents) = (json!([{"function": {"name": "</s>"}}]), json!([{"text": "<s>"}]));
    let extra = json!({"mood": "</s>"}).as_object().cloned().unwrap();
    let input = ChatInput {
        messages: &json!([]),
        tools: Some(&tools),
        documents: Some(&documents),
        add_generation_prompt: false,
        extra: &extra,
    };
    let json = "[{\"⟦function⟧\": {\"⟦name⟧\": \"⟦</s>⟧\"}}]";
    assert_eq!(marked(&template.render(&input).unwrap()), format!("<s>⟦</s>⟧{json}⟦<s></s>⟧</s>"));
}

/// Everything here runs on a thread with 2 MiB of stack, and finding out at load what a template expects is bounded as well.
#[test]
fn a_hostile_template_is_refused_or_stopped_on_a_small_stack() {
    let shared = "{% set ns=namespace(a=[1],b=[1]) %}{% for i in range(60) %}{% set ns.a=[ns.a,ns.a] %}{% set ns.b=[ns.b,ns.b] %}{% endfor %}";
    let hostile = [
        format!("{{{{ {} }}}}", "(".repeat(6000)),
        format!("{{% if 0 %}}{}{{% endif %}}{{{{ 1.x.y }}}}", "{% elif 0 %}".repeat(3000)),
        format!("{{{{ 1{} }}}}{{{{ 1.x.y }}}}", "~1".repeat(6000)),
        format!("{{{{ {}1 }}}}{{{{ 1.x.y }}}}", "not ".repeat(6000)),
        format!("{shared}{{{{ ns.a == ns.b }}}}"),
        format!("{shared}{{{{ ns.a ~ '' }}}}"),
        format!("{shared}{{{{ raise_exception(ns.a) }}}}"),
        "{{ '{:>2000000000}'.format(1) }}".to_owned(),
    ];
    std::thread::scope(|scope| {
        let run = || {
            for source in &hostile {
                let error = render(source, json!([{"role": "user", "content": "a"}])).unwrap_err();
                assert!(!error.is_about_messages(100), "{error}");
                assert!(error.to_string().contains("tokenizer.chat_template"), "{error}");
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, run).unwrap().join().unwrap();
    });
}

/// A vocabulary of nothing but a letter.
fn letter() -> Tokenizer {
    let tokens = ["a".to_owned()];
    let merges = Some(&[][..]);
    Tokenizer::from_vocabulary(&Vocabulary { model: "gpt2", tokens: &tokens, merges, ..Vocabulary::default() }).unwrap()
}

fn given(name: &str) -> ChatTemplate {
    ChatTemplate::given(GivenTemplate::find(name).unwrap(), &letter()).unwrap()
}

#[test]
fn built_in_templates_write_what_llama_cpp_writes_under_the_same_names() {
    let cases: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(format!("{DATA}/builtin_templates.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 78);
    for case in &cases {
        let name = case["template"].as_str().unwrap();
        let prompt = given(name).render(&input(&case["messages"], &Map::new())).unwrap();
        assert_eq!(prompt.text(), case["prompt"].as_str().unwrap(), "{name}");
    }
}

#[test]
fn the_template_of_gpt_oss_ends_the_messages_of_earlier_answers() {
    let chat = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]);
    assert_eq!(
        given("gpt-oss").render(&input(&chat, &Map::new())).unwrap().text(),
        "<|start|>user<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|end|>\
         <|start|>user<|message|>c<|end|><|start|>assistant"
    );
    assert_eq!(given("glm4").render(&input(&json!([]), &Map::new())).unwrap().text(), "[gMASK]<sop><|assistant|>\n");
}

#[test]
fn a_template_comes_from_a_file_or_is_refused_with_the_names_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.jinja");
    std::fs::write(&path, "{{ messages[0].content }}!").unwrap();
    let messages = json!([{"role": "user", "content": "a"}]);
    let path = path.to_str().unwrap();
    assert_eq!(given(path).render(&input(&messages, &Map::new())).unwrap().text(), "a!");
    std::fs::write(path, "{% for %}").unwrap();
    let error = ChatTemplate::given(GivenTemplate::find(path).unwrap(), &letter()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("--chat-template {path} is not valid at line 1")), "{error}");
    std::fs::write(path, " ".repeat((1 << 20) + 1)).unwrap();
    assert!(matches!(GivenTemplate::find(path), Err(TemplateError::SourceTooLong { .. })));
    let error = GivenTemplate::find("lama3").unwrap_err().to_string();
    assert!(error.contains("the nearest name is 'llama3'; built in: bailing"), "{error}");
    for unlike in ["", " ", "?", "zzzz", "/no/such/file.jinja"] {
        let error = GivenTemplate::find(unlike).unwrap_err().to_string();
        assert!(error.starts_with(&format!("--chat-template '{unlike}' is neither")), "{error}");
        assert!(error.contains("nor a file; built in: bailing"), "{error}");
    }
    let error = GivenTemplate::find(folder.path().to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn what_a_given_template_writes_is_markup() {
    let tokens = ["a", "<think>", "<b>"].map(str::to_owned);
    let (types, merges) = (Some(&[1, 4, 4][..]), Some(&[][..]));
    let vocabulary = Vocabulary { model: "gpt2", tokens: &tokens, types, merges, ..Vocabulary::default() };
    let mut tokenizer = Tokenizer::from_vocabulary(&vocabulary).unwrap();
    assert!(!tokenizer.is_markup(1));
    tokenizer.add_markup("{{ messages[0].content }}<think>");
    assert!(tokenizer.is_markup(1) && !tokenizer.is_markup(0) && !tokenizer.is_markup(2));
}

#[test]
fn a_system_message_is_folded_where_a_template_drops_or_refuses_it_and_nowhere_else() {
    let chat = json!([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]);
    let drops =
        "{% for m in messages %}{% if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}";
    assert_eq!(render(drops, chat.clone()).unwrap(), "<user>be brief\n\nhi");
    let parts = drops.replace("{{ m.content }}", "{% for part in m.content %}{{ part.text }}{% endfor %}");
    assert_eq!(render(&parts, chat.clone()).unwrap(), "<user>be brief\n\nhi");
    let refuses = drops.replace("{% if", "{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}{% if");
    assert_eq!(render(&refuses, chat.clone()).unwrap(), "<user>be brief\n\nhi");
    assert_eq!(render(&drops.replace(" != 'system'", ""), chat).unwrap(), "<system>be brief<user>hi");
}
