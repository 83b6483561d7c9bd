//! Bodies made of the description: each field is read, and no body breaks the server.

use serde_json::{Value, json};

use super::schema::{Checker, Others};
use super::servers::{Operation, Servers};
use crate::support::{post, post_raw};

/// Bodies in which each of an operation's fields is read, without limits that other names say again.
fn bases(operation: &Operation) -> Vec<Value> {
    let messages = json!([{"role": "user", "content": "ab"}]);
    let mut bases = match operation.path.as_str() {
        "/tokenize" => vec![json!({"content": "ab"}), json!({"prompt": "ab"}), json!({"messages": messages})],
        "/completion" => vec![json!({"prompt": "ab", "n_probs": 1})],
        "/infill" => vec![json!({"input_prefix": "a", "input_suffix": "b", "n_probs": 1})],
        "/v1/rerank" => vec![json!({"query": "a", "documents": ["b"]})],
        _ => {
            let mut base = operation.example();
            let members = base.as_object_mut().expect("an object");
            if operation.path != "/v1/messages" {
                members.remove("max_tokens");
            }
            vec![base]
        }
    };
    // What adjusts DRY is looked at while that is at work.
    if operation.body()["properties"].get("dry_multiplier").is_some() {
        let with_dry = with(&bases[0], "dry_multiplier", &json!(1));
        bases.push(with_dry);
    }
    bases
}

/// Values of each kind, and just outside of the field's range.
fn candidates(schema: &Value) -> Vec<Value> {
    let mut values = vec![json!(true), json!(7.5), json!("?!"), json!([[true]]), json!({"?": [true]}), json!(-5)];
    if let Some(least) = schema["minimum"].as_i64().and_then(|least| least.checked_sub(1)) {
        values.push(json!(least));
    }
    if let Some(most) = schema["maximum"].as_i64().and_then(|most| most.checked_add(1)) {
        values.push(json!(most));
    }
    if let Some(most) = schema["maximum"].as_f64().filter(|_| schema["type"].to_string().contains("number")) {
        values.push(json!(most + 0.5));
    }
    values
}

fn wrong_values(document: &Value, schema: &Value) -> Vec<Value> {
    // Members that nobody knows are ignored.
    let checker = Checker { document, others: Others::Allowed };
    candidates(schema).into_iter().filter(|value| checker.check(schema, value, "").is_err()).collect()
}

fn with(base: &Value, name: &str, value: &Value) -> Value {
    let mut body = base.clone();
    body[name] = value.clone();
    body
}

#[tokio::test]
async fn each_field_is_read_and_a_value_that_it_may_not_have_is_refused_by_its_name() {
    let servers = Servers::start().await;
    for operation in servers.operations() {
        for (name, schema) in operation.fields() {
            let wrong = wrong_values(&servers.document, schema);
            assert!(!wrong.is_empty(), "{}: any value of {name} is described", operation.path);
            let mut told = Vec::new();
            for base in bases(&operation) {
                let mut all_named = true;
                for value in &wrong {
                    let body = with(&base, name, value);
                    let answer = post(servers.at(&operation.path), &operation.path, &body).await;
                    servers.check(&operation.described, &answer).unwrap_or_else(|problem| panic!("{body}: {problem}"));
                    let param = answer.json()["error"]["param"].as_str().unwrap_or_default().to_owned();
                    let is_named = param.split(['.', '[']).next() == Some(name);
                    if answer.status != 400 || !is_named {
                        all_named = false;
                        told.push(format!("{value}: {} {}", answer.status, answer.text));
                    }
                }
                if all_named {
                    told.clear();
                    break;
                }
            }
            assert!(told.is_empty(), "{}: {name} {schema}\n{}", operation.path, told.join("\n"));
        }
    }
}

#[tokio::test]
async fn a_field_that_must_be_there_is_missed_by_name() {
    let servers = Servers::start().await;
    for operation in servers.operations() {
        for name in operation.body()["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            for absent in [None, Some(Value::Null)] {
                let mut body = bases(&operation).remove(0);
                let members = body.as_object_mut().expect("an object");
                members.remove(name);
                members.extend(absent.map(|null| (name.to_owned(), null)));
                let answer = post(servers.at(&operation.path), &operation.path, &body).await;
                assert_eq!(answer.status, 400, "{}: {}", operation.path, answer.text);
                assert_eq!(answer.json()["error"]["param"], name, "{}: {}", operation.path, answer.text);
            }
        }
    }
}

/// Numbers that look random and are the same each time.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

/// A value that a field may have, or may not.
fn any_value(schema: &Value, draws: &mut Draws) -> Value {
    let mut values = candidates(schema);
    values.extend([json!(null), json!(0), json!(1), json!(""), json!([]), json!({}), json!(false), json!(["a", 1])]);
    values.extend(["minimum", "maximum"].iter().filter_map(|bound| schema.get(bound)).cloned());
    values.extend(schema["enum"].as_array().into_iter().flatten().cloned());
    values.swap_remove(draws.below(values.len()))
}

#[tokio::test]
async fn no_body_made_of_the_description_breaks_the_server_or_is_answered_off_its_schema() {
    let servers = Servers::start().await;
    let operations = servers.operations();
    let mut draws = Draws(12);
    for round in 0..600 {
        let operation = &operations[round % operations.len()];
        let fields: Vec<_> = operation.fields().collect();
        let mut bodies = bases(operation);
        let mut body = bodies.swap_remove(draws.below(bodies.len()));
        // The answer stays short, so that the test does.
        for limit in ["max_tokens", "max_output_tokens"] {
            if operation.body()["properties"].get(limit).is_some() {
                body[limit] = json!(2);
            }
        }
        for _ in 0..=draws.below(3) {
            let (name, schema) = fields[draws.below(fields.len())];
            // Many long answers are right, and slow.
            if !["max_tokens", "max_completion_tokens", "n_predict", "max_output_tokens", "background"].contains(&name)
            {
                body[name] = any_value(schema, &mut draws);
            }
        }
        let answer = post(servers.at(&operation.path), &operation.path, &body).await;
        assert!(answer.status.as_u16() < 500, "{} {body}: {}", operation.path, answer.text);
        let checked = servers.check(&operation.described, &answer);
        checked.unwrap_or_else(|problem| panic!("{} {body}: {problem}", operation.path));
    }
}

#[tokio::test]
async fn a_field_that_stands_twice_and_a_body_that_is_no_object_are_answered_too() {
    let servers = Servers::start().await;
    for operation in servers.operations() {
        let base = bases(&operation).remove(0).to_string();
        for (name, _) in operation.fields().take(3) {
            // Of equals the last one counts, as usual in JSON.
            let twice = format!("{}, \"{name}\": {{}}, \"{name}\": [[7.5]]}}", base.trim_end_matches('}'));
            let answer = post_raw(servers.at(&operation.path), &operation.path, twice.clone()).await;
            assert_eq!(answer.status, 400, "{} {twice}: {}", operation.path, answer.text);
            servers.check(&operation.described, &answer).unwrap_or_else(|problem| panic!("{twice}: {problem}"));
        }
        for body in ["[]", "5", "\"a\"", "null", "", "{", "{\"a\""] {
            let answer = post_raw(servers.at(&operation.path), &operation.path, body.to_owned()).await;
            assert_eq!(answer.status, 400, "{} {body}: {}", operation.path, answer.text);
            servers.check(&operation.described, &answer).unwrap_or_else(|problem| panic!("{body}: {problem}"));
        }
    }
}
