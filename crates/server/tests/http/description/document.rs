//! The document and the page.

use axum::body::Body;
use axum::http::Request;
use parkade_server::{ServerConfig, router};
use serde_json::Value;

use super::servers::Servers;
use crate::keys::policy;
use crate::support::{api, get, send, state_with};

/// Each object in a document, with its place.
fn walk<'a>(value: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    found.push((path.to_owned(), value));
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| walk(member, &format!("{path}/{name}"), found))
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| walk(item, &format!("{path}/{i}"), found)),
        _ => {}
    }
}

#[tokio::test]
async fn both_are_open_without_a_key_and_come_whole() {
    let (state, _) = state_with(ServerConfig::default());
    state.set_policy(policy(&[("ada", "")])).expect("valid weights");
    let api = router(state);
    assert_eq!(get(&api, "/v1/models").await.status, 401);
    let document = get(&api, "/openapi.json").await;
    assert_eq!((document.status.as_u16(), document.header("content-type")), (200, Some("application/json")));
    assert_eq!(document.json()["openapi"], "3.1.0");
    assert_eq!(document.text, get(&api, "/openapi.json").await.text);
    let page = get(&api, "/docs").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    // Nothing comes from elsewhere, and nothing could.
    assert!(!page.text.contains("http://") && !page.text.contains("https://"));
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'")));
}

#[tokio::test]
async fn each_reference_leads_somewhere_and_each_field_of_a_body_is_described() {
    let servers = Servers::start().await;
    let mut all = Vec::new();
    walk(&servers.document, "", &mut all);
    for (place, value) in &all {
        if let Some(name) = value.get("$ref").and_then(Value::as_str) {
            assert!(servers.document.pointer(name.trim_start_matches('#')).is_some(), "{place}: {name}");
        }
    }
    let operations = servers.operations();
    assert!(operations.len() > 12, "{}", operations.len());
    for operation in operations {
        for (name, schema) in operation.fields() {
            let keys = schema.as_object().expect("a schema");
            let is_told =
                keys.get("description").is_some() || keys.get("type").is_some() || keys.get("anyOf").is_some();
            assert!(is_told, "{}: nothing is said of {name}", operation.path);
        }
        let read: Vec<&str> = operation.fields().map(|(name, _)| name).collect();
        for list in ["x-parkade-refused", "x-parkade-ignored"] {
            let names = operation.body()[list].as_array().cloned().unwrap_or_default();
            let both: Vec<_> =
                names.iter().filter(|name| name.as_str().is_some_and(|name| read.contains(&name))).collect();
            assert!(both.is_empty(), "{}: {both:?} are read, and in {list}", operation.path);
        }
    }
}

#[tokio::test]
async fn each_path_of_the_document_is_one_of_the_router_with_its_other_names() {
    let (document, api) = (get(&api(), "/openapi.json").await.json(), api());
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, described) in methods.as_object().expect("methods") {
            let aliases = described["x-parkade-aliases"].as_array().cloned().unwrap_or_default();
            for path in aliases.iter().filter_map(Value::as_str).chain([path.as_str()]) {
                let path = path.replace(['{', '}'], "");
                let request = Request::builder().method(method.to_uppercase().as_str()).uri(&path);
                let answer = send(&api, request.body(Body::empty()).expect("a request")).await;
                assert_ne!(answer.status, 405, "{method} {path}");
                assert!(!answer.text.contains("unknown_url"), "{method} {path}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn who_asks_for_what_is_not_there_is_told_of_all_that_is() {
    let api = api();
    let document = get(&api, "/openapi.json").await.json();
    let missing = get(&api, "/v2/nothing").await;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let endpoint = format!("{} {path}", method.to_uppercase());
            assert!(missing.text.contains(&endpoint), "{endpoint}: {}", missing.text);
        }
    }
}
