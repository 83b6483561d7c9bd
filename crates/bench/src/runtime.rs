//! The runtime of the load generator.

use crate::BenchError;

/// Runs `work` on one thread: the generator must take as little as it can of the machine that it measures.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("start the load generator"))?;
    Ok(runtime.block_on(work))
}
