//! Hands the requests of one connection to the router.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tower::Service as _;

use super::door::Admission;
use super::presence::{Presence, Turn};
use super::sender::Sender;

/// The two ends of a connection. Each of its requests carries them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// Who sends.
    pub sender: Sender,
    /// By which address of this machine, if by any.
    pub local: Option<IpAddr>,
    /// What may be asked.
    pub admission: Admission,
}

/// Answers the requests of one connection.
pub(crate) struct Answerer {
    pub router: Router,
    pub ends: Ends,
    pub presence: Arc<Presence>,
}

impl hyper::service::Service<Request<Incoming>> for Answerer {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let turn = Turn(self.presence.clone());
        request.extensions_mut().insert(self.ends);
        // A router is always ready.
        let answering = self.router.clone().call(request);
        Box::pin(async move { Ok(answering.await?.map(|body| AnswerBody { body, _turn: turn })) })
    }
}

/// The body of an answer. With its end the server's turn is over.
pub(crate) struct AnswerBody {
    body: Body,
    _turn: Turn,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
