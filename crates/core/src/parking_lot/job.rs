//! One piece of inference and what becomes of it.

use crate::event::{Event, FinishReason, RequestError, Usage};
use crate::request::Request;
use crate::stream::RequestStream;
use parkade_grammar::Format;
use parkade_model::TokenId;
use serde::{Deserialize, Serialize};

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Token by token.
    Stream,
    /// In one piece, when it is complete.
    Whole,
}

/// A request and how its answer is wanted.
///
/// ```
/// use parkade_core::parking_lot::{Delivery, InferenceJob};
/// use parkade_core::{Class, Request};
///
/// let request = Request { class: Class::High, max_tokens: Some(64), ..Request::new("one", vec![1, 2, 3]) };
/// let job = InferenceJob::streaming(request);
/// assert_eq!(job.delivery, Delivery::Stream);
/// ```
#[derive(Clone, Debug)]
pub struct InferenceJob {
    /// What is asked.
    pub request: Request,
    /// How the answer is wanted.
    pub delivery: Delivery,
    /// What its answers may be, not compiled: the pool does that when the job is handed in, which takes up to a second. It stands for the
    /// request's own format in a job that was read.
    pub format: Option<Format>,
}

impl InferenceJob {
    /// A job whose answer is streamed.
    pub fn streaming(request: Request) -> Self {
        InferenceJob { request, delivery: Delivery::Stream, format: None }
    }

    /// A job whose answer comes in one piece.
    pub fn whole(request: Request) -> Self {
        InferenceJob { request, delivery: Delivery::Whole, format: None }
    }
}

impl InferenceResult {
    /// The same in one piece: a stream is read to its end.
    pub async fn collected(self) -> InferenceResult {
        let InferenceResult::Streaming(mut stream) = self else { return self };
        let mut collector = Collector::default();
        while let Some(event) = stream.next().await {
            if let Some(result) = collector.take(event) {
                return result;
            }
        }
        InferenceResult::Error(RequestError::Stopped)
    }

    /// The same once more; nothing of a stream, which has one reader.
    pub(super) fn copied(&self) -> Option<InferenceResult> {
        match self {
            InferenceResult::Complete(completion) => Some(InferenceResult::Complete(completion.clone())),
            InferenceResult::Error(error) => Some(InferenceResult::Error(error.clone())),
            InferenceResult::Streaming(_) => None,
        }
    }

    /// About as many bytes as it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        match self {
            InferenceResult::Complete(completion) => {
                let choice =
                    |choice: &Choice| choice.text.len() + size_of_val(&choice.tokens[..]) + size_of::<Choice>();
                completion.choices.iter().map(choice).sum()
            }
            InferenceResult::Streaming(_) | InferenceResult::Error(_) => size_of::<InferenceResult>(),
        }
    }
}

/// What becomes of a job that was not refused: [`InferenceWorkerPool::run`](super::InferenceWorkerPool::run) gives it.
///
/// ```
/// use parkade_core::Event;
/// use parkade_core::parking_lot::InferenceResult;
///
/// async fn show(result: InferenceResult) {
///     match result {
///         InferenceResult::Complete(completion) => println!("{}", completion.choices[0].text),
///         InferenceResult::Streaming(mut stream) => {
///             // It ends with exactly one `Done` or `Failed`; dropping it earlier cancels the request.
///             while let Some(event) = stream.next().await {
///                 if let Event::Token { text, .. } = event {
///                     print!("{text}");
///                 }
///             }
///         }
///         InferenceResult::Error(error) => println!("failed: {error}"),
///     }
/// }
/// ```
#[derive(Debug)]
pub enum InferenceResult {
    /// All answers, complete.
    Complete(Completion),
    /// The answers as they come.
    Streaming(RequestStream),
    /// It failed.
    Error(RequestError),
}

/// All answers of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// One for each of the request's `n`.
    pub choices: Vec<Choice>,
    /// What they used.
    pub usage: Usage,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Its text, without the stop string that ended it.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<TokenId>,
    /// Why it ended.
    pub finish: Option<FinishReason>,
}

/// Puts the events of one request together.
#[derive(Debug, Default)]
pub(super) struct Collector {
    choices: Vec<Choice>,
}

impl Collector {
    pub(super) fn new(n: usize) -> Self {
        Collector { choices: vec![Choice::default(); n] }
    }

    fn choice(&mut self, index: usize) -> &mut Choice {
        if index >= self.choices.len() {
            self.choices.resize_with(index + 1, Choice::default);
        }
        &mut self.choices[index]
    }

    /// Takes an event; the result, when it was the last one.
    pub(super) fn take(&mut self, event: Event) -> Option<InferenceResult> {
        match event {
            Event::Token { index, id, text, .. } => {
                let choice = self.choice(index);
                choice.tokens.push(id);
                choice.text.push_str(&text);
            }
            Event::Finished { index, reason, text, .. } => {
                let choice = self.choice(index);
                choice.text.push_str(&text);
                choice.finish = Some(reason);
            }
            Event::PromptLogprobs(_) | Event::PromptProgress(_) | Event::Embedding(_) => {}
            Event::Done(usage) => {
                let choices = std::mem::take(&mut self.choices);
                return Some(InferenceResult::Complete(Completion { choices, usage }));
            }
            Event::Failed(error) => return Some(InferenceResult::Error(error)),
        }
        None
    }
}
