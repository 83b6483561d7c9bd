//! What the body of a request asks for, whatever API it came by.

use std::sync::Arc;

use parkade_core::{Format, Place, Request};

use crate::generate::{Encoder, IgnoredFields, ModelEntry};
use crate::http::ApiError;

/// Work for the engine, and how its answer is written.
pub(crate) struct Task {
    pub model: Arc<ModelEntry>,
    /// One for each prompt.
    pub requests: Vec<Request>,
    /// The field of the body that the prompts came from.
    pub prompt_field: &'static str,
    /// Whether the answer is sent as it is computed.
    pub stream: bool,
    /// What of the body nobody reads.
    pub ignored: Option<IgnoredFields>,
    pub encoder: Arc<dyn Encoder>,
    /// What the answers may be, as long as that is not compiled.
    pub format: Option<WantedFormat>,
}

/// What a body says that answers may be.
#[derive(Clone, Debug)]
pub(crate) struct WantedFormat {
    pub format: Format,
    /// The field that says it.
    pub param: String,
    /// A wider format, which is taken if this one cannot be compiled; but not if that only took too long: what an answer may be must not depend
    /// on the load.
    pub otherwise: Option<Format>,
}

impl WantedFormat {
    /// A format that a field asks for.
    pub fn new(format: Format, param: impl Into<String>) -> Self {
        Self { format, param: param.into(), otherwise: None }
    }
}

impl Task {
    /// Compiles the format, if one is asked for, and gives it to the requests. It takes up to a second.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn compile(mut self) -> Result<Task, ApiError> {
        let Some(WantedFormat { format, param, otherwise }) = self.format.take() else { return Ok(self) };
        let engine = &self.model.engine;
        let compiled = match (engine.compile(&format), otherwise) {
            (Err(error), Some(wider)) if !error.is_late => engine.compile(&wider),
            (compiled, _) => compiled,
        };
        let compiled = compiled.map_err(|error| {
            let place = match error.place {
                Some(Place::Pointer(pointer)) => pointer,
                Some(Place::Line(line)) => format!(" in line {line}"),
                None => String::new(),
            };
            let message = format!("{param}{place} cannot be used as a format: {}", error.reason);
            ApiError::invalid_value(param, message)
        })?;
        for request in &mut self.requests {
            request.format = Some(Arc::clone(&compiled));
        }
        Ok(self)
    }
}
