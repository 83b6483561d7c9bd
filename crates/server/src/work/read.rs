//! The file of a batch: which lines can be run, and in what order.

use std::collections::HashSet;
use std::io::{self, Read};

use parkade_store::{Batch, NewLine, Node, Store, StoreError};
use serde_json::{Map, Value, json};

use super::order::{self, Beginnings};
use super::written;
use crate::access::Policy;
use crate::http::quote;

/// The most lines of a batch.
const MOST_LINES: usize = 50_000;
/// The largest file of a batch, in bytes.
pub(crate) const LARGEST_INPUT: u64 = 200 << 20;
/// The longest line, in bytes: what a body may have, and something around it.
const LONGEST_LINE: usize = 9 << 20;
/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;
/// The longest `custom_id`, in bytes.
const LONGEST_ID: usize = 512;
/// How many faults a batch tells; each line tells its own in the file of errors.
const MOST_TOLD: usize = 100;

/// What a batch's file has.
#[derive(Default)]
pub(crate) struct Reading {
    lines: Vec<(Beginnings, NewLine)>,
    faults: Vec<Value>,
    names: HashSet<String>,
    /// What is wrong with the file as a whole.
    hopeless: Option<(&'static str, String)>,
}

/// A line that can be run.
struct Sound {
    custom_id: String,
    beginnings: Beginnings,
}

/// What is wrong with a line.
struct Fault {
    custom_id: Option<String>,
    code: &'static str,
    param: Option<&'static str>,
    message: String,
}

fn fault(code: &'static str, param: &'static str, message: String) -> Fault {
    Fault { custom_id: None, code, param: Some(param), message }
}

/// Reads the file of a batch, piece by piece.
pub(super) async fn read(store: &Store, batch: &Batch) -> Result<Reading, StoreError> {
    let mut reading = Reading::default();
    let (mut rest, mut start, mut number) = (Vec::new(), 0_u64, 0_u64);
    for chunk in 0.. {
        let piece = store.file_chunk(&batch.input_file, chunk).await?;
        let is_last = piece.is_none();
        rest.extend_from_slice(&piece.unwrap_or_default());
        let endpoint = batch.endpoint.clone();
        // Parsing takes time, and the runtime's thread has others to serve.
        let work = move || {
            let used = reading.take(&rest, (&mut start, &mut number), &endpoint, is_last);
            rest.drain(..used);
            (reading, rest, start, number)
        };
        let done = tokio::task::spawn_blocking(work).await;
        (reading, rest, start, number) = done.map_err(|_| StoreError::Failed("reading a batch failed".to_owned()))?;
        if is_last || reading.hopeless.is_some() {
            break;
        }
    }
    Ok(reading.complete())
}

/// As [`read`], of a file that is at hand.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read_here(mut file: impl Read, endpoint: &str) -> io::Result<Reading> {
    let mut reading = Reading::default();
    let (mut rest, mut start, mut number) = (Vec::new(), 0, 0);
    loop {
        let is_last = file.by_ref().take(PIECE).read_to_end(&mut rest)? == 0;
        let used = reading.take(&rest, (&mut start, &mut number), endpoint, is_last);
        rest.drain(..used);
        if is_last || reading.hopeless.is_some() {
            return Ok(reading.complete());
        }
    }
}

impl Reading {
    fn complete(mut self) -> Self {
        if self.lines.is_empty() && self.hopeless.is_none() {
            self.hopeless = Some(("empty_file", "the file has no lines".to_owned()));
        }
        self
    }

    /// Its lines in the order in which they are run.
    ///
    /// # Errors
    /// What is wrong with the file as a whole.
    pub fn into_lines(self) -> Result<Vec<NewLine>, String> {
        if let Some((_, message)) = self.hopeless {
            return Err(message);
        }
        let mut lines = self.lines;
        lines.sort_by(|(one, first), (other, second)| one.cmp(other).then(first.number.cmp(&second.number)));
        Ok((0..).zip(lines).map(|(run_order, (_, line))| NewLine { run_order, ..line }).collect())
    }

    /// Takes whole lines; all that is there at the end of the file. How many bytes they had.
    fn take(&mut self, text: &[u8], (start, number): (&mut u64, &mut u64), endpoint: &str, is_last: bool) -> usize {
        let mut used = 0;
        while used < text.len() && self.hopeless.is_none() {
            let length = match text[used..].iter().position(|&byte| byte == b'\n') {
                Some(length) => length,
                None if is_last => text.len() - used,
                None if text.len() - used > LONGEST_LINE => {
                    let message = format!("line {} has more than {LONGEST_LINE} bytes", *number + 1);
                    self.hopeless = Some(("line_too_long", message));
                    break;
                }
                None => break,
            };
            *number += 1;
            self.line(&text[used..used + length], *start, *number, endpoint);
            let taken = (length + 1).min(text.len() - used);
            used += taken;
            *start += taken as u64;
        }
        used
    }

    fn line(&mut self, text: &[u8], start: u64, number: u64, endpoint: &str) {
        if text.trim_ascii().is_empty() {
            return;
        }
        if self.lines.len() == MOST_LINES {
            let message = format!("the file has more than {MOST_LINES} lines; split it");
            self.hopeless = Some(("too_many_lines", message));
            return;
        }
        let mut line =
            NewLine { number, run_order: 0, custom_id: String::new(), start, length: text.len() as u64, refusal: None };
        match self.sound(text, endpoint) {
            Ok(sound) => {
                line.custom_id = sound.custom_id;
                self.lines.push((sound.beginnings, line));
            }
            Err(fault) => {
                let Fault { custom_id, code, param, message } = fault;
                let message = format!("line {number}: {message}");
                if self.faults.len() < MOST_TOLD {
                    self.faults.push(json!({"code": code, "line": number, "message": message, "param": param}));
                }
                line.refusal = Some(written::refused(custom_id.as_deref(), number, code, &message));
                line.custom_id = custom_id.unwrap_or_default();
                self.lines.push((Beginnings::default(), line));
            }
        }
    }

    /// What a line asks for, if it can be run.
    fn sound(&mut self, text: &[u8], endpoint: &str) -> Result<Sound, Fault> {
        let not_json = |error: serde_json::Error| Fault {
            custom_id: None,
            code: "invalid_json",
            param: None,
            message: format!("this is not a JSON object on one line: {error}"),
        };
        let members: Map<String, Value> = serde_json::from_slice(text).map_err(not_json)?;
        let Some(custom_id) = members.get("custom_id").and_then(Value::as_str).filter(|id| !id.is_empty()) else {
            return Err(fault(
                "missing_custom_id",
                "custom_id",
                "custom_id is missing, or no text; give each line its own".into(),
            ));
        };
        if custom_id.len() > LONGEST_ID {
            return Err(fault("invalid_custom_id", "custom_id", format!("custom_id has more than {LONGEST_ID} bytes")));
        }
        let with_name = |fault| Fault { custom_id: Some(custom_id.to_owned()), ..fault };
        let sound = check(&members, endpoint).map_err(with_name)?;
        if !self.names.insert(custom_id.to_owned()) {
            let message = format!("custom_id {} is that of an earlier line; give each line its own", quote(custom_id));
            return Err(with_name(fault("duplicate_custom_id", "custom_id", message)));
        }
        Ok(Sound { custom_id: custom_id.to_owned(), beginnings: sound })
    }

    /// Puts what was read into the store: the batch runs from now on, or has failed.
    pub async fn put(self, policy: &Policy, store: &Store, node: &Node, batch: &Batch) -> Result<(), StoreError> {
        let faults = Value::from(self.faults.clone()).to_string();
        if let Some((code, message)) = &self.hopeless {
            let all = json!([{"code": code, "line": Value::Null, "message": message, "param": "input_file_id"}]);
            let told = super::ending::told(policy, batch, parkade_store::BatchState::Failed);
            return store.fail_batch(node, &batch.id, &all.to_string(), (&told.0, &told.1)).await;
        }
        let mut lines = self.into_lines().map_err(StoreError::Failed)?;
        lines.sort_by_key(|line| line.number);
        for (place, lines) in lines.chunks(5000).enumerate() {
            store.put_lines(node, &batch.id, lines, place == 0).await?;
        }
        store.start_batch(node, &batch.id, &faults).await
    }
}

/// Checks what stands beside the name of a line.
fn check(members: &Map<String, Value>, endpoint: &str) -> Result<Beginnings, Fault> {
    if let Some(method) = members.get("method").filter(|method| method.as_str() != Some("POST")) {
        return Err(fault("invalid_method", "method", format!("method is {method}; use \"POST\"")));
    }
    match members.get("url").and_then(Value::as_str) {
        Some(url) if url == endpoint => {}
        Some(url) => {
            let message = format!("url is {}, and the batch's endpoint {endpoint}; use one for all lines", quote(url));
            return Err(fault("invalid_url", "url", message));
        }
        None => return Err(fault("invalid_url", "url", format!("url is missing; use \"{endpoint}\""))),
    }
    let Some(body) = members.get("body").and_then(Value::as_object) else {
        return Err(fault("invalid_body", "body", "body is missing, or no object; put the request there".into()));
    };
    if body.get("stream").is_some_and(|stream| stream != &Value::Bool(false)) {
        let message = "body.stream is set; the answers of a batch are whole, leave it out".to_owned();
        return Err(fault("invalid_body", "body.stream", message));
    }
    if body.get("background").is_some_and(|background| background == &Value::Bool(true)) {
        let message = "body.background is set; a batch is in the background already, leave it out".to_owned();
        return Err(fault("invalid_body", "body.background", message));
    }
    Ok(order::beginnings(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "/v1/chat/completions";

    fn read_in_pieces(text: &str, piece: usize) -> Reading {
        let mut reading = Reading::default();
        let (mut rest, mut start, mut number) = (Vec::new(), 0, 0);
        let mut pieces: Vec<&[u8]> = text.as_bytes().chunks(piece).collect();
        pieces.push(b"");
        let last = pieces.len() - 1;
        for (place, piece) in pieces.into_iter().enumerate() {
            rest.extend_from_slice(piece);
            let used = reading.take(&rest, (&mut start, &mut number), ENDPOINT, place == last);
            rest.drain(..used);
        }
        reading
    }

    fn line(id: &str, more: &str) -> String {
        format!(r#"{{"custom_id": "{id}", "method": "POST", "url": "{ENDPOINT}", "body": {{"messages": []}}{more}}}"#)
    }

    #[test]
    fn lines_are_found_wherever_the_file_is_cut() {
        let text = format!("{}\n\n  \n{}\r\n{}", line("a", ""), line("b", ""), line("c", ""));
        for piece in [1, 7, 100, 1000] {
            let reading = read_in_pieces(&text, piece);
            assert!(reading.faults.is_empty(), "{:?}", reading.faults);
            let found: Vec<_> = reading.lines.iter().map(|(_, line)| (line.number, line.custom_id.as_str())).collect();
            assert_eq!(found, [(1, "a"), (4, "b"), (5, "c")]);
            for (_, line) in &reading.lines {
                let text = &text[line.start as usize..(line.start + line.length) as usize];
                assert!(serde_json::from_str::<Value>(text).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn a_broken_line_is_told_and_the_others_run() {
        let bad = [
            ("not json", "invalid_json"),
            ("[1]", "invalid_json"),
            (r#"{"url": "/v1/chat/completions", "body": {}}"#, "missing_custom_id"),
            (r#"{"custom_id": 7, "url": "/v1/chat/completions", "body": {}}"#, "missing_custom_id"),
            (r#"{"custom_id": "x", "url": "/v1/embeddings", "body": {}}"#, "invalid_url"),
            (r#"{"custom_id": "x", "body": {}}"#, "invalid_url"),
            (r#"{"custom_id": "x", "url": "/v1/chat/completions", "method": "GET", "body": {}}"#, "invalid_method"),
            (r#"{"custom_id": "x", "url": "/v1/chat/completions", "body": []}"#, "invalid_body"),
            (r#"{"custom_id": "x", "url": "/v1/chat/completions", "body": {"stream": true}}"#, "invalid_body"),
            (&line("good", ""), "duplicate_custom_id"),
        ];
        let mut text = line("good", "") + "\n";
        for (line, _) in &bad {
            text += line;
            text += "\n";
        }
        text += &line("also good", "");
        let reading = read_in_pieces(&text, 64);
        let codes: Vec<_> = reading.faults.iter().map(|fault| fault["code"].as_str().unwrap_or_default()).collect();
        assert_eq!(codes, bad.map(|(_, code)| code));
        assert_eq!(reading.faults[0]["line"], 2);
        let sound: Vec<_> = reading.lines.iter().filter(|(_, line)| line.refusal.is_none()).collect();
        assert_eq!((sound.len(), reading.lines.len()), (2, 12));
    }
}
