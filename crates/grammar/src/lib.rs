//! Structured output: what a text may be, compiled to the tokens that may come next.
//!
//! A [`Format`] says what an answer may be: JSON by a schema, one of several strings, a regular expression, a grammar. [`Grammars`] compiles
//! it for one vocabulary, within [`Limits`] on size, time and memory, and keeps what was compiled in a bounded cache. A [`Matcher`] is one
//! answer's place in a [`Grammar`]: it says which tokens may come next, and which must.
//!
//! The parser is llguidance's (Earley over a lexer of derivatives). What is here besides it: the checks that make any schema bounded and its
//! errors name a place, the vocabulary, GBNF, and the cache.
//!
//! ```
//! use std::sync::Arc;
//! use parkade_grammar::{Format, Grammars, Tokens};
//!
//! /// Each byte is a token, and 256 ends the text.
//! struct Bytes(Vec<[u8; 1]>);
//!
//! impl Tokens for Bytes {
//!     fn count(&self) -> usize {
//!         257
//!     }
//!     fn bytes(&self, id: u32) -> &[u8] {
//!         self.0.get(id as usize).map_or(&[], |byte| byte)
//!     }
//!     fn is_special(&self, id: u32) -> bool {
//!         id == 256
//!     }
//!     fn is_end(&self, id: u32) -> bool {
//!         id == 256
//!     }
//!     fn encode(&self, text: &str) -> Option<Vec<u32>> {
//!         Some(text.bytes().map(u32::from).collect())
//!     }
//! }
//!
//! let grammars = Grammars::new(Arc::new(Bytes((0..=255).map(|byte| [byte]).collect())));
//! let grammar = grammars.compile(&Format::Choice(vec!["yes".into(), "no".into()]))?;
//! let mut matcher = grammar.matcher();
//! let mut mask = Vec::new();
//! matcher.mask(&mut mask)?;
//! let allowed: Vec<u8> = (0..=255).filter(|&byte| mask[byte as usize / 32] >> (byte % 32) & 1 == 1).collect();
//! assert_eq!(allowed, b"ny");
//! matcher.accept(u32::from(b'n'))?;
//! assert_eq!(matcher.take_forced()?, [u32::from(b'o')]);
//! assert!(matcher.is_complete());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod begin;
mod cache;
mod closed;
mod closing;
mod compile;
mod error;
mod format;
mod gbnf;
mod limits;
mod masks;
mod matcher;
mod schema;
mod vocabulary;

pub use closing::Nearness;
pub use compile::{Grammar, Grammars};
pub use error::{GrammarError, Place};
pub use format::Format;
pub use limits::Limits;
pub use matcher::{Matcher, MatcherError, PIECE};
pub use vocabulary::Tokens;
