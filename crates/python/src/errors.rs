//! What goes wrong, as the exceptions of `parkade.errors`.

use parkade_core::RequestError;
use parkade_server::ApiError;
use pyo3::prelude::*;

/// An exception of `parkade.errors`; if even that fails, what is wrong with it.
pub(crate) fn exception(
    py: Python<'_>,
    class: &str,
    message: &str,
    code: &str,
    field: Option<&str>,
    retry_after: Option<u64>,
) -> PyErr {
    // The server's words for it are of a server.
    let message = if code == "shutting_down" { "the engine was closed" } else { message };
    let made = || py.import("parkade.errors")?.getattr(class)?.call1((message, code, field, retry_after));
    made().map_or_else(|error| error, PyErr::from_value)
}

/// Why a request was not taken, as the server says it.
pub(crate) fn refused(py: Python<'_>, error: &ApiError) -> PyErr {
    let class = match (error.status().as_u16(), error.code()) {
        (_, code @ ("deadline_exceeded" | "engine_stopped" | "shutting_down")) => class_of(code),
        (429 | 503, _) => "RefusedError",
        (400..500, _) => "InvalidRequestError",
        _ => "ParkadeError",
    };
    exception(py, class, error.message(), error.code(), error.param(), error.retry_after_seconds())
}

/// Why a request that was taken has no whole answer. In this process the details are not hidden.
pub(crate) fn failed(py: Python<'_>, error: &RequestError) -> PyErr {
    let said = ApiError::from(error.clone());
    exception(py, class_of(said.code()), &error.to_string(), said.code(), None, said.retry_after_seconds())
}

fn class_of(code: &str) -> &'static str {
    match code {
        "deadline_exceeded" => "DeadlineError",
        "engine_stopped" | "shutting_down" => "EngineStoppedError",
        "request_cancelled" => "RequestCancelledError",
        _ => "ParkadeError",
    }
}
