//! A model that answers in this process.

use std::mem;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use parkade::NotLoaded;
use parkade_core::{DrainWaiting, Loaded, RequestStatus};
use parkade_server::{ApiError, AppState, Endpoint, ModelEntry, ServerConfig, Submitted, embeddings};
use parkade_sync::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyUserWarning};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::errors;
use crate::scheduling::Scheduling;
use crate::stream::Stream;

/// A running model. Any thread may use it at any time.
#[pyclass(frozen, module = "parkade._native")]
pub(crate) struct Engine {
    /// None once it is closed.
    running: Mutex<Option<Running>>,
    /// The process whose threads run it. One that was forked from it has none of them.
    process: u32,
}

#[derive(Clone)]
struct Running {
    /// Reads requests: unknown fields are errors.
    state: AppState,
    model: Arc<ModelEntry>,
}

/// As in `GET /v1/requests/{id}`.
fn card(model: &ModelEntry, status: &RequestStatus) -> Value {
    json!({
        "model": model.name,
        "state": status.state.name(),
        "class": status.class.name(),
        "tenant": status.tenant,
        "place": status.place,
        "estimated_wait_ms": status.estimated_wait.map(|wait| wait.as_millis() as u64),
        "prompt_tokens": status.prompt_tokens,
        "completion_tokens": status.completion_tokens,
        "age_ms": status.age.as_millis() as u64,
    })
}

/// As in `GET /v1/metrics`.
fn figures(model: &ModelEntry) -> serde_json::Result<Value> {
    let mut figures = serde_json::to_value(model.engine.snapshot())?;
    figures["model"] = Value::from(model.name.as_str());
    Ok(figures)
}

impl Running {
    fn of(models: impl IntoIterator<Item = Loaded>) -> Result<Running, NotLoaded> {
        let fault = |message: String| NotLoaded { setting: "model".to_owned(), message };
        let state = AppState::new(ServerConfig { strict: true, ..ServerConfig::default() })
            .map_err(|error| fault(error.to_string()))?;
        for Loaded { engine, tokenizer, template, pairs, config, name, .. } in models {
            state.set_model(ModelEntry::new(name, engine, tokenizer, template, config).with_pairs(pairs));
        }
        let model = state.model(None).map_err(|error| fault(error.to_string()))?;
        Ok(Running { state, model })
    }

    fn submit(&self, endpoint: Endpoint, body: &str) -> Result<Stream, ApiError> {
        let mut fields = serde_json::from_str(body).map_err(|error| ApiError::invalid_body(error.to_string()))?;
        let scheduling = Scheduling::take(&mut fields)?;
        let submitted = endpoint.submit(&self.state, &Value::Object(fields), |request| scheduling.apply(request))?;
        let Submitted { mut streams, form } = submitted;
        match (streams.pop(), streams.is_empty()) {
            (Some(events), true) => Ok(Stream::new(events, form)),
            _ => Err(ApiError::invalid_value("prompt", "prompt is several prompts; give one, or all to generate()")),
        }
    }

    fn embed(&self, body: &str) -> Result<String, ApiError> {
        let mut fields = serde_json::from_str(body).map_err(|error| ApiError::invalid_body(error.to_string()))?;
        let scheduling = Scheduling::take(&mut fields)?;
        let answer = embeddings(&self.state, &Value::Object(fields), |request| scheduling.apply(request))?;
        String::from_utf8(answer).map_err(|error| ApiError::internal(error.to_string()))
    }
}

impl Engine {
    fn running(&self, py: Python<'_>) -> PyResult<Running> {
        let stopped = |message| errors::exception(py, "EngineStoppedError", message, "engine_stopped", None, None);
        if process::id() != self.process {
            return Err(stopped("the engine was made before this process was forked; make one here"));
        }
        let running = self.running.lock().clone();
        running.ok_or_else(|| stopped("the engine is closed"))
    }

    fn end(&self) {
        let running = self.running.lock().take();
        match running {
            // There is nothing to wait for, and nobody to tell.
            Some(running) if process::id() != self.process => mem::forget(running),
            Some(running) => {
                let models = running.state.models();
                models.iter().for_each(|model| model.engine.drain_with(Duration::ZERO, DrainWaiting::Refuse));
            }
            None => {}
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        Python::attach(|py| py.detach(|| self.end()));
    }
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, settings: Vec<(String, String)>) -> PyResult<Engine> {
        let settings = || settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let loaded = py.detach(|| {
            let (first, beside) = parkade::load(settings())?;
            let models: Vec<Loaded> = [first].into_iter().chain(beside).collect();
            let warnings: Vec<String> = models.iter().flat_map(|loaded| loaded.warnings.clone()).collect();
            Running::of(models).map(|running| (running, warnings))
        });
        let (running, warnings) = loaded.map_err(|NotLoaded { setting, message }| {
            errors::exception(py, "LoadError", &message, "not_loaded", Some(&setting), None)
        })?;
        for warning in warnings {
            let text = std::ffi::CString::new(warning.replace('\0', " "))?;
            PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 2)?;
        }
        Ok(Engine { running: Mutex::new("python.engine", Some(running)), process: process::id() })
    }

    /// Hands a request in: a body of the API as JSON, with what schedules it. It is taken or refused at once.
    fn submit(&self, py: Python<'_>, chat: bool, body: &str) -> PyResult<Stream> {
        let running = self.running(py)?;
        let endpoint = if chat { Endpoint::Chat } else { Endpoint::Completions };
        let submitted = py.detach(|| running.submit(endpoint, body));
        submitted.map_err(|error| errors::refused(py, &error))
    }

    /// The answer to a body of `/v1/embeddings`, with what schedules it, when all of it is there.
    fn embed(&self, py: Python<'_>, body: &str) -> PyResult<String> {
        let running = self.running(py)?;
        let embedded = py.detach(|| running.embed(body));
        embedded.map_err(|error| errors::refused(py, &error))
    }

    /// Cancels the request of this name; false if none is here.
    fn cancel(&self, py: Python<'_>, id: &str) -> PyResult<bool> {
        let running = self.running(py)?;
        Ok(py.detach(|| running.state.models().iter().any(|model| model.engine.cancel(&id.into()))))
    }

    /// Where the request of this name stands, as JSON; `None` once it has ended.
    fn status(&self, py: Python<'_>, id: &str) -> PyResult<Option<String>> {
        let running = self.running(py)?;
        Ok(py.detach(|| {
            let models = running.state.models();
            let found = models.iter().find_map(|model| Some(card(model, &model.engine.status(&id.into())?)));
            found.map(|card| card.to_string())
        }))
    }

    /// The engine's figures, as JSON: the first model's, and each model's in `models`.
    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        let running = self.running(py)?;
        let page = py.detach(|| {
            let mut page = figures(&running.model)?;
            page["models"] = running.state.models().iter().map(|model| figures(model)).collect::<Result<_, _>>()?;
            serde_json::to_string(&page)
        });
        page.map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }

    /// The model's name.
    #[getter]
    fn model(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.running(py)?.model.name.clone())
    }

    /// Cancels what runs and gives the memory back. What is asked afterwards is refused.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.end());
    }
}
