//! TLS and Unix sockets: the same server, whose clients may leave, stall or stop in the middle of a handshake.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parkade_server::{Listener, ServerConfig, Tls, TlsError};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{COMPLETIONS, Running, read_to_end, read_until, start_on, state_over, wire_get, wire_post};
use parkade_core::EngineConfig;

const CLOSE: &str = "connection: close\r\n";

/// A certificate for localhost and its key, in files.
pub struct Files {
    _directory: TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

/// A certificate as it stands in a file, and its key.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        let files = Self { _directory: directory, certificate, key };
        files.write(&pair());
        files
    }

    fn write(&self, (certificate, key): &(String, String)) {
        std::fs::write(&self.certificate, certificate).expect("writable");
        std::fs::write(&self.key, key).expect("writable");
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(&self.certificate, &self.key)
    }
}

pub async fn start_tls(config: ServerConfig) -> (Running, Files, Arc<Tls>) {
    let files = Files::new();
    let tls = Arc::new(files.load().expect("a pair"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    // A stream that nobody reads is ended by the server's own limit, or not at all.
    let engine = EngineConfig { max_seqs: 40, slow_reader: Duration::from_secs(600), ..EngineConfig::default() };
    let (state, engine) = state_over(config, engine);
    (start_on(Listener::tls(listener, tls.clone()), address, state, engine), files, tls)
}

/// A client that trusts this certificate alone.
async fn connect(server: &Running, certificate: &str, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await
}

pub async fn trusting(server: &Running, files: &Files) -> TlsStream<TcpStream> {
    let certificate = std::fs::read_to_string(&files.certificate).expect("readable");
    connect(server, &certificate, &[b"h2", b"http/1.1"]).await.expect("a handshake")
}

async fn is_served(mut socket: impl AsyncRead + AsyncWrite + Unpin) -> bool {
    socket.write_all(&wire_get("/health", "")).await.expect("writable");
    read_to_end(&mut socket).await.starts_with("HTTP/1.1 200")
}

/// The page of metrics.
async fn metrics(mut socket: impl AsyncRead + AsyncWrite + Unpin) -> String {
    socket.write_all(&wire_get("/metrics", "")).await.expect("writable");
    read_to_end(&mut socket).await
}

/// Asks for a stream that fills all buffers between, and reads its beginning.
async fn fill(mut socket: impl AsyncRead + AsyncWrite + Unpin) -> impl AsyncRead + AsyncWrite + Unpin {
    let body = json!({
        "prompt": "hello", "max_tokens": 500, "ignore_eos": true, "stream": true, "n": 40, "logprobs": 20,
    });
    socket.write_all(&wire_post(COMPLETIONS, CLOSE, &body)).await.expect("writable");
    read_until(&mut socket, "data: ").await;
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_is_there_over_tls() {
    let (server, files, _) = start_tls(ServerConfig::default()).await;
    let mut socket = trusting(&server, &files).await;
    assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let body = json!({"prompt": "hello", "max_tokens": 4, "ignore_eos": true, "stream": true});
    for extra in ["", CLOSE] {
        socket.write_all(&wire_post(COMPLETIONS, extra, &body)).await.expect("writable");
        let answer = read_until(&mut socket, "data: [DONE]").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    read_to_end(&mut socket).await;
    let certificate = std::fs::read_to_string(&files.certificate).expect("readable");
    assert!(connect(&server, &certificate, &[b"h2"]).await.is_err(), "no other protocol is spoken");
    assert!(is_served(connect(&server, &certificate, &[]).await.expect("a handshake")).await, "ALPN may be left out");
    // What is wrong with a head is said as it is without TLS.
    let mut wrong = trusting(&server, &files).await;
    wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("writable");
    assert!(read_to_end(&mut wrong).await.contains("invalid_host"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_or_does_not_read_costs_nothing_over_tls_either() {
    let write_timeout = Duration::from_millis(100);
    let (server, files, _) = start_tls(ServerConfig { write_timeout, ..ServerConfig::default() }).await;
    let stalled = fill(trusting(&server, &files).await).await;
    server.idle().await;
    drop(stalled);
    let (server, files, _) = start_tls(ServerConfig::default()).await;
    drop(fill(trusting(&server, &files).await).await);
    server.idle().await;
    let mut polite = fill(trusting(&server, &files).await).await;
    polite.shutdown().await.expect("closable");
    server.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_stops_half_way_costs_nobody_else() {
    let handshake_timeout = Duration::from_secs(600);
    let config = ServerConfig { handshake_timeout, max_connections: 4, ..ServerConfig::default() };
    let (server, files, _) = start_tls(config).await;
    let mut stopped = Vec::new();
    // More than there are places.
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"].into_iter().cycle().take(200) {
        let mut socket = server.connect().await;
        socket.write_all(beginning).await.expect("writable");
        stopped.push(socket);
        if stopped.len() % 50 == 0 {
            assert!(is_served(trusting(&server, &files).await).await);
        }
    }
    let metrics = metrics(trusting(&server, &files).await).await;
    let gave_way = metrics.lines().find_map(|line| line.strip_prefix("parkade_http_connections_evicted_total "));
    let gave_way: usize = gave_way.and_then(|count| count.parse().ok()).expect("a count");
    // There are four places, and a few from which one can ask how the server is.
    assert!(gave_way > 100, "{gave_way}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_has_its_time() {
    let handshake_timeout = Duration::from_millis(50);
    let (server, files, _) = start_tls(ServerConfig { handshake_timeout, ..ServerConfig::default() }).await;
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut socket = server.connect().await;
        socket.write_all(beginning).await.expect("writable");
        assert_eq!(read_to_end(&mut socket).await, "", "it is closed");
    }
    let mut noise = server.connect().await;
    noise.write_all(&[0x80; 64]).await.expect("writable");
    assert!(!read_to_end(&mut noise).await.contains("HTTP"), "what is no handshake is closed at once");
    assert!(is_served(trusting(&server, &files).await).await);
    let metrics = metrics(trusting(&server, &files).await).await;
    for counted in ["{reason=\"timeout\"} 2\n", "{reason=\"refused\"} 1\n"] {
        assert!(metrics.contains(&format!("parkade_http_tls_handshakes_failed_total{counted}")), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_speaks_plain_http_where_tls_is_spoken_is_told_so() {
    let (server, files, _) = start_tls(ServerConfig::default()).await;
    let body = json!({"prompt": "hello", "max_tokens": 4});
    for request in [wire_get("/health", ""), wire_post(COMPLETIONS, "", &body), b"\r\nGET / HTTP/1.1\r\n".to_vec()] {
        let answer = server.exchange(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("malformed_request") && answer.contains("use https://"), "{answer}");
    }
    let metrics = metrics(trusting(&server, &files).await).await;
    assert!(metrics.contains("parkade_http_tls_handshakes_failed_total{reason=\"plain_http\"} 3\n"), "{metrics}");
    assert!(metrics.contains("parkade_http_errors_total{code=\"malformed_request\"} 3\n"), "{metrics}");
}

#[test]
fn a_file_without_what_it_should_have_is_told_of_by_what_it_has() {
    let files = Files::new();
    let (certificate, key) = pair();
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (pair, said) in [
        ((String::new(), key.clone()), "cert.pem has no certificate in PEM: it is empty"),
        (("text".to_owned(), key.clone()), "cert.pem has no certificate in PEM"),
        ((key.clone(), key.clone()), "which belongs to --tls-key"),
        ((certificate[..certificate.len() - 30].to_owned(), key.clone()), "a section of it has no end"),
        ((certificate.replace("MII", "!!!"), key.clone()), "is not base64"),
        ((certificate.clone(), certificate.clone()), "which belongs to --tls-cert"),
        ((certificate.clone(), encrypted), "is encrypted"),
    ] {
        files.write(&pair);
        let error = files.load().expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_read_again_holds_for_new_connections() {
    let (server, files, tls) = start_tls(ServerConfig::default()).await;
    let old = std::fs::read_to_string(&files.certificate).expect("readable");
    let before = connect(&server, &old, &[]).await.expect("a handshake");
    files.write(&pair());
    tls.reload().expect("a pair");
    assert!(is_served(trusting(&server, &files).await).await);
    assert!(connect(&server, &old, &[]).await.is_err(), "the old one is not in force any more");
    assert!(is_served(before).await, "a connection that is there goes on");

    let good = std::fs::read_to_string(&files.certificate).expect("readable");
    let (other, other_key) = pair();
    for (pair, said) in [
        ((other, std::fs::read_to_string(&files.key).expect("readable")), "cannot be used with the key"),
        (("nothing".to_owned(), other_key.clone()), "no certificate in PEM"),
        ((good.clone(), "nothing".to_owned()), "no private key in PEM"),
        ((good.clone(), good.clone()), "no private key in PEM"),
    ] {
        files.write(&pair);
        let error = tls.reload().expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("BEGIN"), "{error}");
        assert!(is_served(connect(&server, &good, &[]).await.expect("what was in force stays")).await);
    }
    std::fs::remove_file(&files.key).expect("removable");
    assert!(tls.reload().expect_err("no file").to_string().contains("key.pem"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_a_connection_like_any_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let config = ServerConfig { write_timeout: Duration::from_millis(100), ..ServerConfig::default() };
    let (state, engine) = state_over(config, EngineConfig { max_seqs: 40, ..EngineConfig::default() });
    let anywhere = ([127, 0, 0, 1], 0).into();
    let mut server = start_on(Listener::unix(&path).expect("a socket"), anywhere, state, engine);
    let connect = || async { UnixStream::connect(&path).await.expect("a connection") };
    assert!(is_served(connect().await).await);
    // A page cannot reach it, so its clients may name any host.
    let mut socket = connect().await;
    socket
        .write_all(b"GET /v1/models HTTP/1.1\r\nhost: any.example\r\nconnection: close\r\n\r\n")
        .await
        .expect("writable");
    assert!(read_to_end(&mut socket).await.starts_with("HTTP/1.1 200"));
    drop(fill(connect().await).await);
    server.idle().await;
    let stalled = fill(connect().await).await;
    server.idle().await;
    drop(stalled);
    server.shut_down();
    server.ended().await;
    assert!(!path.exists(), "it is removed at the end");
}
