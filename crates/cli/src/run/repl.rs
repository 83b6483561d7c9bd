//! The chat in the terminal.

use std::io::Write;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio::runtime::Runtime;

use super::commands::{HELP, Line, changed, shown};
use super::{Conversation, RunError};
use crate::{directories, stderr};

/// Lines that the history keeps.
const HISTORY: usize = 1000;

/// Chats until `/exit` or Ctrl-D.
///
/// # Errors
/// The terminal is gone. What goes wrong with one answer is said, and the chat goes on.
pub fn chat(runtime: &Runtime, conversation: &mut Conversation, out: &mut impl Write) -> Result<(), RunError> {
    let config = Config::builder().max_history_size(HISTORY)?.auto_add_history(true).build();
    let mut editor: Editor<(), FileHistory> = Editor::with_config(config)?;
    let history = directories::history();
    // The first chat has no history yet.
    let _ = editor.load_history(&history);
    stderr::say(format_args!("{}: /help lists the commands, Ctrl-D leaves", conversation.model()));
    if !conversation.has_turns() {
        stderr::say(
            "this model has no chat template: each text is continued by itself, without the ones before (--chat-template NAME|FILE gives it one)",
        );
    }
    loop {
        match editor.readline("> ") {
            Ok(line) => match Line::parse(&line) {
                Line::Exit => break,
                line => obey(line, runtime, conversation, out)?,
            },
            Err(ReadlineError::Interrupted) => stderr::say("(Ctrl-D or /exit leaves)"),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let saved = std::fs::create_dir_all(directories::data())
        .map_err(ReadlineError::from)
        .and_then(|()| editor.save_history(&history));
    if let Err(error) = saved {
        stderr::say(format_args!("parkade: the history could not be saved at {}: {error}", history.display()));
    }
    Ok(())
}

fn obey(line: Line, runtime: &Runtime, conversation: &mut Conversation, out: &mut impl Write) -> Result<(), RunError> {
    match line {
        Line::Empty | Line::Exit => {}
        Line::Help => stderr::say(HELP),
        Line::Wrong(message) => stderr::say(message),
        Line::Clear => {
            conversation.clear();
            stderr::say("the conversation is forgotten");
        }
        Line::System(text) => {
            stderr::say(if text.is_some() { "system message set" } else { "system message removed" });
            conversation.system = text;
        }
        Line::Set(None) => stderr::say(shown(conversation.sampling())),
        Line::Set(Some((key, value))) => {
            let outcome = changed(conversation.sampling(), &key, &value)
                .and_then(|sampling| conversation.set_sampling(sampling).map_err(|error| error.to_string()));
            stderr::say(outcome.err().unwrap_or_else(|| format!("{key} is {value}")));
        }
        Line::Message(text) => match runtime.block_on(conversation.ask(&text, out)) {
            Ok(answer) => stderr::say(answer.speed),
            Err(error @ RunError::Output(_)) => return Err(error),
            Err(RunError::Refused(refusal @ parkade_core::Refusal::ContextLength { .. })) => {
                stderr::say(format_args!("parkade: {refusal}; /clear forgets what was said so far"))
            }
            Err(error) => stderr::say(format_args!("parkade: {error}")),
        },
    }
    Ok(())
}
