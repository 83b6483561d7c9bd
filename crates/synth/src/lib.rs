#![doc = include_str!("../README.md")]

mod dims;
mod draft;
mod draw;
mod error;
mod mix;
mod parts;
mod random;
mod shapes;
mod vocabulary;
mod write;

pub use error::SynthError;
pub use mix::Mix;
pub use write::{Model, names};
