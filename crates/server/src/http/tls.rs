//! TLS: the certificate, which can be read again while the server runs, and the handshake.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parkade_sync::RwLock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// The longest file that is read, in bytes: far more than any chain of certificates takes.
const LONGEST_FILE: u64 = 1 << 20;

/// The one protocol that is spoken behind the handshake.
const ALPN: &[u8] = b"http/1.1";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{}: {problem}; expected: {expected} in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What should be in it.
        expected: &'static str,
    },
    /// Certificate and key cannot be used together.
    #[error("the certificate {} cannot be used with the key {}: {problem}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        problem: rustls::Error,
    },
}

/// A certificate with its key.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    in_force: RwLock<TlsAcceptor>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads two files in PEM: the certificate with those between it and a root that clients know, its own first, and its private key.
    ///
    /// # Errors
    /// If they cannot be read, or do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let in_force = RwLock::new("server.tls", acceptor(certificate, key)?);
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), in_force })
    }

    /// Reads the files again, for connections that come from now on.
    ///
    /// # Errors
    /// As [`load`](Self::load); then what was in force stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let renewed = acceptor(&self.certificate, &self.key)?;
        *self.in_force.write() = renewed;
        Ok(())
    }

    /// A handshake over a socket.
    pub(super) fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, socket: S) -> Accept<S> {
        self.in_force.read().accept(socket)
    }
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let pem = |path: &Path, expected| {
        let path = path.to_owned();
        move |error: pem::Error| {
            let problem = match error {
                pem::Error::NoItemsFound => "it is not there".to_owned(),
                error => error.to_string(),
            };
            TlsError::Pem { path, problem, expected }
        }
    };
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(pem(certificate, "a certificate"))?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(pem(key, "a private key"))?;
    let pair = |problem| TlsError::Pair { certificate: certificate.to_owned(), key: key.to_owned(), problem };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Reads a file to its end, which a device or a pipe may not have.
fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LONGEST_FILE {
            let message = format!("it has more than {LONGEST_FILE} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        Ok(bytes)
    };
    read().map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// A socket with TLS. The handshake is a part of the first read: while it lasts the connection counts as idle and gives way to others,
/// and it may not last for long.
pub(super) struct TlsSocket<S>(State<S>);

enum State<S> {
    Handshake(Box<Accept<S>>, Pin<Box<Sleep>>, Duration),
    Open(Box<TlsStream<S>>),
    Failed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsSocket<S> {
    pub fn new(handshake: Accept<S>, limit: Duration) -> Self {
        Self(State::Handshake(Box::new(handshake), Box::pin(tokio::time::sleep(limit)), limit))
    }

    /// The socket once its handshake is done.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<S>>>> {
        if let State::Handshake(handshake, timer, limit) = &mut self.0 {
            let done = match Pin::new(handshake.as_mut()).poll(cx) {
                Poll::Ready(done) => done,
                Poll::Pending => {
                    ready!(timer.as_mut().poll(cx));
                    let message = format!("the handshake was not done within {} s", limit.as_secs_f32());
                    Err(io::Error::new(io::ErrorKind::TimedOut, message))
                }
            };
            match done {
                Ok(stream) => self.0 = State::Open(Box::new(stream)),
                Err(error) => {
                    self.0 = State::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match &mut self.0 {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(stream.as_mut()))),
            State::Handshake(..) | State::Failed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Open(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            // Nothing was written.
            State::Handshake(..) | State::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Open(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            // Nothing was said that the other side could lose.
            State::Handshake(..) | State::Failed => Poll::Ready(Ok(())),
        }
    }
}
