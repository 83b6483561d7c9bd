//! The forward pass: against llama.cpp's answers, against a naive pass, and against itself.

mod batches;
mod invariance;
mod loading;
mod oracle;
mod reference;
mod support;
mod synthetic;
