//! The book of deeds: what stands in it, who sees it, and who may tear pages out.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use parkade_server::{ServerConfig, router};
use parkade_store::{Place, StoreConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::keys::policy;
use crate::support::{Answer, send, state_with};

fn config(folder: &TempDir) -> ServerConfig {
    let store = StoreConfig::at(Place::Sqlite(folder.path().join("parkade.db")));
    ServerConfig { store: Some(store), ..ServerConfig::default() }
}

/// The keys `sk-ada`, `sk-bob` and the operator's `sk-ops`.
fn guarded(folder: &TempDir) -> Router {
    let (state, _) = state_with(config(folder));
    state.set_policy(policy(&[("ada", ""), ("bob", ""), ("ops", "operator = true")])).expect("valid");
    router(state)
}

async fn ask(api: &Router, key: &str, method: &str, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer sk-{key}"));
    send(api, request.body(Body::empty()).expect("a request")).await
}

async fn upload(api: &Router, key: &str) -> String {
    let part = |name: &str, value: &str| format!("--b\r\ncontent-disposition: form-data; {name}\r\n\r\n{value}\r\n");
    let form = part("name=\"purpose\"", "batch") + &part("name=\"file\"; filename=\"a\"", "{}") + "--b--\r\n";
    let request = Request::post("/v1/files")
        .header("authorization", format!("Bearer sk-{key}"))
        .header("content-type", "multipart/form-data; boundary=b");
    let answer = send(api, request.body(Body::from(form)).expect("a request")).await;
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

async fn batch(api: &Router, key: &str, file: &str) -> String {
    let body = json!({"input_file_id": file, "endpoint": "/v1/completions", "completion_window": "24h"});
    let request = Request::post("/v1/batches")
        .header("authorization", format!("Bearer sk-{key}"))
        .header("content-type", "application/json");
    let answer = send(api, request.body(Body::from(body.to_string())).expect("a request")).await;
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

/// What a page says of each deed.
fn deeds(answer: &Answer) -> Vec<[String; 4]> {
    let page = answer.json();
    assert_eq!(page["object"], "list", "{page}");
    let data = page["data"].as_array().expect("a list");
    let text = |deed: &Value, name: &str| deed[name].as_str().unwrap_or_else(|| panic!("{deed}")).to_owned();
    data.iter().map(|deed| ["tenant", "actor", "action", "object_id"].map(|name| text(deed, name))).collect()
}

fn deed(tenant: &str, action: &str, object: &str) -> [String; 4] {
    [tenant, tenant, action, object].map(str::to_owned)
}

#[tokio::test]
async fn deeds_are_noted_and_each_key_sees_its_own_and_an_operator_all() {
    let folder = TempDir::new().expect("a folder");
    let api = guarded(&folder);
    let first = upload(&api, "ada").await;
    let batch = batch(&api, "ada", &first).await;
    assert_eq!(ask(&api, "ada", "POST", &format!("/v1/batches/{batch}/cancel")).await.status, 200);
    let second = upload(&api, "bob").await;
    assert_eq!(ask(&api, "ada", "DELETE", &format!("/v1/files/{second}")).await.status, 404, "it is bob's");
    assert_eq!(ask(&api, "bob", "DELETE", &format!("/v1/files/{second}")).await.status, 200);

    let of_ada = [
        deed("ada", "batch.cancelling", &batch),
        deed("ada", "batch.created", &batch),
        deed("ada", "file.uploaded", &first),
    ];
    let of_bob = [deed("bob", "file.deleted", &second), deed("bob", "file.uploaded", &second)];
    assert_eq!(deeds(&ask(&api, "ada", "GET", "/v1/audit").await), of_ada);
    assert_eq!(deeds(&ask(&api, "bob", "GET", "/v1/audit?tenant=bob").await), of_bob);
    assert_eq!(deeds(&ask(&api, "ops", "GET", "/v1/audit").await), [of_bob.as_slice(), &of_ada].concat());
    assert_eq!(deeds(&ask(&api, "ops", "GET", "/v1/audit?tenant=ada").await), of_ada);
    let of_batch = ask(&api, "ops", "GET", &format!("/v1/audit?object={batch}")).await;
    assert_eq!(deeds(&of_batch), of_ada[..2]);
    assert!(deeds(&ask(&api, "bob", "GET", &format!("/v1/audit?object={batch}")).await).is_empty());
    let foreign = ask(&api, "bob", "GET", "/v1/audit?tenant=ada").await;
    assert_eq!(foreign.error(), (403, Some("tenant".to_owned()), Some("operator_required".to_owned())));
}

#[tokio::test]
async fn deeds_are_read_page_by_page() {
    let folder = TempDir::new().expect("a folder");
    let api = guarded(&folder);
    let mut files = Vec::new();
    for _ in 0..5 {
        files.push(upload(&api, "ada").await);
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/audit?limit=2".to_owned());
    loop {
        let page = ask(&api, "ada", "GET", &path).await;
        seen.extend(deeds(&page).into_iter().map(|[.., object]| object));
        let page = page.json();
        assert!(page["data"].as_array().is_some_and(|data| data.len() <= 2), "{page}");
        if page["has_more"] == false {
            break;
        }
        path = format!("/v1/audit?limit=2&before={}", page["last_id"]);
    }
    files.reverse();
    assert_eq!(seen, files);
    for (query, param) in [("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("before=-1", "before")]
    {
        let refused = ask(&api, "ada", "GET", &format!("/v1/audit?{query}")).await;
        assert_eq!(refused.error(), (400, Some(param.to_owned()), Some("invalid_value".to_owned())), "{query}");
    }
}

#[tokio::test]
async fn an_operator_forgets_deeds_and_that_is_noted() {
    let folder = TempDir::new().expect("a folder");
    let api = guarded(&folder);
    upload(&api, "ada").await;
    let refused = ask(&api, "ada", "DELETE", "/v1/audit?before=2100-01-01").await;
    assert_eq!(refused.error(), (403, None, Some("operator_required".to_owned())));
    for (query, code) in [("", "missing_required_parameter"), ("?before=soon", "invalid_value")] {
        let refused = ask(&api, "ops", "DELETE", &format!("/v1/audit{query}")).await;
        assert_eq!(refused.error(), (400, Some("before".to_owned()), Some(code.to_owned())), "{query}");
    }
    let none = ask(&api, "ops", "DELETE", "/v1/audit?before=2001-01-01T00:00:00Z").await.json();
    assert_eq!(none, json!({"object": "audit.pruned", "before": 978_307_200, "deleted": 0}));
    let all = ask(&api, "ops", "DELETE", "/v1/audit?before=4102444800").await.json();
    assert_eq!(all, json!({"object": "audit.pruned", "before": 4_102_444_800_u64, "deleted": 2}));
    let left = ask(&api, "ops", "GET", "/v1/audit").await;
    assert_eq!(deeds(&left), [deed("ops", "audit.pruned", "")]);
    assert_eq!(left.json()["data"][0]["detail"], json!({"before": 4_102_444_800_u64, "deleted": 2}));
}

#[tokio::test]
async fn to_look_makes_no_store_and_without_one_there_is_no_book() {
    let folder = TempDir::new().expect("a folder");
    let api = router(state_with(config(&folder)).0);
    let empty = ask(&api, "nobody", "GET", "/v1/audit").await;
    assert!(deeds(&empty).is_empty());
    assert_eq!((&empty.json()["first_id"], &empty.json()["has_more"]), (&Value::Null, &json!(false)));
    assert_eq!(ask(&api, "nobody", "DELETE", "/v1/audit?before=1").await.json()["deleted"], 0);
    assert_eq!(folder.path().read_dir().expect("a folder").count(), 0);
    let without = router(state_with(ServerConfig::default()).0);
    assert_eq!(ask(&without, "nobody", "GET", "/v1/audit").await.error().0, 501);
}
