//! The answer to one request, piece by piece or whole.

use std::mem;
use std::pin::pin;
use std::process;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parkade_core::{Event, FinishReason, RequestError, RequestStream, TokenId, TokenLogprob, Tokenizer, Usage};
use parkade_sync::Mutex;
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::bell::Bell;
use crate::errors;

/// The pieces of an answer, as an iterator. Closing or dropping it cancels the request.
///
/// Any thread may read it: each piece goes to one of them.
#[pyclass(frozen, module = "parkade._native")]
pub(crate) struct Stream {
    /// The request's name.
    #[pyo3(get)]
    id: String,
    tokenizer: Arc<Tokenizer>,
    /// Never held while Python runs or anything waits.
    state: Mutex<State>,
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

struct State {
    /// None once it has ended or was closed.
    events: Option<RequestStream>,
    choices: Vec<Choice>,
    /// What it used, when it is complete.
    usage: Option<Usage>,
}

#[derive(Clone, Default)]
struct Choice {
    text: String,
    tokens: Vec<TokenId>,
    logprobs: Vec<TokenLogprob>,
    finish: Option<FinishReason>,
}

/// What a reader is given next: a piece, or `None` at the end.
type Next = Result<Option<Event>, RequestError>;

impl State {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let Some(events) = &mut self.events else { return Poll::Ready(Ok(None)) };
        let event = match pin!(events.next()).poll(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(event) => event.unwrap_or(Event::Failed(RequestError::Stopped)),
        };
        match &event {
            Event::Token { index, id, text, logprob } => {
                let choice = self.choice(*index);
                choice.text.push_str(text);
                choice.tokens.push(*id);
                choice.logprobs.extend(logprob.clone());
            }
            Event::Finished { index, reason, text, .. } => {
                let choice = self.choice(*index);
                choice.text.push_str(text);
                choice.finish = Some(*reason);
            }
            Event::Done(usage) => {
                self.events = None;
                self.usage = Some(*usage);
                return Poll::Ready(Ok(None));
            }
            Event::Failed(error) => {
                self.events = None;
                return Poll::Ready(Err(error.clone()));
            }
            _ => {}
        }
        Poll::Ready(Ok(Some(event)))
    }

    fn choice(&mut self, index: usize) -> &mut Choice {
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, Choice::default);
        }
        &mut self.choices[index]
    }
}

impl Stream {
    pub fn new(events: RequestStream, tokenizer: Arc<Tokenizer>) -> Stream {
        let id = events.id().0.clone();
        let state = State { events: Some(events), choices: Vec::new(), usage: None };
        let readers = Arc::new(Readers(Mutex::new("python.readers", Vec::new())));
        Stream { id, tokenizer, state: Mutex::new("python.stream", state), readers, process: process::id() }
    }

    /// The next piece; it rings the bell with this key when there is one later.
    fn poll_next(&self, bell: &Bell, key: u64) -> Poll<Next> {
        if process::id() != self.process {
            return Poll::Ready(Err(RequestError::Stopped));
        }
        let all = Waker::from(Arc::clone(&self.readers));
        let mut state = self.state.lock();
        if let Poll::Ready(next) = state.poll(&mut Context::from_waker(&all)) {
            return Poll::Ready(next);
        }
        self.readers.0.lock().push(bell.waker(key));
        // Once more: a piece that came in between has rung for the others only.
        state.poll(&mut Context::from_waker(&all))
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

    /// A `parkade.Chunk`.
    fn chunk<'py>(&self, py: Python<'py>, event: Event) -> PyResult<Bound<'py, PyAny>> {
        let class = py.import("parkade.answers")?.getattr("Chunk")?;
        match event {
            Event::Token { index, id, text, logprob } => {
                let logprob = logprob.map(|logprob| self.logprob(py, &logprob)).transpose()?;
                class.call1((text, index, id, logprob, None::<&str>))
            }
            Event::Finished { index, reason, text, .. } => {
                class.call1((text, index, None::<TokenId>, None::<&str>, reason.name()))
            }
            _ => class.call1(("",)),
        }
    }

    /// A `parkade.TokenLogprob`.
    fn logprob<'py>(&self, py: Python<'py>, logprob: &TokenLogprob) -> PyResult<Bound<'py, PyAny>> {
        let text = |id| self.tokenizer.decode(&[id]);
        let top = PyTuple::new(py, logprob.top.iter().map(|&(id, logprob)| (text(id), logprob)))?;
        let class = py.import("parkade.answers")?.getattr("TokenLogprob")?;
        class.call1((text(logprob.id), logprob.id, logprob.logprob, top))
    }

    fn whole<'py>(&self, py: Python<'py>, choices: Vec<Choice>, usage: Usage) -> PyResult<Bound<'py, PyAny>> {
        let answers = py.import("parkade.answers")?;
        let choice = |Choice { text, tokens, logprobs, finish }: Choice| {
            let logprobs = logprobs.iter().map(|logprob| self.logprob(py, logprob)).collect::<PyResult<Vec<_>>>()?;
            let parts = (text, PyTuple::new(py, tokens)?, PyTuple::new(py, logprobs)?, finish.map(FinishReason::name));
            answers.getattr("Choice")?.call1(parts)
        };
        let choices = choices.into_iter().map(choice).collect::<PyResult<Vec<_>>>()?;
        let usage = answers.getattr("Usage")?.call1((
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens,
            usage.queue.as_secs_f64(),
            usage.first_token.map(|time| time.as_secs_f64()),
            usage.total.as_secs_f64(),
            usage.parked,
        ))?;
        answers.getattr("Answer")?.call1((&self.id, PyTuple::new(py, choices)?, usage))
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
                Poll::Ready(Ok(event)) => return event.map(|event| self.chunk(py, event)).transpose(),
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
            Poll::Ready(Ok(Some(event))) => self.chunk(py, event).map(Some),
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
        let state = self.state.lock();
        let Some(usage) = state.usage else { return Ok(None) };
        let choices = state.choices.clone();
        drop(state);
        self.whole(py, choices, usage).map(Some)
    }

    /// Cancels the request, unless it has ended. No more pieces come.
    fn close(&self) {
        let events = mem::take(&mut self.state.lock().events);
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
