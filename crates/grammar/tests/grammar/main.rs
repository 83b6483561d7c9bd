//! Formats, and what they let through.

mod bytes;
mod formats;
mod hostile;
mod suite;
