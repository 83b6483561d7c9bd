//! Reading GGUF files: good ones, and every kind of broken one.

mod accepted;
mod build;
mod refused;
mod survives;
