//! Requests of programs that have the engine in their own process: read as the server reads them where there are no keys.

use parkade_core::{FinishReason, Request, RequestStream, TokenLogprob, Usage};
use parkade_model::TokenId;
use serde_json::Value;

use super::encode::{self, Chat, Completions, Meter, finish_reason};
use super::parse::Embeddings;
use crate::access::Identity;
use crate::dialects::chat::{self, Turn};
use crate::dialects::request::Endpoint;
use crate::generate::{AppState, Deadlines, Sender, Task, TextOperation, wait_for_all};
use crate::http::ApiError;

/// Answers a body of `/v1/embeddings`, and returns when all is computed. `complete` puts in what is not the body's to say.
///
/// # Errors
/// The field that is at fault, or why the engine refuses or fails a text.
pub fn embeddings(state: &AppState, body: &Value, complete: impl Fn(&mut Request)) -> Result<Vec<u8>, ApiError> {
    let sender = Sender { identity: &Identity::ANONYMOUS, deadlines: Deadlines::default() };
    wait_for_all(Embeddings::read(state, body, &sender)?, complete)
}

impl Endpoint {
    /// Reads a body, and hands in a request for each of its prompts, all or none. `complete` puts in what is not the body's to say. It
    /// takes time in proportion to the body.
    ///
    /// # Errors
    /// The field that is at fault, or why the engine refuses it.
    pub fn submit(
        self,
        state: &AppState,
        body: &Value,
        complete: impl Fn(&mut Request),
    ) -> Result<Submitted, ApiError> {
        let (sender, deadlines) = (Identity::ANONYMOUS, Deadlines::default());
        let (task, form) = match self {
            Self::Chat => {
                let (task, chat) = Chat::read_with_encoder(state, body, &sender, deadlines)?;
                let form = AnswerForm { form: chat.form.clone(), reading: chat.reading.clone(), n: chat.n };
                (task, form)
            }
            Self::Completions => {
                let (task, texts) = Completions::read_with_encoder(state, body, &sender, deadlines)?;
                let form = AnswerForm { form: texts.form.clone(), reading: chat::Form::of_text(), n: texts.n };
                (task, form)
            }
        };
        let Task { model, requests, prompt_field, .. } = task.compile()?;
        let submit = |mut request| {
            complete(&mut request);
            model.engine.submit(request).map_err(|refusal| ApiError::from_refusal(refusal, prompt_field))
        };
        let streams = requests.into_iter().map(submit).collect::<Result<_, _>>()?;
        Ok(Submitted { streams, form })
    }
}

/// A body's requests as they were handed in.
pub struct Submitted {
    /// The answers to each prompt. Dropping one cancels its request.
    pub streams: Vec<RequestStream>,
    /// How they are read.
    pub form: AnswerForm,
}

/// How an answer is read, and what of it was asked for: what its events do not say.
#[derive(Clone)]
pub struct AnswerForm {
    form: encode::Form,
    reading: chat::Form,
    n: usize,
}

impl AnswerForm {
    /// What reads one answer, from its first token on.
    #[must_use]
    pub fn turn(&self) -> Turn {
        Turn::new(&self.reading)
    }

    /// The name of a call, by the answer's name, the choice, and the call's place in it.
    #[must_use]
    pub fn call_id(&self, answer: &str, choice: usize, call: usize) -> String {
        chat::call_id(&self.reading, answer, (choice, call))
    }

    /// OpenAI's `finish_reason` of an answer that has been read.
    #[must_use]
    pub fn finish_reason(&self, reason: FinishReason, turn: &Turn) -> &'static str {
        finish_reason(reason, turn.calls() > 0)
    }

    /// Those of the answers to a prompt that are given, in their order: the best of them, if more were generated.
    #[must_use]
    pub fn given<T>(&self, answers: Vec<T>, logprobs: impl Fn(&T) -> &[TokenLogprob]) -> Vec<T> {
        encode::best(answers, self.n, logprobs)
    }

    /// Whether log-probabilities of the answer's tokens were asked for.
    #[must_use]
    pub fn with_logprobs(&self) -> bool {
        self.form.with_logprobs
    }

    /// The text of a token by itself.
    #[must_use]
    pub fn token_text(&self, id: TokenId) -> String {
        self.form.model.tokenizer.decode(&[id])
    }

    /// The tokens of a prompt, if token ids were asked for.
    #[must_use]
    pub fn prompt_token_ids(&self, prompt: usize) -> Option<&[TokenId]> {
        self.form.details.prompt(prompt)
    }

    /// What measures an answer while it is read, if each piece of it is to say what was used so far.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        let details = &self.form.details;
        details.timings_per_token.then(|| Progress(Meter::new(details, 0)))
    }
}

/// What an answer has used so far.
pub struct Progress(Meter);

impl Progress {
    /// There is another token.
    pub fn token(&mut self) {
        self.0.token();
    }

    /// Tokens, and times since the request was handed in. What only the end tells is 0.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.usage()
    }
}
