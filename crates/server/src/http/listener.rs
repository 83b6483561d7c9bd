//! Where connections come from: TCP, with or without TLS, and Unix sockets.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::connection::Sender;
use super::stall::StallGuard;
use super::tls::Tls;
use super::tls_socket::TlsSocket;
use super::unix_socket::UnixSocket;

/// A place where a server listens.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener, Option<Arc<Tls>>),
    Unix(UnixListener, UnixSocket),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(Kind::Tcp(listener, None))
    }
}

impl Listener {
    /// Over TCP with TLS.
    #[must_use]
    pub fn tls(listener: TcpListener, tls: Arc<Tls>) -> Self {
        Self(Kind::Tcp(listener, Some(tls)))
    }

    /// At a Unix socket that only this process's user may use. One that nobody listens at any more is replaced; it is removed when the
    /// listener goes. To be called within a runtime of tokio's.
    ///
    /// # Errors
    /// If another program listens there, something else than a socket is there, or the system refuses it.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let (listener, socket) = UnixSocket::bind(path)?;
        Ok(Self(Kind::Unix(UnixListener::from_std(listener)?, socket)))
    }

    /// The address, if it has one.
    ///
    /// # Errors
    /// If the listener is unusable.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        match &self.0 {
            Kind::Tcp(listener, _) => listener.local_addr().map(Some),
            Kind::Unix(..) => Ok(None),
        }
    }

    /// The next connection.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>, limits: Limits) -> Poll<io::Result<Accepted>> {
        match &self.0 {
            Kind::Tcp(listener, tls) => {
                let (socket, peer) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(Ok(accepted_tcp(socket, peer.ip(), tls.as_deref(), limits)))
            }
            Kind::Unix(listener, _) => {
                let (socket, _) = ready!(listener.poll_accept(cx))?;
                let socket = Box::pin(StallGuard::new(socket, limits.write));
                Poll::Ready(Ok(Accepted { socket, sender: Sender::Socket, local: None }))
            }
        }
    }
}

/// Where it is, as a URL begins with it.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Unix(_, socket) => write!(f, "unix:{}", socket.path().display()),
            Kind::Tcp(listener, tls) => {
                let scheme = if tls.is_some() { "https" } else { "http" };
                match listener.local_addr() {
                    Ok(address) => write!(f, "{scheme}://{address}"),
                    Err(_) => write!(f, "{scheme}:"),
                }
            }
        }
    }
}

/// How long the other side of a new connection may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// To read what is written to it.
    pub write: Duration,
    /// For a handshake of TLS.
    pub handshake: Duration,
}

/// A socket, or what stands for one.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A connection that has come.
pub(super) struct Accepted {
    pub socket: Pin<Box<dyn Socket>>,
    pub sender: Sender,
    /// By which address of this machine it came, if by any.
    pub local: Option<IpAddr>,
}

fn accepted_tcp(socket: TcpStream, peer: IpAddr, tls: Option<&Tls>, limits: Limits) -> Accepted {
    // Each token is its own small write: waiting to fill a packet would delay it.
    let _unsupported = socket.set_nodelay(true);
    // A socket without an address of its own is gone already, and reading will say so.
    let local = socket.local_addr().map_or(peer, |address| address.ip());
    // Below TLS, so that what counts is what the other side has taken.
    let guarded = StallGuard::new(socket, limits.write);
    let socket: Pin<Box<dyn Socket>> = match tls {
        None => Box::pin(guarded),
        Some(tls) => Box::pin(TlsSocket::new(guarded, tls.acceptor(), limits.handshake)),
    };
    Accepted { socket, sender: peer.into(), local: Some(local) }
}
