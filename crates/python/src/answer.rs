//! An answer as it is read from the engine's events: text, thoughts and calls apart.

use std::pin::pin;
use std::task::{Context, Poll};

use parkade_core::{Event, RequestError, RequestStream, TokenId, TokenLogprob, Usage};
use parkade_server::{AnswerForm, Answered, Piece, Progress, Turn};

/// All that was read of the answers to one prompt.
pub(crate) struct Answer {
    /// None once it has ended or was closed.
    events: Option<RequestStream>,
    form: AnswerForm,
    choices: Vec<Choice>,
    prompt_logprobs: Vec<Option<TokenLogprob>>,
    progress: Option<Progress>,
    /// What it used, when it is complete.
    usage: Option<Usage>,
}

/// One of several answers while it is read.
struct Choice {
    turn: Turn,
    answered: Answered,
    tokens: Vec<TokenId>,
    logprobs: Vec<TokenLogprob>,
    finish: Option<&'static str>,
}

/// One answer that is complete.
#[derive(Clone)]
pub(crate) struct Complete {
    pub answered: Answered,
    pub tokens: Vec<TokenId>,
    pub logprobs: Vec<TokenLogprob>,
    pub finish: Option<&'static str>,
}

/// All answers to a prompt when they are complete.
pub(crate) struct Whole {
    pub choices: Vec<Complete>,
    pub prompt_logprobs: Vec<Option<TokenLogprob>>,
    pub prompt_tokens: Option<Vec<TokenId>>,
    pub usage: Usage,
}

/// What one token brought, or the end of one answer.
pub(crate) struct Step {
    pub index: usize,
    pub pieces: Vec<Piece>,
    pub token: Option<TokenId>,
    pub logprob: Option<TokenLogprob>,
    pub finish: Option<&'static str>,
    /// What was used so far, if that is wanted.
    pub usage: Option<Usage>,
}

/// What a reader is given next: what a token brought, or `None` at the end.
pub(crate) type Next = Result<Option<Step>, RequestError>;

impl Answer {
    pub fn new(events: RequestStream, form: AnswerForm) -> Answer {
        let progress = form.progress();
        Answer { events: Some(events), form, choices: Vec::new(), prompt_logprobs: Vec::new(), progress, usage: None }
    }

    /// The next step; ready with `None` at the end, also when it was left.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        loop {
            let Some(events) = &mut self.events else { return Poll::Ready(Ok(None)) };
            let event = match pin!(events.next()).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(event) => event.unwrap_or(Event::Failed(RequestError::Stopped)),
            };
            if let Some(next) = self.take(event) {
                return Poll::Ready(next);
            }
        }
    }

    /// Takes an event; nothing if it is none that readers are told of.
    fn take(&mut self, event: Event) -> Option<Next> {
        let mut pieces = Vec::new();
        match event {
            Event::Token { index, id, text, logprob } => {
                // Answers may be ranked by what nobody has asked for.
                let is_told = self.form.with_logprobs();
                let usage = self.progress.as_mut().map(|progress| {
                    progress.token();
                    progress.usage()
                });
                let choice = self.choice(index);
                choice.turn.token(&text, &mut pieces);
                choice.add(&pieces);
                choice.tokens.push(id);
                choice.logprobs.extend(logprob.clone());
                let logprob = logprob.filter(|_| is_told);
                Some(Ok(Some(Step { index, pieces, token: Some(id), logprob, finish: None, usage })))
            }
            Event::Finished { index, reason, text, .. } => {
                let form = self.form.clone();
                let choice = self.choice(index);
                choice.turn.finish(&text, reason, &mut pieces);
                choice.add(&pieces);
                choice.finish = Some(form.finish_reason(reason, &choice.turn));
                let finish = choice.finish;
                let usage = self.progress.as_ref().map(Progress::usage);
                Some(Ok(Some(Step { index, pieces, token: None, logprob: None, finish, usage })))
            }
            Event::PromptLogprobs(logprobs) => {
                self.prompt_logprobs = logprobs;
                None
            }
            Event::Done(usage) => {
                self.events = None;
                self.usage = Some(usage);
                Some(Ok(None))
            }
            Event::Failed(error) => {
                self.events = None;
                Some(Err(error))
            }
            _ => None,
        }
    }

    /// Leaves it: what still comes is not read. Dropping the stream cancels its request.
    pub fn leave(&mut self) -> Option<RequestStream> {
        self.events.take()
    }

    /// The whole, once all of it has been read.
    pub fn whole(&self) -> Option<Whole> {
        let usage = self.usage?;
        let choices = self.choices.iter().map(Choice::complete).collect();
        let mut choices = self.form.given(choices, |choice: &Complete| &choice.logprobs);
        if !self.form.with_logprobs() {
            choices.iter_mut().for_each(|choice| choice.logprobs.clear());
        }
        Some(Whole {
            choices,
            prompt_logprobs: self.prompt_logprobs.clone(),
            prompt_tokens: self.form.prompt_token_ids(0).map(<[TokenId]>::to_vec),
            usage,
        })
    }

    fn choice(&mut self, index: usize) -> &mut Choice {
        if self.choices.len() <= index {
            let form = &self.form;
            self.choices.resize_with(index + 1, || Choice::new(form.turn()));
        }
        &mut self.choices[index]
    }
}

impl Choice {
    fn new(turn: Turn) -> Choice {
        Choice { turn, answered: Answered::default(), tokens: Vec::new(), logprobs: Vec::new(), finish: None }
    }

    fn add(&mut self, pieces: &[Piece]) {
        pieces.iter().for_each(|piece| self.answered.add(piece.clone()));
        self.answered.thought_tokens = self.turn.thought_tokens();
    }

    fn complete(&self) -> Complete {
        Complete {
            answered: self.answered.clone(),
            tokens: self.tokens.clone(),
            logprobs: self.logprobs.clone(),
            finish: self.finish,
        }
    }
}
