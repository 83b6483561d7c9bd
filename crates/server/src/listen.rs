//! Accepting connections, bounding what each may take, and ending without breaking what runs.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::access::Hosts;
use crate::config::ServerConfig;
use crate::connection::{Answerer, Ends};
use crate::errors::ApiError;
use crate::routes;
use crate::stall::StallGuard;
use crate::state::AppState;

/// How long connections may take to deliver what is already written when all work has ended.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// How long to wait after an error of `accept` that will not go away at once (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections above the limit are told so at the same time; those above are closed without a word.
const REFUSALS: usize = 64;

/// How long a refused connection may take to read its answer.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// When a client above the connection limit should come back.
const CONNECTION_RETRY: Duration = Duration::from_secs(1);

/// Serves the API until `shutdown` completes and then drains: readiness turns false, new work is refused, running
/// requests end (or are cancelled after [`ServerConfig::drain_limit`]), and connections are closed.
///
/// # Errors
/// If the listener is unusable from the start. Errors of single connections end these connections only.
pub async fn serve(listener: TcpListener, state: AppState, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "listening");
    let config = state.config().clone();
    let hosts = Hosts::of(address.ip(), &config);
    if !hosts.on_loopback() && state.policy().keys.is_none() {
        tracing::warn!(
            %address,
            "whoever can reach this address may use the server: give it --api-keys, or let it listen on 127.0.0.1"
        );
    }
    let (close, closing) = watch::channel(false);
    let mut server = Server {
        builder: builder(&config),
        router: routes::router_for(state.clone(), hosts),
        slots: Arc::new(Semaphore::new(config.max_connections)),
        refusals: Arc::new(Semaphore::new(REFUSALS)),
        connections: JoinSet::new(),
        closing,
        config,
        state: state.clone(),
    };
    server.accept_until(&listener, shutdown).await;

    state.begin_drain();
    tracing::info!("draining: no new work is taken, running requests end");
    // Connections are still accepted: probes see that the server is not ready, and new work is told to go elsewhere.
    server.accept_until(&listener, drain(state)).await;
    drop(listener);
    // Nobody listens any more when there was no connection: that is no error.
    let _unheard = close.send(true);
    let all_closed = async { while server.connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_WRITES, all_closed).await.is_err() {
        tracing::warn!(connections = server.connections.len(), "closing connections whose clients do not read");
        server.connections.shutdown().await;
    }
    tracing::info!("drained");
    Ok(())
}

/// Ends all work. Complete when the last response was handed to its connection, or soon after the engines gave up.
async fn drain(state: AppState) {
    let (limit, in_line) = (state.config().drain_limit, state.config().drain_in_line);
    let engines: Vec<_> = state.models().iter().map(|m| m.engine.clone()).collect();
    let mut drains = JoinSet::new();
    for engine in engines {
        drains.spawn_blocking(move || engine.drain_with(limit, in_line));
    }
    // An engine cancels what is left at the limit; should one hang nevertheless, the process ends all the same.
    let all = async { while drains.join_next().await.is_some() {} };
    if tokio::time::timeout(limit + LAST_WRITES, all).await.is_err() {
        tracing::error!("an engine did not end in time");
        drains.detach_all();
    }
}

fn builder(config: &ServerConfig) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_headers(config.max_headers)
        .max_header_size(config.max_header_bytes)
        .max_buf_size(config.max_header_bytes)
        // A client that closes its side has left: its work is cancelled.
        .half_close(false);
    builder
}

struct Server {
    builder: http1::Builder,
    router: Router,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    connections: JoinSet<()>,
    closing: watch::Receiver<bool>,
    config: ServerConfig,
    state: AppState,
}

impl Server {
    async fn accept_until(&mut self, listener: &TcpListener, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => self.take(socket, peer.ip()),
                    Err(error) => accept_failed(&error).await,
                },
                // Finished connections are forgotten as they end.
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    fn take(&mut self, socket: TcpStream, peer: IpAddr) {
        // Each token is its own small write: waiting to fill a packet would delay it.
        let _unsupported = socket.set_nodelay(true);
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            self.refuse(socket);
            return;
        };
        let counted = self.state.metrics().connected();
        // A socket without an address of its own is gone already, and reading will say so.
        let local = socket.local_addr().map_or(peer, |address| address.ip());
        let io = TokioIo::new(StallGuard::new(socket, self.config.write_timeout));
        let service = Answerer { router: self.router.clone(), ends: Ends { local } };
        let connection = self.builder.serve_connection(io, service);
        let mut closing = self.closing.clone();
        self.connections.spawn(async move {
            let _held = (slot, counted);
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

    /// Tells a connection above the limit that it is one.
    fn refuse(&mut self, socket: TcpStream) {
        self.state.metrics().refused_connection();
        let Ok(permit) = self.refusals.clone().try_acquire_owned() else {
            return;
        };
        let limit = self.config.max_connections;
        self.connections.spawn(async move {
            let _held = permit;
            let message = format!("the server has reached its limit of {limit} connections; reuse them");
            let told = tell(socket, ApiError::overloaded(message, CONNECTION_RETRY));
            // Whether the client heard it changes nothing: the connection is closed.
            let _heard = tokio::time::timeout(REFUSAL_TIME, told).await;
        });
    }
}

async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    // The client was gone before it was accepted.
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::error!(%error, "no connection could be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Writes an error to a connection that gets no more than that.
async fn tell(mut socket: TcpStream, error: ApiError) -> io::Result<()> {
    let body = error.envelope().to_string();
    let response = error.into_response();
    let mut text = format!("HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        if name != axum::http::header::CONTENT_LENGTH {
            let value = value.to_str().unwrap_or_default();
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()));
    socket.write_all(text.as_bytes()).await?;
    socket.shutdown().await?;
    // What the client has sent must be read, or closing would reset the connection before the answer is seen.
    let mut sent = [0; 4096];
    while socket.read(&mut sent).await? > 0 {}
    Ok(())
}
