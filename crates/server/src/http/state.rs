//! What all connections and requests share, whatever API they speak.

use std::sync::Arc;

use super::body_memory::BodyMemory;
use super::metrics::HttpMetrics;
use crate::config::{ConfigError, ServerConfig};

/// The limits, the counters, and the memory for bodies.
pub(crate) struct HttpState {
    pub config: ServerConfig,
    pub metrics: HttpMetrics,
    pub body_memory: Arc<BodyMemory>,
}

impl HttpState {
    /// # Errors
    /// A limit that cannot work.
    pub fn new(config: ServerConfig) -> Result<Arc<Self>, ConfigError> {
        config.validate()?;
        let (metrics, body_memory) = (HttpMetrics::new(config.log_lines_dropped), BodyMemory::new(&config));
        Ok(Arc::new(Self { config, metrics, body_memory }))
    }
}
