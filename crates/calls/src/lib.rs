//! How language models write tool calls and thoughts: read from a stream, and held to a grammar.
//!
//! Each family of models has been taught its own way of calling a function, its [`Style`], which its chat template shows. A [`Reader`] takes an
//! answer as it is written, in pieces of any length, and tells thoughts, text and calls apart as soon as they can be; how the answer was cut makes
//! no difference. [`grammar`] says in llguidance's Lark how an answer with calls may be written, so that each call is of a function that
//! there is, with arguments by its schema. A model whose template knows no tools is told of them in words, by [`generic`].
//!
//! ```
//! use parkade_calls::{Piece, Reader, Reading, Reasoning, Style};
//!
//! let mut reader = Reader::new(Reading {
//!     style: Some(Style::Hermes),
//!     reasoning: Some(Reasoning { start: "<think>".into(), end: "</think>".into() }),
//!     starts_inside: true,
//!     functions: [].into(),
//! });
//! let mut pieces = Vec::new();
//! reader.push("Rome.</think><tool_call>{\"name\": \"weather\", \"argu", &mut pieces);
//! assert_eq!(pieces, [Piece::Reasoning("Rome.".into()), Piece::Call { index: 0, name: "weather".into() }]);
//! pieces.clear();
//! reader.push("ments\": {\"city\": \"Rome\"}}</tool_call>", &mut pieces);
//! reader.finish(&mut pieces);
//! let arguments = "{\"city\": \"Rome\"}".to_string();
//! assert_eq!(pieces, [Piece::Arguments { index: 0, text: arguments }, Piece::End { index: 0 }]);
//! ```

mod forms;
mod function;
pub mod generic;
mod read;
mod reasoning;
mod schema;
mod style;
mod write;

pub use function::{Choice, Function};
pub use read::{Piece, Reader, Reading};
pub use reasoning::Reasoning;
pub use style::Style;
pub use write::{CallGrammar, Thoughts, answer_grammar, grammar, grammar_or, one_of, text_grammar, thoughts_grammar};
