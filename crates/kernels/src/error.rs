/// What a kernel can refuse. Every message names the field, the value and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A size, count or type that the kernels cannot work with.
    #[error("{field} is {value}: {remedy}")]
    Invalid {
        /// The argument at fault.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is allowed, or what to do.
        remedy: String,
    },
    /// The operating system did not give the memory.
    #[error("no memory for {what}: {bytes} bytes were refused; {remedy}")]
    OutOfMemory {
        /// What the memory was for.
        what: &'static str,
        /// How much was asked for.
        bytes: usize,
        /// What to do.
        remedy: &'static str,
    },
}

impl KernelError {
    pub(crate) fn invalid(field: &'static str, value: impl ToString, remedy: impl Into<String>) -> KernelError {
        KernelError::Invalid { field, value: value.to_string(), remedy: remedy.into() }
    }
}
