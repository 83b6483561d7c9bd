//! The native part of the Python package `parkade`: see `python/parkade` for what its users see.

mod answer;
mod bell;
mod engine;
mod errors;
mod scheduling;
mod stream;
mod values;

/// What `parkade` in Python stands on. None of it waits or computes while it holds the interpreter's lock.
#[pyo3::pymodule]
mod _native {
    use std::ffi::OsString;

    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::bell::Bell;
    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::stream::Stream;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }

    /// Runs the command, and gives its exit code.
    #[pyfunction]
    fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
        py.detach(|| parkade::main(arguments))
    }
}
