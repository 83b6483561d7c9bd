//! Webhooks: what is sent, signed how, where to, and how often.

use std::path::Path;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use parkade_server::{Policy, ServerConfig, Webhook};
use parkade_store::{Deed, NewBatch, NewFile, Place, Purpose, Store, StoreConfig};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::keys::policy;
use crate::support::{COMPLETIONS, PATIENCE, Running, parts, read_to_end, start_at, state_with, wire_get};
use crate::tls::{start_tls, trusting};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Something that is told: it answers with these heads, one after the other, and with 200 from then on.
struct Receiver {
    url: String,
    told: mpsc::UnboundedReceiver<String>,
}

impl Receiver {
    async fn new(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hooks?of=parkade", listener.local_addr().expect("an address"));
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut answers = answers.iter();
            loop {
                let (mut socket, _) = listener.accept().await.expect("a connection");
                let mut text = String::new();
                let mut piece = [0; 4096];
                while !is_whole(&text) {
                    let count = socket.read(&mut piece).await.expect("readable");
                    assert!(count > 0, "cut off: {text}");
                    text.push_str(std::str::from_utf8(&piece[..count]).expect("text"));
                }
                let head = answers.next().unwrap_or(&"200 OK\r\n");
                // More than anybody wants to read.
                let answer = format!("HTTP/1.1 {head}content-length: 100000000\r\n\r\nthanks");
                socket.write_all(answer.as_bytes()).await.expect("writable");
                tell.send(text).expect("somebody looks");
            }
        });
        Self { url, told }
    }

    async fn next(&mut self) -> String {
        tokio::time::timeout(PATIENCE, self.told.recv()).await.expect("it is told in time").expect("it listens")
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let value = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name}: {message}"))
}

fn signature(message: &str, secret: &str) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    let (_, body) = message.split_once("\r\n\r\n").expect("a body");
    let signed = format!("{}.{}.{body}", header(message, "webhook-id"), header(message, "webhook-timestamp"));
    mac.update(signed.as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// A store with a batch of an owner's; what it is called.
async fn with_batch(folder: &TempDir, owner: &str, lines: &str) -> (StoreConfig, String) {
    let config = StoreConfig::at(Place::Sqlite(folder.path().join("parkade.db")));
    let store = Store::new(config.clone());
    let new = NewFile { owner: owner.into(), name: "in".into(), purpose: Purpose::Batch, expires_after: None };
    let mut file = store.write_file(new, None).await.expect("a file");
    file.write(lines.as_bytes()).await.expect("written");
    let batch = NewBatch {
        owner: owner.to_owned(),
        endpoint: COMPLETIONS.to_owned(),
        input_file: file.finish(&Deed::default()).await.expect("finished").id,
        seconds: 3600,
        completion_window: "24h".to_owned(),
        metadata: "{}".to_owned(),
        output_expires_after: None,
    };
    let batch = store.create_batch(&batch, &Deed::default()).await.expect("a batch");
    store.close().await;
    (config, batch.id)
}

fn line() -> String {
    let body = json!({"prompt": "hello", "max_tokens": 2});
    json!({"custom_id": "a", "method": "POST", "url": COMPLETIONS, "body": body}).to_string()
}

async fn serve(store: StoreConfig, policy: Policy) -> Running {
    let (state, engine) = state_with(ServerConfig { store: Some(store), ..ServerConfig::default() });
    state.set_policy(policy).expect("valid");
    start_at("127.0.0.1", state, engine).await
}

/// Waits until the metrics have a line.
async fn counted(server: &Running, line: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = server.exchange(&wire_get("/metrics", "")).await;
        if parts(&answer).2.lines().any(|other| other == line) {
            return;
        }
        assert!(Instant::now() < until, "no {line}: {answer}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_batch_is_told_signed_with_both_secrets() {
    let folder = TempDir::new().expect("a folder");
    let (store, batch) = with_batch(&folder, "", &line()).await;
    let mut receiver = Receiver::new(&[]).await;
    let webhook = Some(Webhook::new(&receiver.url, &[SECRET, OLD_SECRET]).expect("valid"));
    let server = serve(store, Policy { webhook, allow_private_webhooks: true, ..Policy::default() }).await;
    let message = receiver.next().await;
    assert!(message.starts_with("POST /hooks?of=parkade HTTP/1.1\r\n"), "{message}");
    assert_eq!(header(&message, "content-type"), "application/json");
    let signatures = [signature(&message, SECRET), signature(&message, OLD_SECRET)].join(" ");
    assert_eq!(header(&message, "webhook-signature"), signatures);
    let (_, body) = message.split_once("\r\n\r\n").expect("a body");
    let event: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((&event["type"], &event["data"]["id"]), (&json!("batch.completed"), &json!(batch)), "{event}");
    assert_eq!((&event["object"], &event["id"]), (&json!("event"), &json!(header(&message, "webhook-id"))));
    assert!(event["created_at"].is_u64());
    counted(&server, "parkade_webhook_attempts_total{outcome=\"delivered\"} 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_a_failure_and_the_same_event_is_sent_again() {
    let folder = TempDir::new().expect("a folder");
    let (store, _) = with_batch(&folder, "ada", "").await;
    let mut receiver = Receiver::new(&["307 Temporary Redirect\r\nlocation: /elsewhere\r\n"]).await;
    let webhook = format!("webhook_url = \"{}\"\nwebhook_secret = [\"{SECRET}\"]", receiver.url);
    let policy = Policy { allow_private_webhooks: true, ..policy(&[("ada", &webhook), ("bob", "")]) };
    let server = serve(store, policy).await;
    let first = receiver.next().await;
    counted(&server, "parkade_webhook_attempts_total{outcome=\"failed\"} 1").await;
    let second = receiver.next().await;
    for message in [&first, &second] {
        assert!(message.starts_with("POST /hooks?of=parkade "), "{message}");
        assert_eq!(header(message, "webhook-signature"), signature(message, SECRET));
        assert!(message.contains("\"batch.failed\""), "{message}");
    }
    assert_eq!(header(&first, "webhook-id"), header(&second, "webhook-id"));
    let sent = |message| header(message, "webhook-timestamp").parse::<u64>().expect("seconds");
    assert!(sent(&second) >= sent(&first) + 4, "the time is that of the attempt");
    counted(&server, "parkade_webhook_attempts_total{outcome=\"delivered\"} 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_gone_is_told_nothing_more() {
    let folder = TempDir::new().expect("a folder");
    let (store, _) = with_batch(&folder, "", "").await;
    let mut receiver = Receiver::new(&["410 Gone\r\n"]).await;
    let webhook = Some(Webhook::new(&receiver.url, &[SECRET]).expect("valid"));
    let server = serve(store, Policy { webhook, allow_private_webhooks: true, ..Policy::default() }).await;
    receiver.next().await;
    counted(&server, "parkade_webhook_attempts_total{outcome=\"given_up\"} 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_network_is_not_spoken_to() {
    let folder = TempDir::new().expect("a folder");
    let (store, _) = with_batch(&folder, "", "").await;
    let mut receiver = Receiver::new(&[]).await;
    let url = receiver.url.replace("127.0.0.1", "localhost");
    let webhook = Some(Webhook::new(&url, &[SECRET]).expect("valid"));
    let server = serve(store, Policy { webhook, ..Policy::default() }).await;
    counted(&server, "parkade_webhook_attempts_total{outcome=\"failed\"} 1").await;
    assert!(receiver.told.try_recv().is_err(), "nobody has spoken to it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_to_who_has_no_certificate_that_is_trusted() {
    let folder = TempDir::new().expect("a folder");
    let (store, _) = with_batch(&folder, "", "").await;
    let (stranger, files, _tls) = start_tls(ServerConfig::default()).await;
    let url = format!("https://localhost:{}/hooks", stranger.address.port());
    let webhook = Some(Webhook::new(&url, &[SECRET]).expect("valid"));
    let server = serve(store, Policy { webhook, allow_private_webhooks: true, ..Policy::default() }).await;
    counted(&server, "parkade_webhook_attempts_total{outcome=\"failed\"} 1").await;
    let mut socket = trusting(&stranger, &files).await;
    socket.write_all(&wire_get("/metrics", "")).await.expect("writable");
    let page = read_to_end(&mut socket).await;
    assert!(page.starts_with("HTTP/1.1 200") && !page.contains("{method=\"POST\""), "{page}");
}

#[test]
fn a_webhook_in_the_local_network_is_refused_at_the_start() {
    let own = Webhook::new("http://127.0.0.1:9/x", &[SECRET]).expect("valid");
    let mut of_server = Policy { webhook: Some(own), ..Policy::default() };
    let message = of_server.check_webhooks().expect_err("local").to_string();
    assert!(message.starts_with("webhook-url: '127.0.0.1' is in the local network"), "{message}");
    of_server.allow_private_webhooks = true;
    assert!(of_server.check_webhooks().is_ok());
    let of_key = policy(&[("ada", &format!("webhook_url = \"https://[fd00::1]/\"\nwebhook_secret = \"{SECRET}\""))]);
    let message = of_key.check_webhooks().expect_err("local").to_string();
    assert!(message.starts_with("key 'ada' of the keys file: webhook_url: 'fd00::1' is in"), "{message}");
}

#[test]
fn a_webhook_of_a_key_is_whole_or_refused() {
    let refused = |more: &str| {
        let file = format!(
            "[[key]]\nname = \"ada\"\nkey_sha256 = \"{}\"\nhighest_class = \"high\"\n{more}",
            parkade_server::hash_key("sk")
        );
        parkade_server::ApiKeys::parse(&file, Path::new("keys.toml")).expect_err(more).to_string()
    };
    assert!(refused("webhook_url = \"https://h.example\"").contains("webhook_secret is missing"));
    assert!(refused(&format!("webhook_secret = \"{SECRET}\"")).contains("webhook_url is missing"));
    let bad = refused("webhook_url = \"https://h.example\"\nwebhook_secret = \"hunter2\"");
    assert!(bad.contains("key 1 ('ada'): webhook_secret: ") && !bad.contains("hunter2"), "{bad}");
    let bad = refused(&format!("webhook_url = \"h.example\"\nwebhook_secret = \"{SECRET}\""));
    assert!(bad.contains("webhook_url: ") && !bad.contains("MfKQ"), "{bad}");
    assert!(refused("webhook_secret = 7").contains("a string, or a list of two"));
}
