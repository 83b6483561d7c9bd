//! What was read of an answer, as the classes of `parkade.answers`.

use std::time::Duration;

use parkade_core::{TokenId, TokenLogprob, Usage};
use parkade_server::{AnswerForm, Piece};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::answer::{Complete, Step, Whole};

/// Makes values for Python of one request's answers.
pub(crate) struct Values {
    /// The request's name.
    id: String,
    form: AnswerForm,
}

impl Values {
    pub fn new(id: &str, form: AnswerForm) -> Values {
        Values { id: id.to_owned(), form }
    }

    /// A `parkade.Chunk`.
    pub fn chunk<'py>(&self, py: Python<'py>, step: Step) -> PyResult<Bound<'py, PyAny>> {
        let Step { index, pieces, token, logprob, finish, usage } = step;
        let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Text(more) => text += &more,
                Piece::Reasoning(more) => reasoning += &more,
                Piece::Call { index: call, name } => {
                    let id = self.form.call_id(&self.id, index, call);
                    calls.push(class(py, "ToolCallChunk")?.call1((call, Some(id), Some(name), ""))?);
                }
                Piece::Arguments { index: call, text } => {
                    calls.push(class(py, "ToolCallChunk")?.call1((call, None::<&str>, None::<&str>, text))?);
                }
                Piece::End { .. } => {}
            }
        }
        let logprob = logprob.map(|logprob| self.logprob(py, &logprob)).transpose()?;
        let usage = usage.map(|usage| of_usage(py, usage, 0)).transpose()?;
        class(py, "Chunk")?.call1((text, index, token, logprob, finish, reasoning, PyTuple::new(py, calls)?, usage))
    }

    /// A `parkade.Answer`.
    pub fn whole<'py>(&self, py: Python<'py>, whole: Whole) -> PyResult<Bound<'py, PyAny>> {
        let Whole { choices, prompt_logprobs, prompt_tokens, usage } = whole;
        let thoughts = choices.iter().map(|choice| choice.answered.thought_tokens).sum();
        let choices = choices.into_iter().enumerate().map(|(index, choice)| self.choice(py, index, choice));
        let choices = PyTuple::new(py, choices.collect::<PyResult<Vec<_>>>()?)?;
        let logprob = |token: &Option<TokenLogprob>| token.as_ref().map(|token| self.logprob(py, token)).transpose();
        let prompt_logprobs = prompt_logprobs.iter().map(logprob).collect::<PyResult<Vec<_>>>()?;
        let prompt_tokens = prompt_tokens.map(|tokens| PyTuple::new(py, tokens)).transpose()?;
        let usage = of_usage(py, usage, thoughts)?;
        let parts = (&self.id, choices, usage, PyTuple::new(py, prompt_logprobs)?, prompt_tokens);
        class(py, "Answer")?.call1(parts)
    }

    /// A `parkade.Choice`.
    fn choice<'py>(&self, py: Python<'py>, index: usize, choice: Complete) -> PyResult<Bound<'py, PyAny>> {
        let Complete { answered, tokens, logprobs, finish } = choice;
        let logprobs = logprobs.iter().map(|logprob| self.logprob(py, logprob)).collect::<PyResult<Vec<_>>>()?;
        let call = |(number, call): (usize, &parkade_server::Call)| {
            let id = self.form.call_id(&self.id, index, number);
            class(py, "ToolCall")?.call1((id, &call.name, &call.arguments))
        };
        let calls = answered.calls().enumerate().map(call).collect::<PyResult<Vec<_>>>()?;
        let parts = (
            answered.text(),
            PyTuple::new(py, tokens)?,
            PyTuple::new(py, logprobs)?,
            finish,
            answered.thoughts(),
            PyTuple::new(py, calls)?,
        );
        class(py, "Choice")?.call1(parts)
    }

    /// A `parkade.TokenLogprob`.
    fn logprob<'py>(&self, py: Python<'py>, logprob: &TokenLogprob) -> PyResult<Bound<'py, PyAny>> {
        let text = |id: TokenId| self.form.token_text(id);
        let top = PyTuple::new(py, logprob.top.iter().map(|&(id, logprob)| (text(id), logprob)))?;
        class(py, "TokenLogprob")?.call1((text(logprob.id), logprob.id, logprob.logprob, top))
    }
}

/// A `parkade.Usage`.
fn of_usage(py: Python<'_>, usage: Usage, thoughts: usize) -> PyResult<Bound<'_, PyAny>> {
    class(py, "Usage")?.call1((
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.queue.as_secs_f64(),
        usage.first_token.as_ref().map(Duration::as_secs_f64),
        usage.total.as_secs_f64(),
        usage.parked,
        thoughts,
    ))
}

/// A class of `parkade.answers`.
fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("parkade.answers")?.getattr(name)
}
