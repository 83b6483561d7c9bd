//! llama.cpp's `llama-bench`, run in turns with ours on the same file and threads.

use super::passes::Case;
use crate::BenchError;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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
    pub(super) fn run(&self, model: &Path, threads: usize, case: Case, limit: Duration) -> Result<f64, BenchError> {
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
        let output = output(&mut command, limit).map_err(failed)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().take(5).collect::<Vec<_>>().join(" / ");
            return Err(failed(format!("it ended with {}, its last words: '{last}'", output.status)));
        }
        speed(&output.stdout).ok_or_else(|| failed("its output is not the JSON of one test with avg_ts".to_string()))
    }
}

/// What a program wrote until its end. One that takes longer than the limit is killed.
fn output(command: &mut Command, limit: Duration) -> Result<Output, String> {
    let until = Instant::now() + limit;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
    let status = end(&mut child, until).map_err(|error| error.to_string())?;
    let status = status.ok_or_else(|| {
        format!("it was killed: it took longer than {} s, see --peer-timeout-seconds", limit.as_secs_f64())
    })?;
    let whole = |reader: JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    Ok(Output { status, stdout: whole(stdout), stderr: whole(stderr) })
}

/// Reads a pipe to its end, so that the program never waits for a reader.
fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is what there is.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        bytes
    })
}

/// How it ended; `None` if it had to be killed.
fn end(child: &mut Child, until: Instant) -> std::io::Result<Option<ExitStatus>> {
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill()?;
    child.wait().map(|_| None)
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
        let limit = Duration::from_secs(60);
        let run = |program: &str| Peer { program: program.into() }.run(Path::new("/none"), 1, case, limit);
        assert!(run("/no/such/program").expect_err("missing").to_string().contains("/no/such/program"));
        assert!(run("false").expect_err("fails").to_string().contains("exit status: 1"));
        assert!(run("true").expect_err("says nothing").to_string().contains("avg_ts"));
    }

    #[test]
    fn one_that_hangs_is_killed() {
        let reason = output(Command::new("sleep").arg("600"), Duration::from_millis(20)).expect_err("it hangs");
        assert!(reason.contains("--peer-timeout-seconds"), "{reason}");
    }
}
