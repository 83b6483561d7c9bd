//! Serving the API on a listener, and ending without breaking what runs.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use parkade_core::DrainWaiting;
use tokio::task::JoinSet;

use super::{inside, router_for};
use crate::access::Hosts;
use crate::dialects::error_body_at;
use crate::generate::AppState;
use crate::http::Listener;
use crate::http::listen::{LAST_WRITES, Server};
use crate::work;

/// Serves the API until `shutdown` completes and then drains: readiness turns false, new work is refused, running
/// requests end (or are cancelled after [`ServerConfig::drain_limit`](crate::ServerConfig::drain_limit)), and connections are closed.
///
/// # Errors
/// If a listener is unusable from the start. Errors of single connections end these connections only.
pub async fn serve(
    listeners: impl IntoIterator<Item = Listener>,
    state: AppState,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut routed = Vec::new();
    for listener in listeners {
        let address = listener.address()?;
        let hosts = Hosts::of(address.map(|address| address.ip()), state.config());
        tell_where(&listener, address, &hosts, &state);
        routed.push((listener, router_for(state.clone(), hosts)));
    }
    let mut server = Server::new(state.http().clone(), error_body_at(""));
    let work = work::start(&state, inside(state.clone()));
    server.accept_until(&routed, shutdown).await;

    state.begin_drain();
    tracing::info!("draining: no new work is taken, running requests end");
    // Connections are still accepted: probes see that the server is not ready, and new work is told to go elsewhere.
    let end = async {
        if let Some(work) = work {
            work.stop().await;
        }
        drain(state).await;
    };
    server.accept_until(&routed, end).await;
    drop(routed);
    server.close().await;
    tracing::info!("drained");
    Ok(())
}

fn tell_where(listener: &Listener, address: Option<SocketAddr>, hosts: &Hosts, state: &AppState) {
    let Some(address) = address else {
        tracing::info!(url = %listener, "listening");
        return;
    };
    tracing::info!(%address, url = %listener, "listening");
    if !hosts.on_loopback() && state.access().policy().keys.is_none() {
        tracing::warn!(
            %address,
            "whoever can reach this address may use the server: give it --api-keys, or let it listen on 127.0.0.1"
        );
    }
}

/// Ends all work. Complete when the last response was handed to its connection, or soon after the engines gave up.
async fn drain(state: AppState) {
    let (limit, in_line) = (state.config().drain_limit, state.config().drain_waiting);
    let began = Instant::now();
    if in_line == DrainWaiting::Finish {
        // A body's texts are handed in a few at a time, and an engine that drains takes no more of them.
        let _ = tokio::time::timeout(limit, state.texts_in_hand().none()).await;
    }
    let limit = limit.saturating_sub(began.elapsed());
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
