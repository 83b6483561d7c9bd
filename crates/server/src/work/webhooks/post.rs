//! One attempt to tell a webhook: a `POST` over a connection of its own, to an address that was looked at.
//!
//! No proxy, no cookies, and no redirects: where an event goes is what its operator has said, and nobody else can say it.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, Request, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parkade_store::Delivery;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::resolve;
use crate::access::Webhook;

/// How long an attempt may take, from the name's resolution to the head of the response.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest head of a response, in bytes. Its body is not read.
const LONGEST_HEAD: usize = 16 << 10;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Certificates that Mozilla's root programme trusts.
static TLS: LazyLock<Result<TlsConnector, String>> = LazyLock::new(|| {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
});

/// Tells a webhook of an event. What it answers is given back.
///
/// # Errors
/// Why there is no answer.
pub(super) async fn post(
    webhook: &Webhook,
    event: &Delivery,
    timestamp: u64,
    allow_private: bool,
) -> Result<StatusCode, String> {
    match tokio::time::timeout(PATIENCE, exchange(webhook, event, timestamp, allow_private)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
    }
}

async fn exchange(
    webhook: &Webhook,
    event: &Delivery,
    timestamp: u64,
    allow_private: bool,
) -> Result<StatusCode, String> {
    let addresses = resolve::addresses(webhook.host(), webhook.port(), allow_private).await.map_err(in_words)?;
    let stream = TcpStream::connect(&addresses[..]).await.map_err(in_words)?;
    let request = request(webhook, event, timestamp)?;
    if !webhook.is_encrypted() {
        return send(stream, request).await;
    }
    let name = ServerName::try_from(webhook.host().to_owned()).map_err(|error| error.to_string())?;
    let tls = TLS.as_ref().map_err(Clone::clone)?;
    send(tls.connect(name, stream).await.map_err(in_words)?, request).await
}

fn in_words(error: io::Error) -> String {
    error.to_string()
}

fn request(webhook: &Webhook, event: &Delivery, timestamp: u64) -> Result<Request<Body>, String> {
    let request = Request::post(webhook.path())
        .header(header::HOST, webhook.authority())
        .header(header::USER_AGENT, concat!("parkade/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .header(ID, &event.id)
        .header(TIMESTAMP, timestamp)
        .header(SIGNATURE, webhook.signature(&event.id, timestamp, &event.payload))
        .body(Body::from(event.payload.clone()));
    request.map_err(|error| error.to_string())
}

/// Sends a request, and reads the head of what is answered.
async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
) -> Result<StatusCode, String> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(LONGEST_HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let answering = sender.send_request(request);
    tokio::pin!(connection, answering);
    // Both end with this attempt, whatever the receiver goes on to send.
    let answer = tokio::select! {
        answer = &mut answering => answer,
        ended = &mut connection => match ended {
            Ok(()) => answering.await,
            Err(error) => Err(error),
        },
    };
    answer.map(|answer| answer.status()).map_err(|error| error.to_string())
}
