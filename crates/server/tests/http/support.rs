//! A server with a tiny model, and clients for it: in process, and on raw sockets.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use parkade_core::{Engine, EngineConfig, LoadOptions};
use parkade_model::chat_template::ChatTemplate;
use parkade_server::{AppState, Listener, ModelEntry, ServerConfig, router, serve};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt;

pub const CHAT: &str = "/v1/chat/completions";
pub const COMPLETIONS: &str = "/v1/completions";

/// How long anything in these tests may take before it counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// ChatML with what tools and keyword arguments leave in the prompt, so that tests can see them arrive.
const CHATML: &str = "{%- for tool in tools or [] %}{{ tool.function.name }}\n{% endfor -%}\
    {%- if raise %}{{ raise_exception('as asked') }}{% endif -%}\
    {%- if fail %}{{ fail.no.such }}{% endif -%}\
    {%- if spin %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}{% endif -%}\
    {%- for message in messages %}{{ message.role }}\n{{ message.content }}\n\
        {%- for call in message.tool_calls or [] %}{{ call.function.name }}{{ call.function.arguments }}\n{% endfor -%}\
    {% endfor -%}\
    {%- if add_generation_prompt %}assistant\n{% endif -%}";

/// The template of the tests.
pub fn chatml() -> Arc<ChatTemplate> {
    Arc::new(ChatTemplate::new(CHATML, "", "").expect("the template"))
}

/// The oracle's random Llama: 512 tokens of context, a vocabulary of letters and their pairs.
pub fn model_with(engine: EngineConfig) -> ModelEntry {
    model_of(CHATML, 48 << 20, engine)
}

/// The same with another template, and with so many bytes for keys and values.
fn model_of(template: &str, kv_cache_bytes: u64, engine: EngineConfig) -> ModelEntry {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/tiny/llama-F32.gguf");
    let options =
        LoadOptions { threads: Some(1), kv_cache_bytes: Some(kv_cache_bytes), engine, ..LoadOptions::default() };
    let loaded = parkade_core::load(Path::new(path), &options).expect("the tiny model");
    let template = ChatTemplate::new(template, "", "").expect("the template");
    ModelEntry::new("tiny", loaded.engine, loaded.tokenizer, Some(Arc::new(template)), loaded.config)
        .with_aliases(["org/tiny-llama".to_owned()])
}

pub fn state_with(config: ServerConfig) -> (AppState, Engine) {
    state_over(config, EngineConfig::default())
}

pub fn state_over(config: ServerConfig, engine: EngineConfig) -> (AppState, Engine) {
    state_of(config, model_with(engine))
}

/// A server with so many bytes for keys and values.
pub fn state_with_memory(kv_cache_bytes: u64) -> (AppState, Engine) {
    state_of(ServerConfig::default(), model_of(CHATML, kv_cache_bytes, EngineConfig::default()))
}

fn state_of(config: ServerConfig, model: ModelEntry) -> (AppState, Engine) {
    let engine = model.engine.clone();
    let state = AppState::new(config).expect("valid limits");
    state.set_model(model);
    (state, engine)
}

pub fn api() -> Router {
    router(state_with(ServerConfig::default()).0)
}

/// A server whose engine has these limits.
pub fn api_over(engine: EngineConfig) -> Router {
    router(state_over(ServerConfig::default(), engine).0)
}

/// A server whose model has this chat template.
pub fn api_with_template(template: &str) -> Router {
    router(state_of(ServerConfig::default(), model_of(template, 48 << 20, EngineConfig::default())).0)
}

/// A response that was read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The members of the error envelope, after checking that it has all of them.
    pub fn error(&self) -> (u16, Option<String>, Option<String>) {
        let body = self.json();
        let error = body["error"].as_object().unwrap_or_else(|| panic!("no envelope: {}", self.text));
        let mut members: Vec<_> = error.keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["code", "message", "param", "type"], "{}", self.text);
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{}", self.text);
        assert!(error["type"].as_str().is_some_and(|t| t.ends_with("_error")), "{}", self.text);
        assert!(self.header("x-request-id").is_some(), "no request id");
        let text = |member: &str| error[member].as_str().map(str::to_owned);
        (self.status.as_u16(), text("param"), text("code"))
    }

    /// The JSON events of a stream, and whether it ended with `[DONE]`.
    pub fn events(&self) -> (Vec<Value>, bool) {
        let mut data: Vec<&str> = self.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let done = data.last() == Some(&"[DONE]");
        if done {
            data.pop();
        }
        (data.iter().map(|json| serde_json::from_str(json).expect("JSON")).collect(), done)
    }
}

pub async fn send(api: &Router, request: Request<Body>) -> Answer {
    let answering = async {
        let response = api.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 64 << 20).await.expect("a body");
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).expect("UTF-8") }
    };
    tokio::time::timeout(PATIENCE, answering).await.expect("an answer in time")
}

pub async fn get(api: &Router, path: &str) -> Answer {
    send(api, Request::get(path).body(Body::empty()).expect("a request")).await
}

pub async fn post_raw(api: &Router, path: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(path).header("content-type", "application/json").body(body.into());
    send(api, request.expect("a request")).await
}

pub async fn post(api: &Router, path: &str, body: &Value) -> Answer {
    post_raw(api, path, body.to_string()).await
}

/// Sends a file of a batch in a form.
pub async fn upload(api: &Router, name: &str, content: &[u8]) -> Answer {
    let mut form = Vec::new();
    form.extend_from_slice(b"--edge\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--edge\r\n");
    let head = format!("content-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
    form.extend_from_slice(head.as_bytes());
    form.extend_from_slice(content);
    form.extend_from_slice(b"\r\n--edge--\r\n");
    let request = Request::post("/v1/files").header("content-type", "multipart/form-data; boundary=edge");
    send(api, request.body(Body::from(form)).expect("a request")).await
}

/// A server on a socket.
pub struct Running {
    pub address: std::net::SocketAddr,
    pub engine: Engine,
    pub state: AppState,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

pub async fn start(config: ServerConfig) -> Running {
    start_over(config, EngineConfig::default()).await
}

pub async fn start_over(config: ServerConfig, engine: EngineConfig) -> Running {
    let (state, engine) = state_over(config, engine);
    start_at("127.0.0.1", state, engine).await
}

/// A server on a port of any address.
pub async fn start_at(address: &str, state: AppState, engine: Engine) -> Running {
    let listener = TcpListener::bind((address, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    start_on(listener.into(), address, state, engine)
}

/// A server at a listener.
pub fn start_on(listener: Listener, address: std::net::SocketAddr, state: AppState, engine: Engine) -> Running {
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _dropped = stopped.await;
    };
    let task = tokio::spawn(serve([listener], state.clone(), shutdown));
    Running { address, engine, state, stop: Some(stop), task }
}

impl Running {
    pub fn shut_down(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).expect("a server that runs");
        }
    }

    /// Waits for `serve` to return.
    pub async fn ended(self) {
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("an end in time");
        ended.expect("no panic").expect("no error");
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Sends bytes and reads until the server closes.
    pub async fn exchange(&self, bytes: &[u8]) -> String {
        let mut socket = self.connect().await;
        socket.write_all(bytes).await.expect("writable");
        read_to_end(&mut socket).await
    }

    /// Waits until nothing runs and nothing holds memory.
    pub async fn idle(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.engine.snapshot();
            if now.requests.running + now.requests.waiting + now.kv_blocks.used == 0 {
                return;
            }
            assert!(Instant::now() < until, "still busy: {now:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub async fn read_to_end(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut bytes)).await;
    // A reset after the answer is an end like any other.
    let _reset = read.expect("an end in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until `mark` has come.
pub async fn read_until(socket: &mut (impl AsyncRead + Unpin), mark: &str) -> String {
    let reading = async {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let count = socket.read(&mut piece).await.expect("readable");
            bytes.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&bytes);
            if text.contains(mark) {
                return text.into_owned();
            }
            assert!(count > 0, "closed before {mark:?}: {text}");
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer in time")
}

/// A POST as it is written to a socket; `extra` are header lines.
pub fn wire_post(path: &str, extra: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{extra}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A GET as it is written to a socket.
pub fn wire_get(path: &str, extra: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{extra}\r\n").into_bytes()
}

/// Status, head and body of what came over a socket.
pub fn parts(answer: &str) -> (u16, &str, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {answer}")), head, body)
}

/// A header of what came over a socket.
pub fn header_of<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (_, head, _) = parts(answer);
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
