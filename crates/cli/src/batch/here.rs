//! `parkade batch run`: a file that is run in this process.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use parkade_core::{EngineConfig, Loaded, TaskKind};
use parkade_server::{AppState, ModelEntry, Offline, OfflineLine, OfflineLines, ServerConfig};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::output::Output;
use super::{BatchError, Ending, endpoint, open};
use crate::args::{RunBatchArgs, default_max_seqs};
use crate::loading;
use crate::machine::Machine;
use crate::models::{self, DEFAULT_NAMES};
use crate::stderr;

/// Failures that are told while lines run; all of them are in the file of what failed.
const MOST_TOLD: usize = 20;

/// Runs a file.
///
/// # Errors
/// See [`BatchError`].
pub fn run(args: &RunBatchArgs) -> Result<Ending, BatchError> {
    let endpoint = endpoint(args.endpoint.as_deref(), &args.file)?;
    let file = open(&args.file)?;
    let lines = OfflineLines::read(&file, &endpoint)
        .map_err(|source| BatchError::Requests { path: args.file.clone(), source })?;
    let mut book = Book::open(args)?;
    let done = std::mem::take(&mut book.done);
    let (already, to_run): (Vec<_>, Vec<_>) = lines.sound.into_iter().partition(|line| done.contains(&line.custom_id));
    for (number, written) in lines.refused {
        book.failed(number, &written)?;
    }
    if !already.is_empty() {
        stderr::say(format_args!("parkade: {} lines are answered in {} already", already.len(), args.output.display()));
    }
    if to_run.is_empty() {
        return book.end(already.len());
    }
    let offline = load(args, &endpoint)?;
    book.bar = progress_bar(already.len(), to_run.len());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BatchError::Runtime)?;
    let whole = runtime.block_on(run_lines(&offline, (&args.file, &file), &endpoint, to_run, &mut book));
    runtime.shutdown_background();
    book.bar.finish_and_clear();
    match whole? {
        true => book.end(already.len()),
        false => {
            book.output.sync()?;
            stderr::say(format_args!(
                "parkade: stopped; {} lines are answered. Run the same command again to go on",
                already.len() + book.answered
            ));
            Ok(Ending::Stopped)
        }
    }
}

fn load(args: &RunBatchArgs, endpoint: &str) -> Result<Offline, BatchError> {
    let path = models::locate(&args.model.model)?;
    let engine = EngineConfig { max_seqs: default_max_seqs(), ..EngineConfig::default() };
    let loaded = parkade_core::load(&path, &loading::options(&args.model, engine, &Machine::read())?)?;
    let wanted = if endpoint == "/v1/embeddings" { TaskKind::Embed } else { TaskKind::Generate };
    let task = loaded.engine.task();
    if task != wanted {
        return Err(BatchError::Task { task, endpoint: endpoint.to_owned() });
    }
    let Loaded { engine, tokenizer, template, pairs, config, name, .. } = loaded;
    let mut names = vec![args.model.model.clone()];
    if path == crate::directories::default_model() {
        names.extend(DEFAULT_NAMES.map(str::to_owned));
    }
    let state = AppState::new(ServerConfig::default())?;
    state.set_model(ModelEntry::new(name, engine, tokenizer, template, config).with_pairs(pairs).with_aliases(names));
    Ok(Offline::new(state))
}

/// Runs lines, as many at once as keep the model busy. False if it was stopped before all had run.
async fn run_lines(
    offline: &Offline,
    (path, file): (&Path, &File),
    endpoint: &str,
    lines: Vec<OfflineLine>,
    book: &mut Book,
) -> Result<bool, BatchError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(BatchError::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(BatchError::Runtime)?;
    let mut lines = lines.into_iter();
    // What it holds is cancelled when it is dropped.
    let mut in_hand = JoinSet::new();
    loop {
        while in_hand.len() < offline.lines_at_once()
            && let Some(line) = lines.next()
        {
            let mut text = vec![0; line.length];
            let read = file.read_exact_at(&mut text, line.start);
            read.map_err(|source| BatchError::File { path: path.to_owned(), source })?;
            let (offline, endpoint) = (offline.clone(), endpoint.to_owned());
            in_hand.spawn(async move {
                let (is_answered, written) = offline.run(&endpoint, &line, &text).await;
                (line.number, is_answered, written)
            });
        }
        tokio::select! {
            _ = interrupt.recv() => return Ok(false),
            _ = terminate.recv() => return Ok(false),
            ended = in_hand.join_next() => match ended {
                None => return Ok(true),
                Some(Ok((_, true, written))) => book.answered(&written)?,
                Some(Ok((number, false, written))) => book.failed(number, &written)?,
                Some(Err(_)) => return Err(BatchError::Panicked),
            },
        }
    }
}

/// What came of lines: two files, and what is told of them.
struct Book {
    output: Output,
    /// What is answered in the output from before.
    done: HashSet<String>,
    errors_path: PathBuf,
    errors: Option<Output>,
    answered: usize,
    failed: usize,
    bar: ProgressBar,
    began: Instant,
}

impl Book {
    fn open(args: &RunBatchArgs) -> Result<Self, BatchError> {
        let errors_path = args.errors.clone().unwrap_or_else(|| args.output.with_extension("errors.jsonl"));
        for (one, other) in [(&args.output, &args.file), (&errors_path, &args.file), (&errors_path, &args.output)] {
            let is_same = |real: io::Result<PathBuf>| {
                real.ok().is_some_and(|real| other.canonicalize().is_ok_and(|other| other == real))
            };
            if one == other || is_same(one.canonicalize()) {
                return Err(BatchError::SameFile(one.clone()));
            }
        }
        let (output, done) = Output::resume(&args.output)?;
        // What failed before is tried again.
        let errors = if errors_path.exists() { Some(Output::anew(&errors_path)?) } else { None };
        Ok(Self {
            output,
            done,
            errors_path,
            errors,
            answered: 0,
            failed: 0,
            bar: ProgressBar::hidden(),
            began: Instant::now(),
        })
    }

    fn answered(&mut self, written: &str) -> Result<(), BatchError> {
        self.output.add(written)?;
        self.answered += 1;
        self.bar.inc(1);
        Ok(())
    }

    fn failed(&mut self, number: u64, written: &str) -> Result<(), BatchError> {
        let errors = match &mut self.errors {
            Some(errors) => errors,
            none => none.insert(Output::anew(&self.errors_path)?),
        };
        errors.add(written)?;
        self.failed += 1;
        let message = why(number, written);
        match self.failed {
            told if told <= MOST_TOLD => self.bar.suspend(|| stderr::say(format_args!("parkade: {message}"))),
            told if told == MOST_TOLD + 1 => {
                let path = self.errors_path.display();
                self.bar.suspend(|| stderr::say(format_args!("parkade: more lines failed; see {path}")));
            }
            _ => {}
        }
        self.bar.set_message(format!(", {} failed", self.failed));
        self.bar.inc(1);
        Ok(())
    }

    fn end(self, already: usize) -> Result<Ending, BatchError> {
        self.output.sync()?;
        let (answered, took) =
            (already + self.answered, HumanDuration(Duration::from_secs(self.began.elapsed().as_secs())));
        if self.failed == 0 {
            if self.errors.is_some() {
                // It is empty. If it stays, it says nothing wrong.
                let _ = std::fs::remove_file(&self.errors_path);
            }
            stderr::say(format_args!("parkade: all {answered} lines are answered ({took})"));
            return Ok(Ending::Whole);
        }
        if let Some(errors) = &self.errors {
            errors.sync()?;
        }
        stderr::say(format_args!(
            "parkade: {answered} lines are answered, {} have failed ({took}); {} says why, and the same command again tries them again",
            self.failed,
            self.errors_path.display()
        ));
        Ok(Ending::Failures)
    }
}

/// What is wrong with a line, in words.
fn why(number: u64, written: &str) -> String {
    let written: Value = serde_json::from_str(written).unwrap_or_default();
    let of_path = &written["response"]["body"]["error"]["message"];
    match (written["error"]["message"].as_str(), of_path.as_str()) {
        (Some(message), _) if message.starts_with("line ") => message.to_owned(),
        (Some(message), _) | (None, Some(message)) => format!("line {number}: {message}"),
        (None, None) => format!("line {number} failed"),
    }
}

/// Drawn on standard error, and only on a terminal.
fn progress_bar(done: usize, to_run: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("[{wide_bar}] {pos}/{len} lines{msg}, {per_sec}, about {eta} left");
    let bar = ProgressBar::new((done + to_run) as u64);
    let bar = style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style));
    bar.set_position(done as u64);
    bar.reset_eta();
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_line_is_told_with_its_number() {
        for (written, said) in [
            (r#"{"error":{"message":"line 3: no JSON"}}"#, "line 3: no JSON"),
            (r#"{"error":{"message":"gone"}}"#, "line 3: gone"),
            (r#"{"error":null,"response":{"body":{"error":{"message":"too long"}}}}"#, "line 3: too long"),
            ("{}", "line 3 failed"),
        ] {
            assert_eq!(why(3, written), said);
        }
    }
}
