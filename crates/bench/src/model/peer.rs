//! llama.cpp's `llama-bench`, run in turns with ours on the same file and threads.

use super::passes::Case;
use crate::BenchError;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that measures as `llama-bench` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    program: PathBuf,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "llama-bench, {}", self.program.display())
    }
}

impl std::str::FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Peer, String> {
        match text.split_once('=') {
            Some(("llama-bench", path)) if !path.is_empty() => Ok(Peer { program: path.into() }),
            _ => Err("it must be llama-bench=PATH".to_string()),
        }
    }
}

impl Peer {
    /// Whether it has such a case: it decodes one stream and prefills one prompt.
    pub(super) fn has(case: Case) -> bool {
        matches!(case, Case::Prefill { prompts: 1, .. } | Case::Decode { streams: 1, .. })
    }

    /// Tokens a second of one run, after the warm-up that it makes by itself.
    pub(super) fn run(&self, model: &Path, threads: usize, case: Case) -> Result<f64, BenchError> {
        let (prompt, answer, depth) = match case {
            Case::Prefill { tokens, depth, .. } => (tokens, 0, depth),
            Case::Decode { tokens, depth, .. } => (0, tokens, depth),
        };
        let numbers = [("-t", threads), ("-p", prompt), ("-n", answer), ("-r", 1)];
        let mut command = Command::new(&self.program);
        command.arg("-m").arg(model).args(["-o", "json"]);
        command.args(numbers.iter().flat_map(|(flag, number)| [(*flag).to_string(), number.to_string()]));
        if depth > 0 {
            command.args(["-d".to_string(), depth.to_string()]);
        }
        let shown = format!("{command:?}");
        let failed = |reason: String| BenchError::Peer { command: shown.clone(), reason };
        let output = command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().take(5).collect::<Vec<_>>().join(" / ");
            return Err(failed(format!("it ended with {}, its last words: '{last}'", output.status)));
        }
        speed(&output.stdout).ok_or_else(|| failed("its output is not the JSON of one test with avg_ts".to_string()))
    }
}

/// Tokens a second in what it wrote: an array with one test.
fn speed(json: &[u8]) -> Option<f64> {
    let tests: Value = serde_json::from_slice(json).ok()?;
    match tests.as_array()?.as_slice() {
        [test] => test["avg_ts"].as_f64().filter(|speed| *speed > 0.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_kind_and_a_path() {
        let peer: Peer = "llama-bench=/opt/llama-bench".parse().expect("a peer");
        assert_eq!(peer.program, PathBuf::from("/opt/llama-bench"));
        for wrong in ["llama-bench", "llama-bench=", "vllm=/x", "/opt/llama-bench"] {
            assert!(wrong.parse::<Peer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_test_is_read_and_nothing_else() {
        assert_eq!(speed(br#"[{"n_prompt": 512, "avg_ts": 123.5, "stddev_ts": 0.1}]"#), Some(123.5));
        for wrong in ["", "[]", "{}", r#"[{"avg_ts": 0}]"#, r#"[{"avg_ts": "1"}]"#, r#"[{"avg_ts": 1}, {"avg_ts": 2}]"#]
        {
            assert_eq!(speed(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn what_it_says_when_it_fails_is_passed_on() {
        let case = Case::Prefill { prompts: 1, tokens: 4, depth: 0 };
        let run = |program: &str| Peer { program: program.into() }.run(Path::new("/none"), 1, case);
        assert!(run("/no/such/program").expect_err("missing").to_string().contains("/no/such/program"));
        assert!(run("false").expect_err("fails").to_string().contains("exit status: 1"));
        assert!(run("true").expect_err("says nothing").to_string().contains("avg_ts"));
    }
}
