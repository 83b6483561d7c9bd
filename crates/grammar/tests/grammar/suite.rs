//! The JSON Schema Test Suite: whatever is taken as a schema lets nothing through that is invalid, and what is refused is listed.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::bytes::{accepts, grammars};
use parkade_grammar::Format;
use serde_json::Value;

/// How a draft came out.
#[derive(Default)]
struct Outcome {
    schemas: usize,
    refused: String,
    invalid: usize,
    accepted_invalid: Vec<String>,
    valid: usize,
    accepted_valid: usize,
}

fn run(draft: &str, uri: &str, suite: &str) -> Outcome {
    let files: BTreeMap<String, Vec<Value>> = serde_json::from_str(suite).expect("the suite has its form");
    let grammars = grammars();
    let mut outcome = Outcome::default();
    for (file, cases) in &files {
        for case in cases {
            outcome.schemas += 1;
            let name = format!("{draft} {file}: {}", case["description"].as_str().expect("the suite has its form"));
            let mut schema = case["schema"].clone();
            if let Value::Object(members) = &mut schema {
                members.entry("$schema").or_insert_with(|| uri.into());
            }
            let grammar = match grammars.compile(&Format::JsonSchema { schema, strict: true }) {
                Ok(grammar) => grammar,
                Err(error) => {
                    writeln!(outcome.refused, "{name}: {error}").expect("the suite has its form");
                    continue;
                }
            };
            for test in case["tests"].as_array().expect("the suite has its form") {
                let accepted = accepts(&grammar, &test["data"].to_string());
                if test["valid"].as_bool().expect("the suite has its form") {
                    outcome.valid += 1;
                    outcome.accepted_valid += usize::from(accepted);
                } else {
                    outcome.invalid += 1;
                    if accepted {
                        outcome.accepted_invalid.push(format!("{name}: {}", test["description"]));
                    }
                }
            }
        }
    }
    outcome
}

#[test]
fn no_schema_of_the_suite_lets_an_invalid_answer_through() {
    let drafts = [
        ("draft7", "http://json-schema.org/draft-07/schema#", include_str!("../data/suite/draft7.json")),
        (
            "draft2020-12",
            "https://json-schema.org/draft/2020-12/schema",
            include_str!("../data/suite/draft2020-12.json"),
        ),
    ];
    let mut refused = String::new();
    for (draft, uri, suite) in drafts {
        let outcome = run(draft, uri, suite);
        println!(
            "{draft}: {} schemas, {} refused; {} of {} valid texts taken; {} invalid ones",
            outcome.schemas,
            outcome.refused.lines().count(),
            outcome.accepted_valid,
            outcome.valid,
            outcome.invalid,
        );
        assert_eq!(outcome.accepted_invalid, Vec::<String>::new());
        refused += &outcome.refused;
    }
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/suite/refused.txt");
    if std::env::var_os("PARKADE_RECORD").is_some() {
        std::fs::write(list, &refused).unwrap();
    }
    assert!(std::fs::read_to_string(list).unwrap() == refused, "PARKADE_RECORD=1 records what is refused now");
}
