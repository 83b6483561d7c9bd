//! Accepting connections, bounding what each may take, and ending without breaking what runs.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::ServerConfig;
use crate::http::connection::{Answerer, Door, Gate};
use crate::http::listener::{Accepted, Limits, Listener};
use crate::http::{Admission, Ends, ErrorBody, HttpState};

/// How long connections may take to deliver what is already written when all work has ended.
pub(crate) const LAST_WRITES: Duration = Duration::from_secs(5);

/// How long to wait after an error of `accept` that will not go away at once (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn builder(config: &ServerConfig) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The gate sees to it.
        .header_read_timeout(None)
        .max_headers(config.max_headers)
        .max_header_size(config.max_header_bytes)
        .max_buf_size(config.max_header_bytes)
        // A client that closes its side has left: its work is cancelled.
        .half_close(false);
    builder
}

/// The next connection of any listener, and the router that it is for. The look begins at number `next`, so that no listener waits for another.
async fn accept<'a>(
    listeners: &'a [(Listener, Router)],
    next: &mut usize,
    limits: Limits,
) -> (&'a Router, io::Result<Accepted>) {
    poll_fn(|cx| {
        for turn in 0..listeners.len() {
            let number = (*next + turn) % listeners.len();
            let (listener, router) = &listeners[number];
            if let Poll::Ready(accepted) = listener.poll_accept(cx, limits) {
                *next = number + 1;
                return Poll::Ready((router, accepted));
            }
        }
        Poll::Pending
    })
    .await
}

/// The connections of a router.
pub(crate) struct Server {
    builder: http1::Builder,
    limits: Limits,
    door: Arc<Door>,
    connections: JoinSet<()>,
    closing: watch::Sender<bool>,
    http: Arc<HttpState>,
    error_body: ErrorBody,
}

impl Server {
    /// `error_body` writes what is refused before it has a path.
    pub fn new(http: Arc<HttpState>, error_body: ErrorBody) -> Self {
        Self {
            builder: builder(&http.config),
            limits: Limits { write: http.config.write_timeout, handshake: http.config.handshake_timeout },
            door: Door::new(http.clone()),
            connections: JoinSet::new(),
            closing: watch::Sender::new(false),
            http,
            error_body,
        }
    }

    /// Ends all connections, those whose clients do not read by force.
    pub async fn close(mut self) {
        self.closing.send_replace(true);
        let all_closed = async { while self.connections.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WRITES, all_closed).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "closing connections whose clients do not read");
            self.connections.shutdown().await;
        }
    }

    /// Takes connections until `end` completes, each for the router of its listener.
    pub async fn accept_until(&mut self, listeners: &[(Listener, Router)], end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        let (mut next, limits) = (0, self.limits);
        loop {
            tokio::select! {
                () = &mut end => return,
                (router, accepted) = accept(listeners, &mut next, limits) => match accepted {
                    Ok(accepted) => self.take(accepted, router),
                    Err(error) => self.accept_failed(&error).await,
                },
                // Finished connections are forgotten as they end.
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    fn take(&mut self, accepted: Accepted, router: &Router) {
        let Accepted { socket, sender, local } = accepted;
        let Some(place) = self.door.admit(sender, Instant::now()) else { return };
        let counted = self.http.metrics.connected();
        let (admission, presence) = (place.admission, place.presence.clone());
        let io = TokioIo::new(Gate::new(socket, self.http.clone(), presence.clone(), self.error_body));
        let service = Answerer { router: router.clone(), ends: Ends { sender, local, admission }, presence };
        let mut builder = self.builder.clone();
        builder.keep_alive(admission == Admission::Full);
        let connection = builder.serve_connection(io, service);
        let mut closing = self.closing.subscribe();
        self.connections.spawn(async move {
            let _held = (place, counted);
            let mut connection = pin!(connection);
            // A server that is gone closes its connections too.
            let closing = async { closing.wait_for(|closing| *closing).await.is_ok() };
            let ended = tokio::select! {
                ended = &mut connection => ended,
                _ = closing => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended with an error");
            }
        });
    }

    async fn accept_failed(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        // The client was gone before it was accepted.
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return;
        }
        // Most likely the process may have no more files: an idle connection is one.
        let made_room = self.door.make_room(Instant::now());
        tracing::error!(%error, made_room, "no connection could be accepted");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
