//! Jinja 3.1 on Python as the witness, set up as Hugging Face's transformers does: `tests/data` holds what it wrote.

use parkade_jinja::ErrorKind;
use serde_json::Value;

use crate::support::render;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

fn data(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(format!("{DATA}/{name}")).unwrap()).unwrap()
}

#[test]
fn templates_write_what_jinja_writes_on_python() {
    let data = data("cases.json");
    let cases = data["cases"].as_array().unwrap();
    assert!(cases.len() > 2000);
    let mut wrong = Vec::new();
    for case in cases {
        let source = case[0].as_str().unwrap();
        let rendered = render(source, &data["context"]);
        match (&case[1], &rendered) {
            (Value::String(expected), Ok(rendered)) if *expected == rendered.text => {}
            (Value::Null, Err(_)) => {}
            (expected, rendered) => wrong.push(format!("{source:?}\n  should be {expected}\n  but is {rendered:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn chat_templates_write_what_jinja_writes_on_python() {
    let data = data("conversations.json");
    let mut count = 0;
    for (name, expected) in data["prompts"].as_object().unwrap() {
        let source = std::fs::read_to_string(format!("{DATA}/templates/{name}.jinja")).unwrap();
        for (conversation, expected) in
            data["conversations"].as_array().unwrap().iter().zip(expected.as_array().unwrap())
        {
            let rendered = render(&source, conversation);
            match expected {
                Value::String(expected) => assert_eq!(&rendered.unwrap().text, expected, "{name}"),
                // What the template raised, or null if it failed.
                Value::Object(raised) => {
                    let error = rendered.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Raised, "{name}: {error}");
                    assert_eq!(error.message(), raised["raised"], "{name}");
                }
                _ => assert_eq!(rendered.unwrap_err().kind(), ErrorKind::Failed, "{name}"),
            }
            count += 1;
        }
    }
    assert!(count > 50);
}
