//! One client: what it asked for, what it has to get, what it has got.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parkade_core::parking_lot::AttachedStream;
use parkade_core::{Event, FinishReason, Request, RequestError, RequestId, RequestStream, TokenId};

use crate::machine::{END, MUTE, PANICS, Text};

/// The whole truth about an answer, told by the machine's rules alone.
#[derive(Clone, Debug)]
pub struct Expected {
    pub tokens: Vec<TokenId>,
    /// What it ends with once all tokens are there.
    pub end: Result<FinishReason, &'static str>,
}

impl Expected {
    pub fn of(request: &Request) -> Expected {
        let mut text = Text::of(&request.prompt);
        let mut tokens = Vec::new();
        let most = request.max_tokens.unwrap();
        loop {
            if tokens.len() == most {
                return Expected { tokens, end: Ok(FinishReason::Length) };
            }
            let Some(next) = text.next() else { return Expected { tokens, end: Err("no logits") } };
            match next {
                END => return Expected { tokens, end: Ok(FinishReason::Stop) },
                MUTE => return Expected { tokens, end: Err("text") },
                PANICS => return Expected { tokens, end: Err("panic") },
                plain => tokens.push(plain),
            }
            text = text.then(next);
        }
    }
}

/// One reader's way through the events.
struct Reader {
    /// For each answer: how many tokens it has had, and whether it is finished.
    answers: Vec<(usize, bool)>,
    last: Option<Event>,
}

pub struct Client {
    pub id: RequestId,
    pub stream: Option<RequestStream>,
    pub attached: Option<AttachedStream>,
    /// How often it looks for events.
    pub pace: Duration,
    born: Instant,
    deadline: Option<Instant>,
    first_deadline: Option<Instant>,
    expected: Expected,
    own: Reader,
    along: Reader,
    pub cancelled: bool,
    pub left: bool,
    /// It has left its request to itself, and has not begun to read along.
    pub detached: bool,
    /// A fault of the machine while it was there.
    pub faults: bool,
}

/// Whoever is served at all is served by then, however slowly he reads.
const LONGEST_LIFE: Duration = Duration::from_secs(120);

/// A reader in the middle of a step may hear of its deadline only when the step is over.
const LONGEST_STEP: Duration = Duration::from_millis(60);

impl Client {
    pub fn new(request: &Request, expected: Expected, stream: RequestStream, pace: Duration, now: Instant) -> Client {
        let reader = || Reader { answers: vec![(0, false); request.n], last: None };
        Client {
            id: request.id.clone(),
            stream: Some(stream),
            attached: None,
            pace,
            born: now,
            deadline: request.timeout.map(|timeout| now + timeout),
            first_deadline: request.ttft_slo.map(|slo| now + slo),
            expected,
            own: reader(),
            along: reader(),
            cancelled: false,
            left: false,
            detached: false,
            faults: false,
        }
    }

    /// Reads what is there. True if it has had its last event.
    pub fn reads(&mut self) -> bool {
        if let Some(mut stream) = self.stream.take() {
            while let Some(event) = stream.try_next() {
                self.takes(event, false);
            }
            self.stream = Some(stream);
        }
        if let Some(mut attached) = self.attached.take() {
            loop {
                let poll = pin!(attached.next()).poll(&mut Context::from_waker(Waker::noop()));
                match poll {
                    Poll::Ready(Some(event)) => {
                        let (_, event) = event.expect("nothing is forgotten so soon");
                        self.takes(event, true);
                    }
                    Poll::Ready(None) => assert!(self.along.last.is_some(), "{} ended without a last event", self.id),
                    Poll::Pending => break,
                }
                if self.along.last.is_some() {
                    break;
                }
            }
            self.attached = Some(attached);
            self.detached = false;
        }
        self.is_over()
    }

    /// Whether all who read have had the last event, or nobody reads any more.
    pub fn is_over(&self) -> bool {
        let own = self.stream.is_none() || self.own.last.is_some();
        let along = self.attached.is_none() || self.along.last.is_some();
        own && along && !self.detached
    }

    /// How it ended, as its readers know it.
    pub fn ending(&self) -> Option<&Event> {
        self.own.last.as_ref().or(self.along.last.as_ref())
    }

    fn takes(&mut self, event: Event, along: bool) {
        let id = self.id.clone();
        let reader = if along { &mut self.along } else { &mut self.own };
        assert_eq!(reader.last, None, "{id}: something came after the last event: {event:?}");
        match &event {
            Event::Token { index, id: token, .. } => {
                let (had, finished) = &mut reader.answers[*index];
                assert!(!*finished, "{id}: a token came after the finish");
                assert_eq!(self.expected.tokens.get(*had), Some(token), "{id}: token {had} of answer {index}");
                *had += 1;
            }
            Event::Finished { index, reason, .. } => {
                let (had, finished) = &mut reader.answers[*index];
                assert!(!std::mem::replace(finished, true), "{id}: answer {index} finished twice");
                assert_eq!(Ok(*reason), self.expected.end, "{id}: answer {index}");
                assert_eq!(*had, self.expected.tokens.len(), "{id}: answer {index} is not whole");
            }
            Event::Done(usage) => {
                assert!(reader.answers.iter().all(|&(_, finished)| finished), "{id}: done before it was finished");
                assert!(usage.completion_tokens >= self.expected.tokens.len(), "{id}: {usage:?}");
                reader.last = Some(event);
            }
            Event::Failed(error) => {
                let (had, _) = reader.answers.iter().copied().max().unwrap();
                let whole = had == self.expected.tokens.len();
                match error {
                    RequestError::Cancelled => assert!(self.cancelled || self.left, "{id} was cancelled by nobody"),
                    RequestError::Deadline { .. } => {
                        let dated = self.deadline.is_some() || self.first_deadline.is_some();
                        assert!(dated, "{id} has no deadline");
                    }
                    RequestError::NoLogits => assert!(self.expected.end == Err("no logits") && whole, "{id}"),
                    RequestError::Text { .. } => assert!(self.expected.end == Err("text") && whole, "{id}"),
                    RequestError::Panicked { .. } => {
                        assert!((self.expected.end == Err("panic") && whole) || self.faults, "{id}");
                    }
                    RequestError::Forward { .. } => assert!(self.faults, "{id}: no pass failed"),
                    other => panic!("{id} failed: {other}"),
                }
                reader.last = Some(event);
            }
            other => panic!("{id}: nobody asked for {other:?}"),
        }
    }

    /// Nobody is forgotten.
    pub fn check_life(&self, now: Instant) {
        assert!(now <= self.born + LONGEST_LIFE, "{} is here for ever", self.id);
    }

    /// Nobody is kept after his deadline: but for the step in flight he has had his end.
    pub fn check_deadline(&self, now: Instant, has_ended: bool) {
        if let Some(deadline) = self.deadline {
            assert!(has_ended || now <= deadline + LONGEST_STEP, "{} is past its deadline and goes on", self.id);
        }
    }
}
