//! Between a socket and the HTTP library: the library sees one request at a time, and only heads that are in order.
//!
//! So the gate knows what the connection waits for. A client may take long between two requests, but not for a head that
//! it has begun; an idle connection can be given up for another one; and what is wrong with a head is said in full.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::framing::Framing;
use super::head::{self, Head, HeadLimits};
use super::presence::{Phase, Presence};
use super::refusal;
use crate::http::tls_socket::HandshakeFailed;
use crate::http::{ApiError, ErrorBody, HttpState, Retry};

/// How much is read from the socket at once.
const PIECE: usize = 8 << 10;

/// What the body of a connection that is given up fails with.
#[derive(Debug, thiserror::Error)]
#[error("the body stood still while other connections waited for a place")]
pub(crate) struct StoodStill;

/// A socket whose requests are checked before they are read.
pub(crate) struct Gate<S> {
    socket: S,
    http: Arc<HttpState>,
    presence: Arc<Presence>,
    error_body: ErrorBody,
    limits: HeadLimits,
    idle_timeout: Duration,
    head_timeout: Duration,
    /// What has come and was not handed on.
    unread: BytesMut,
    /// How many bytes at its front may be handed on.
    open: usize,
    /// The rest of the body that comes now.
    body: Option<Framing>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Nothing is handed on any more.
    ended: bool,
    /// What is still to be said before the socket is closed.
    last_words: Bytes,
}

impl<S> Gate<S> {
    pub fn new(socket: S, http: Arc<HttpState>, presence: Arc<Presence>, error_body: ErrorBody) -> Self {
        let config = &http.config;
        let limits =
            HeadLimits { bytes: config.max_header_bytes, fields: config.max_headers, body: config.max_body_bytes };
        Self {
            socket,
            presence,
            error_body,
            limits,
            idle_timeout: config.idle_timeout,
            head_timeout: config.header_timeout,
            http,
            unread: BytesMut::new(),
            open: 0,
            body: None,
            timer: None,
            ended: false,
            last_words: Bytes::new(),
        }
    }

    /// Opens the gate for as much of what has come as belongs to the request that comes now.
    fn open_for_request(&mut self) {
        if let Some(body) = &mut self.body {
            self.open = body.take(&self.unread);
            let is_complete = body.is_complete();
            if self.open > 0 {
                self.presence.body_comes(is_complete, Instant::now());
            }
            if is_complete {
                self.body = None;
            }
            return;
        }
        if self.unread.is_empty() {
            return;
        }
        self.presence.head_begins(Instant::now());
        match head::read(&self.unread, &self.limits) {
            Ok(Head::Partial) => {}
            Ok(Head::Complete { length, body }) => {
                if self.presence.request_begins(body.is_some(), Instant::now()) {
                    self.open = length;
                    self.body = body;
                } else {
                    self.ended = true;
                }
            }
            Err(error) => self.refuse(error),
        }
    }

    fn refuse(&mut self, error: ApiError) {
        // It never reaches a handler: it is counted here.
        self.http.metrics.refused_head(error.status().as_u16(), error.code());
        tracing::debug!(%error, "a request was refused by its head");
        self.last_words = refusal::on_the_wire(error, self.error_body);
        self.ended = true;
    }

    /// Reading has failed. Whoever speaks plain HTTP where TLS is spoken is told so.
    fn failed(&mut self, error: io::Error) -> io::Result<()> {
        let Some(failed) = HandshakeFailed::of(&error) else { return Err(error) };
        self.http.metrics.failed_handshake(failed.reason());
        if !matches!(failed, HandshakeFailed::Plain) {
            return Err(error);
        }
        let message =
            "the request is not TLS but plain HTTP, and this server speaks TLS here: use https:// and not http://";
        self.refuse(ApiError::malformed(message));
        Ok(())
    }

    /// Ends the connection if its client has taken too long.
    fn check_time(&mut self, cx: &mut Context<'_>) {
        let phase = self.presence.phase();
        let deadline = match phase {
            Phase::Idle { since } => since + self.idle_timeout,
            Phase::Head { since } => since + self.head_timeout,
            Phase::Body { .. } | Phase::Answering | Phase::GivenUp => return,
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        if timer.as_mut().poll(cx).is_ready() {
            match phase {
                Phase::Head { .. } => self.refuse(head_timeout(self.head_timeout)),
                _ => self.ended = true,
            }
        }
    }
}

fn head_timeout(limit: Duration) -> ApiError {
    let message = format!("the request's head did not arrive within {} s", limit.as_secs_f32());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "head_timeout", message, Retry::Now)
}

impl<S: AsyncRead + Unpin> Gate<S> {
    /// Reads more from the socket; how much. While an answer is on its way no more is kept than a head may have.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let before = self.unread.len();
        if before >= self.limits.bytes {
            return Poll::Pending;
        }
        self.unread.resize(before + PIECE.min(self.limits.bytes - before), 0);
        let mut piece = ReadBuf::new(&mut self.unread[before..]);
        let read = Pin::new(&mut self.socket).poll_read(cx, &mut piece);
        let count = piece.filled().len();
        self.unread.truncate(before + count);
        read.map_ok(|()| count)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = &mut *self;
        loop {
            if gate.open > 0 {
                let count = gate.open.min(out.remaining());
                out.put_slice(&gate.unread[..count]);
                gate.unread.advance(count);
                gate.open -= count;
                return Poll::Ready(Ok(()));
            }
            if gate.ended {
                return Poll::Ready(Ok(()));
            }
            match gate.presence.watch(cx.waker()) {
                Phase::GivenUp if gate.body.is_some() => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, StoodStill)));
                }
                Phase::GivenUp => {
                    gate.ended = true;
                    continue;
                }
                // The next request waits for its turn; only the client's end is looked for.
                Phase::Answering if gate.body.is_none() => {}
                _ => {
                    gate.open_for_request();
                    if gate.open == 0 && gate.body.is_none() && !gate.ended {
                        gate.check_time(cx);
                    }
                    if gate.open > 0 || gate.ended {
                        continue;
                    }
                }
            }
            match ready!(gate.fill(cx)) {
                Ok(0) => gate.ended = true,
                Ok(_) => {}
                Err(error) => gate.failed(error)?,
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// The library has written all that it had to say: now it is the gate's turn.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = &mut *self;
        while !gate.last_words.is_empty() {
            match ready!(Pin::new(&mut gate.socket).poll_write(cx, &gate.last_words))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => gate.last_words.advance(count),
            }
        }
        match gate.presence.watch(cx.waker()) {
            // Its place is somebody else's: it is not waited for.
            Phase::GivenUp => Poll::Ready(Ok(())),
            _ => Pin::new(&mut gate.socket).poll_shutdown(cx),
        }
    }
}
