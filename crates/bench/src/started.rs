//! A server that is started to be measured, and stopped afterwards.

use crate::BenchError;
use crate::load::client::ask;
use crate::load::{Api, Target};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long loading may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// How many of the last log lines an error shows.
const LINES: usize = 15;

/// A running server. Dropping it ends its process.
pub(crate) struct Started {
    child: Child,
    log: Option<JoinHandle<VecDeque<String>>>,
    /// Where it listens.
    pub url: String,
    /// How it was started.
    pub command: String,
}

/// The program that is to serve: this one, if none is named.
pub(crate) fn program(named: Option<&Path>) -> Result<PathBuf, BenchError> {
    match named {
        Some(path) if path.is_file() => Ok(path.to_path_buf()),
        Some(path) => Err(BenchError::Options(format!("--server-bin is '{}'; no such file", path.display()))),
        None => std::env::current_exe().map_err(BenchError::io("find this program")),
    }
}

impl Started {
    /// Starts `parkade serve` of a program on a free port and waits until its model can answer.
    pub async fn start(program: &Path, arguments: impl IntoIterator<Item = String>) -> Result<Started, BenchError> {
        let port = free_port()?;
        let mut args = vec!["serve".to_string(), "--host".to_string(), "127.0.0.1".to_string()];
        args.extend(["--port".to_string(), port.to_string()]);
        args.extend(arguments);
        let command = format!("{} {}", program.display(), args.join(" "));
        crate::output::say(format_args!("starting {command}"));
        let failed = |reason: String| BenchError::Start { command: command.clone(), reason };
        let mut child = Command::new(program)
            .args(&args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let log = child.stderr.take().map(|stderr| std::thread::spawn(move || last_lines(BufReader::new(stderr))));
        let url = format!("http://127.0.0.1:{port}");
        let mut server = Started { child, log, url, command: command.clone() };
        match server.ready().await {
            Ok(()) => Ok(server),
            Err(reason) => Err(failed(format!("{reason}; its last lines:\n{}", server.last_words()))),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    async fn ready(&mut self) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        let target = Target::new(&self.url, Api::Chat, Duration::from_secs(2)).map_err(|error| error.to_string())?;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            if ask(&target, "/health/ready", None).await.is_ok_and(|(status, _)| status.is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("/health/ready did not answer 200 within {} s", PATIENCE.as_secs()))
    }

    fn last_words(&mut self) -> String {
        self.end();
        let lines = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        lines.into_iter().collect::<Vec<_>>().join("\n")
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads the log to its end, so that the server never blocks on it, and keeps the last lines.
fn last_lines(log: impl BufRead) -> VecDeque<String> {
    let mut lines = VecDeque::new();
    for line in log.lines().map_while(Result::ok) {
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
    lines
}

/// A port that nobody listens on. Another program could take it before the server does; the server says so then.
fn free_port() -> Result<u16, BenchError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(BenchError::io("find a free port"))?;
    Ok(listener.local_addr().map_err(BenchError::io("find a free port"))?.port())
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn only_the_last_lines_of_a_long_log_are_kept() {
        let log: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let lines = last_lines(log.as_bytes());
        assert_eq!((lines.len(), lines.front().map(String::as_str)), (15, Some("line 85")));
    }
}
