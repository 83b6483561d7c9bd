//! A server on plain sockets that answers as a test tells it to, right or wrong.

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it arrived.
pub struct Arrived {
    /// Its number among those to the completion endpoints, probes included.
    pub number: usize,
    /// Request line and headers, in lower case.
    pub head: String,
    /// Its body; null if it has none.
    pub body: Value,
}

/// What the server does next on the connection.
pub enum Act {
    /// Writes bytes as they are.
    Write(Vec<u8>),
    /// Writes each byte by itself.
    Trickle(Vec<u8>),
    /// Waits.
    Wait(Duration),
    /// Waits until this holds.
    Until(Box<dyn Fn() -> bool + Send>),
    /// Does something at this point of the answer.
    Do(Box<dyn FnOnce() + Send>),
    /// Waits until the client has gone, and counts it.
    AwaitGone,
}

/// A running fake. Its thread ends with the test process.
pub struct Fake {
    pub url: String,
    /// Connections whose client went away while the fake waited for that, or wrote to it.
    pub gone: Arc<AtomicUsize>,
}

impl Fake {
    /// A server that asks `script` what to do with each request to a completion endpoint that streams. `GET /v1/models` and the
    /// probes that do not stream are answered properly.
    pub fn start(script: impl Fn(&Arrived) -> Vec<Act> + Send + Sync + 'static) -> Fake {
        Self::with_metrics(script, String::new(), json!({}))
    }

    /// As [`start`](Self::start), with something to tell at `/metrics` and `/v1/metrics`.
    pub fn with_metrics(
        script: impl Fn(&Arrived) -> Vec<Act> + Send + Sync + 'static,
        metrics: String,
        json_metrics: Value,
    ) -> Fake {
        let (tell, told) = std::sync::mpsc::channel();
        let gone = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&gone);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                tell.send(listener.local_addr().expect("an address")).expect("the test waits");
                let (script, metrics) = (Arc::new(script), Arc::new((metrics, json_metrics)));
                let number = Arc::new(AtomicUsize::new(0));
                loop {
                    let (socket, _) = listener.accept().await.expect("a connection");
                    let (script, metrics) = (Arc::clone(&script), Arc::clone(&metrics));
                    let (number, counter) = (Arc::clone(&number), Arc::clone(&counter));
                    tokio::spawn(async move { talk(socket, &*script, &metrics, &number, &counter).await });
                }
            });
        });
        let address = told.recv().expect("the fake starts");
        Fake { url: format!("http://{address}"), gone }
    }
}

async fn talk(
    mut socket: TcpStream,
    script: &(impl Fn(&Arrived) -> Vec<Act> + ?Sized),
    metrics: &(String, Value),
    number: &AtomicUsize,
    gone: &AtomicUsize,
) -> Option<()> {
    let (head, body) = read(&mut socket).await?;
    let acts = if head.starts_with("get /v1/models") {
        vec![Act::Write(whole(200, &json!({"data": [{"id": "fake"}]}).to_string()))]
    } else if head.starts_with("get /metrics") {
        vec![Act::Write(whole(200, &metrics.0))]
    } else if head.starts_with("get /v1/metrics") {
        vec![Act::Write(whole(200, &metrics.1.to_string()))]
    } else if body["stream"] != true {
        let prompt = body["messages"][0]["content"].as_str().or(body["prompt"].as_str()).unwrap_or("");
        // A template of ten tokens, and a token for each word.
        let tokens = 10 + prompt.split(' ').count();
        vec![Act::Write(whole(200, &json!({"usage": {"prompt_tokens": tokens}}).to_string()))]
    } else {
        script(&Arrived { number: number.fetch_add(1, Ordering::SeqCst), head, body })
    };
    for act in acts {
        match act {
            Act::Write(bytes) => {
                if socket.write_all(&bytes).await.is_err() {
                    gone.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
            }
            Act::Trickle(bytes) => {
                for byte in bytes {
                    socket.write_all(&[byte]).await.ok()?;
                    tokio::task::yield_now().await;
                }
            }
            Act::Wait(time) => tokio::time::sleep(time).await,
            Act::Until(holds) => {
                while !holds() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            Act::Do(something) => something(),
            Act::AwaitGone => {
                while socket.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
                gone.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    let _ = socket.shutdown().await;
    Some(())
}

async fn read(socket: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_string();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Some((head, serde_json::from_str(body).unwrap_or(Value::Null)));
            }
        }
        let mut part = [0; 4096];
        match socket.read(&mut part).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&part[..count]),
            _ => return None,
        }
    }
}

/// A whole answer with its length.
pub fn whole(status: u16, body: &str) -> Vec<u8> {
    refusal(status, body, "")
}

/// A whole answer with further headers, each ended by CR LF.
pub fn refusal(status: u16, body: &str, headers: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The head of a stream.
pub fn head() -> Act {
    Act::Write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec(),
    )
}

/// One event in one chunk.
pub fn event(data: &str) -> Vec<u8> {
    chunk(&format!("data: {data}\n\n"))
}

/// Any text in one chunk.
pub fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// One event with a piece of text.
pub fn text(piece: &str) -> Act {
    Act::Write(event(
        &json!({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": null}]}).to_string(),
    ))
}

/// The event that ends the one answer.
pub fn finish() -> Act {
    Act::Write(event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#))
}

/// Usage, the end mark, and the end of the chunks.
pub fn end(prompt_tokens: usize, output_tokens: usize) -> Act {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": output_tokens}});
    Act::Write([event(&usage.to_string()), event("[DONE]"), b"0\r\n\r\n".to_vec()].concat())
}

/// A proper answer: `tokens` pieces, `gap` apart.
pub fn answer(tokens: usize, gap: Duration) -> Vec<Act> {
    let mut acts = vec![head()];
    for _ in 0..tokens {
        acts.extend([Act::Wait(gap), text("word ")]);
    }
    acts.extend([finish(), end(20, tokens)]);
    acts
}

/// 503 as Parkade says it.
pub fn overloaded(retry_after: Option<u32>) -> Vec<Act> {
    let headers = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    let body = r#"{"error":{"message":"full","type":"service_unavailable_error","code":"server_is_overloaded"}}"#;
    vec![Act::Write(refusal(503, body, &headers))]
}
