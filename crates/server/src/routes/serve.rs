//! Serving the API on a listener, and ending without breaking what runs.

use std::future::Future;
use std::io;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::router_for;
use crate::access::Hosts;
use crate::dialects::error_body_at;
use crate::generate::AppState;
use crate::http::listen::{LAST_WRITES, Server};

/// Serves the API until `shutdown` completes and then drains: readiness turns false, new work is refused, running
/// requests end (or are cancelled after [`ServerConfig::drain_limit`](crate::ServerConfig::drain_limit)), and connections are closed.
///
/// # Errors
/// If the listener is unusable from the start. Errors of single connections end these connections only.
pub async fn serve(listener: TcpListener, state: AppState, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "listening");
    let hosts = Hosts::of(address.ip(), state.config());
    if !hosts.on_loopback() && state.access().policy().keys.is_none() {
        tracing::warn!(
            %address,
            "whoever can reach this address may use the server: give it --api-keys, or let it listen on 127.0.0.1"
        );
    }
    let mut server = Server::new(router_for(state.clone(), hosts), state.http().clone(), error_body_at(""));
    server.accept_until(&listener, shutdown).await;

    state.begin_drain();
    tracing::info!("draining: no new work is taken, running requests end");
    // Connections are still accepted: probes see that the server is not ready, and new work is told to go elsewhere.
    server.accept_until(&listener, drain(state)).await;
    drop(listener);
    server.close().await;
    tracing::info!("drained");
    Ok(())
}

/// Ends all work. Complete when the last response was handed to its connection, or soon after the engines gave up.
async fn drain(state: AppState) {
    let (limit, in_line) = (state.config().drain_limit, state.config().drain_waiting);
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
