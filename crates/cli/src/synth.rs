//! `parkade synth`: random models for tests and measurements.

use std::io::{self, Write};
use std::path::Path;

use parkade_synth::{Model, names};

use crate::args::SynthArgs;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// It cannot be made.
    #[error(transparent)]
    Model(#[from] parkade_synth::SynthError),
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

impl SynthError {
    /// Whether what was asked for does not exist.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, SynthError::Model(error) if error.is_usage())
    }
}

/// Writes a model, or lists what there is.
///
/// # Errors
/// If there is no such shape or type, or the file cannot be written.
pub fn run(args: &SynthArgs, out: &mut impl Write) -> Result<(), SynthError> {
    let (Some(shape), Some(path)) = (&args.shape, &args.out) else {
        return names().try_for_each(|name| writeln!(out, "{name}")).map_err(SynthError::Output);
    };
    write(args, shape, path)
}

fn write(args: &SynthArgs, shape: &str, path: &Path) -> Result<(), SynthError> {
    let mix = args.ty.as_deref().map(str::parse).transpose()?;
    Ok(Model::new(shape, args.seed, args.scale as usize, mix)?.save(path)?)
}
