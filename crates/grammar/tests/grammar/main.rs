//! Formats, and what they let through.

mod bytes;
mod closing;
mod formats;
mod hostile;
mod masks;
mod suite;
#[path = "../support/words.rs"]
mod words;
