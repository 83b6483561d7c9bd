//! The answer to one request, piece by piece or whole.

use std::mem;
use std::process;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parkade_core::{RequestError, RequestStream};
use parkade_server::AnswerForm;
use parkade_sync::Mutex;
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::answer::{Answer, Next};
use crate::bell::Bell;
use crate::errors;
use crate::values::Values;

/// The pieces of an answer, as an iterator. Closing or dropping it cancels the request.
///
/// Any thread may read it: each piece goes to one of them.
#[pyclass(frozen, module = "parkade._native")]
pub(crate) struct Stream {
    /// The request's name.
    #[pyo3(get)]
    id: String,
    /// How what was read becomes Python's.
    values: Values,
    /// Never held while Python runs or anything waits.
    answer: Mutex<Answer>,
    readers: Arc<Readers>,
    /// The process in which the answer is made. One that was forked from it would wait for ever.
    process: u32,
}

/// Who waits for the next piece. All of them look when one comes: whoever leaves instead takes nothing from the others.
struct Readers(Mutex<Vec<Waker>>);

impl Wake for Readers {
    fn wake(self: Arc<Self>) {
        let waiting = mem::take(&mut *self.0.lock());
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Stream {
    pub fn new(events: RequestStream, form: AnswerForm) -> Stream {
        let id = events.id().0.clone();
        let values = Values::new(&id, form.clone());
        let answer = Mutex::new("python.stream", Answer::new(events, form));
        let readers = Arc::new(Readers(Mutex::new("python.readers", Vec::new())));
        Stream { id, values, answer, readers, process: process::id() }
    }

    /// The next piece; it rings the bell with this key when there is one later.
    fn poll_next(&self, bell: &Bell, key: u64) -> Poll<Next> {
        if process::id() != self.process {
            return Poll::Ready(Err(RequestError::Stopped));
        }
        let all = Waker::from(Arc::clone(&self.readers));
        let mut answer = self.answer.lock();
        if let Poll::Ready(next) = answer.poll(&mut Context::from_waker(&all)) {
            return Poll::Ready(next);
        }
        self.readers.0.lock().push(bell.waker(key));
        // Once more: a piece that came in between has rung for the others only.
        answer.poll(&mut Context::from_waker(&all))
    }

    /// Reads what is there; ready at the end.
    fn poll_end(&self, bell: &Bell, key: u64) -> Poll<Result<(), RequestError>> {
        loop {
            match self.poll_next(bell, key) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}

#[pymethods]
impl Stream {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let bell = Bell::of_this_thread();
        loop {
            match self.poll_next(&bell, 0) {
                Poll::Ready(Ok(step)) => return step.map(|step| self.values.chunk(py, step)).transpose(),
                Poll::Ready(Err(error)) => return Err(errors::failed(py, &error)),
                Poll::Pending => bell.wait(py)?,
            };
        }
    }

    /// Waits for the end, and gives the whole answer, with what was read before.
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bell = Bell::of_this_thread();
        while !self.collect(py, &bell, 0)? {
            bell.wait(py)?;
        }
        let left = "the stream was left before its end";
        let missing = || errors::exception(py, "RequestCancelledError", left, "request_cancelled", None, None);
        self.answer(py)?.ok_or_else(missing)
    }

    /// The next piece for an event loop. `None`: none is there, and the bell will be rung with the key. The end is
    /// StopAsyncIteration.
    fn poll<'py>(&self, py: Python<'py>, bell: &Bell, key: u64) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.poll_next(bell, key) {
            Poll::Pending => Ok(None),
            Poll::Ready(Ok(Some(step))) => self.values.chunk(py, step).map(Some),
            Poll::Ready(Ok(None)) => Err(PyStopAsyncIteration::new_err(())),
            Poll::Ready(Err(error)) => Err(errors::failed(py, &error)),
        }
    }

    /// Reads what is there. Whether that was the end; if not, the bell will be rung with the key.
    fn collect(&self, py: Python<'_>, bell: &Bell, key: u64) -> PyResult<bool> {
        match self.poll_end(bell, key) {
            Poll::Pending => Ok(false),
            Poll::Ready(end) => end.map(|()| true).map_err(|error| errors::failed(py, &error)),
        }
    }

    /// The whole answer, once all of it has been read.
    #[getter]
    fn answer<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let whole = self.answer.lock().whole();
        whole.map(|whole| self.values.whole(py, whole)).transpose()
    }

    /// Cancels the request, unless it has ended. No more pieces come.
    fn close(&self) {
        let events = self.answer.lock().leave();
        drop(events);
        Arc::clone(&self.readers).wake();
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, _error: &Bound<'_, PyTuple>) {
        self.close();
    }
}
