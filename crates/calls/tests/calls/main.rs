//! What models write, read in any cuts and held to grammars.

mod grammars;
mod properties;
mod reading;
mod templates;
mod vocabulary;
