//! A chat, whatever API it came by: its messages, tools and thoughts, and its answer in pieces.
//!
//! | file | subject |
//! | --- | --- |
//! | `conversation.rs` | what a chat asks for: [`Conversation`] |
//! | `prepare.rs` | what becomes of it |
//! | `prompt.rs` | from the messages to the prompt that the model reads |
//! | `functions.rs` | the functions that a model may call: [`Tools`] |
//! | `plain_tools.rs` | calls and results in words, for templates that know none |
//! | `thinking.rs` | whether and how long a model thinks before it answers: [`Thinking`] |
//! | `constraint.rs` | the one grammar of calls, thoughts and format |
//! | `turn.rs` | an answer's text in pieces: [`Turn`] |
//! | `id.rs` | names of calls and of parts of an answer |

mod constraint;
mod conversation;
mod functions;
mod id;
mod plain_tools;
mod prepare;
mod prompt;
mod thinking;
mod turn;

pub(crate) use conversation::Conversation;
pub(crate) use functions::{Choice, Tools};
pub(crate) use id::{call_id, part_id};
pub(crate) use prepare::{Prepared, call_style};
pub(crate) use thinking::Thinking;
pub(crate) use turn::Form;
pub use turn::{Answered, Call, Part, Turn};
