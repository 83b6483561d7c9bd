//! OpenAI's request and response bodies: read and checked by hand, written with serde.

pub(crate) mod encode;
pub(crate) mod parse;
