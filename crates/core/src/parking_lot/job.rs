//! One piece of inference and what becomes of it.

use crate::event::{Event, FinishReason, RequestError, Usage};
use crate::request::Request;
use crate::stream::RequestStream;
use parkade_model::TokenId;

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl InferenceJob {
    /// A job whose answer is streamed.
    pub fn streaming(request: Request) -> Self {
        InferenceJob { request, delivery: Delivery::Stream }
    }

    /// A job whose answer comes in one piece.
    pub fn whole(request: Request) -> Self {
        InferenceJob { request, delivery: Delivery::Whole }
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
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// One for each of the request's `n`.
    pub choices: Vec<Choice>,
    /// What they used.
    pub usage: Usage,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// Its text, without the stop string that ended it.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<TokenId>,
    /// Why it ended.
    pub finish: Option<FinishReason>,
}

/// Puts the events of one request together.
#[derive(Debug)]
pub(super) struct Collector {
    choices: Vec<Choice>,
}

impl Collector {
    pub(super) fn new(n: usize) -> Self {
        Collector { choices: vec![Choice::default(); n] }
    }

    /// Takes an event; the result, when it was the last one.
    pub(super) fn take(&mut self, event: Event) -> Option<InferenceResult> {
        match event {
            Event::Token { index, id, text, .. } => {
                self.choices[index].tokens.push(id);
                self.choices[index].text.push_str(&text);
            }
            Event::Finished { index, reason, text, .. } => {
                self.choices[index].text.push_str(&text);
                self.choices[index].finish = Some(reason);
            }
            Event::PromptLogprobs(_) | Event::PromptProgress(_) | Event::Embedding(_) => {}
            Event::Done(usage) => {
                return Some(InferenceResult::Complete(Completion {
                    choices: std::mem::take(&mut self.choices),
                    usage,
                }));
            }
            Event::Failed(error) => return Some(InferenceResult::Error(error)),
        }
        None
    }
}
