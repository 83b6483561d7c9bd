//! What has to be asked of a server before it is measured, and of its metrics afterwards.

use crate::BenchError;
use crate::load::client::ask;
use crate::load::{Api, Sizing, Target};
use crate::prometheus;
use serde_json::{Value, json};
use std::str::FromStr;

/// An address with an optional name: `http://127.0.0.1:1234` or `llama=http://127.0.0.1:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerUrl {
    /// What tables call the server.
    pub name: Option<String>,
    /// Where it is.
    pub url: String,
}

impl FromStr for PeerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, url) = match text.split_once("=http") {
            Some((name, rest)) if !name.is_empty() && !name.contains('/') => {
                (Some(name.to_string()), format!("http{rest}"))
            }
            _ => (None, text.to_string()),
        };
        if url.starts_with("http://") {
            Ok(PeerUrl { name, url })
        } else {
            Err(format!("'{text}' is no address: write http://127.0.0.1:1234 or NAME=http://127.0.0.1:1234"))
        }
    }
}

fn unusable(target: &Target, reason: impl Into<String>) -> BenchError {
    BenchError::Server { url: target.url.clone(), reason: reason.into() }
}

/// The model to ask for: `wanted`, or the first that the server lists.
pub(crate) async fn model_name(target: &Target, wanted: Option<&str>) -> Result<String, BenchError> {
    let (status, body) = ask(target, "/v1/models", None).await.map_err(|reason| unusable(target, reason))?;
    if let Some(name) = wanted {
        return Ok(name.to_string());
    }
    let list: Value = serde_json::from_slice(&body).unwrap_or_default();
    match list["data"][0]["id"].as_str() {
        Some(name) => Ok(name.to_string()),
        None => Err(unusable(target, format!("GET /v1/models answered {status} and names no model; give --model"))),
    }
}

/// Learns from two probes how many tokens a word makes and what the chat template adds.
pub(crate) async fn sizing(target: &Target, seed: u64) -> Result<Sizing, BenchError> {
    const WORDS: [usize; 2] = [24, 120];
    let mut tokens = [None; 2];
    for (probe, words) in WORDS.into_iter().enumerate() {
        // Streams of random numbers next to the end, which no request reaches.
        let text = crate::load::words(seed, u64::MAX - 1 - probe as u64, words);
        let mut body = json!({"model": target.model, "max_tokens": 1});
        match target.api {
            Api::Chat => body["messages"] = json!([{"role": "user", "content": text}]),
            Api::Completions => body["prompt"] = json!(text),
        }
        let asked = ask(target, target.api.path(), Some(&body)).await;
        let (status, answer) = asked.map_err(|reason| unusable(target, reason))?;
        if !status.is_success() {
            let answer = String::from_utf8_lossy(&answer);
            return Err(unusable(
                target,
                format!("a probe got {status}: {}", answer.chars().take(300).collect::<String>()),
            ));
        }
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        tokens[probe] = answer["usage"]["prompt_tokens"].as_u64().and_then(|n| usize::try_from(n).ok());
    }
    let through = |(first, second)| Sizing::through((WORDS[0], first), (WORDS[1], second));
    Ok(tokens[0].zip(tokens[1]).and_then(through).unwrap_or_default())
}

/// A server's own counts of what it holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Holdings {
    /// Requests that run, wait or are parked.
    pub running: Option<f64>,
    pub waiting: Option<f64>,
    pub parked: Option<f64>,
    /// KV blocks that requests hold.
    pub blocks_used: Option<f64>,
}

impl Holdings {
    /// Nothing is held, and the server says so.
    pub fn none_left(&self) -> bool {
        [self.running, self.waiting, self.blocks_used].iter().all(|count| *count == Some(0.0))
            && self.parked.is_none_or(|parked| parked == 0.0)
    }

    /// From Prometheus text. A metric with labels (by class, by model) is the sum over them.
    fn parse(text: &str) -> Holdings {
        let sum = |name: &str| prometheus::sum(text, name, "");
        Holdings {
            running: sum("parkade_num_requests_running"),
            waiting: sum("parkade_num_requests_waiting"),
            parked: sum("parkade_num_requests_parked"),
            blocks_used: sum("parkade_kv_blocks_used"),
        }
    }
}

/// What the server's `GET /metrics` says that it holds.
pub(crate) async fn holdings(target: &Target) -> Result<Holdings, BenchError> {
    let (_, body) = ask(target, "/metrics", None).await.map_err(|reason| unusable(target, reason))?;
    Ok(Holdings::parse(&String::from_utf8_lossy(&body)))
}

/// The server's `GET /v1/metrics`.
pub(crate) async fn json_metrics(target: &Target) -> Result<Value, BenchError> {
    let (_, body) = ask(target, "/v1/metrics", None).await.map_err(|reason| unusable(target, reason))?;
    serde_json::from_slice(&body).map_err(|error| unusable(target, format!("GET /v1/metrics is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{Holdings, PeerUrl};

    #[test]
    fn peers_have_names_or_not() {
        let peer = |text: &str| text.parse::<PeerUrl>().map(|peer| (peer.name, peer.url));
        assert_eq!(peer("http://a:1"), Ok((None, "http://a:1".to_string())));
        assert_eq!(peer("llama=http://a:1"), Ok((Some("llama".to_string()), "http://a:1".to_string())));
        assert_eq!(peer("http://a:1/x=http"), Ok((None, "http://a:1/x=http".to_string())));
        assert!(peer("a:1").is_err() && peer("=http://a").is_err() && peer("x=https://a").is_err());
    }

    #[test]
    fn holdings_are_sums_over_labels() {
        let text = "# TYPE parkade_num_requests_running gauge\nparkade_num_requests_running 0\n\
                    parkade_num_requests_waiting{class=\"high\"} 0\nparkade_num_requests_waiting{class=\"low\"} 2\n\
                    parkade_kv_blocks_used 0\nparkade_kv_blocks_used_max 7\n";
        let held = Holdings::parse(text);
        assert_eq!(
            (held.running, held.waiting, held.parked, held.blocks_used),
            (Some(0.0), Some(2.0), None, Some(0.0))
        );
        assert!(!held.none_left());
        assert!(Holdings { waiting: Some(0.0), ..held }.none_left());
        assert!(!Holdings::default().none_left(), "a server that does not tell has not shown anything");
    }
}
