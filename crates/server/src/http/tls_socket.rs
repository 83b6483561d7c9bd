//! A socket with TLS. The handshake is a part of the first read: while it lasts the connection counts as idle and gives way to others, and
//! it may not last for long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// The first byte of a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// How much of what is no TLS is read before it is told so: what is not read when a connection is closed may take the answer with it.
const MOST_PLAIN: usize = 16 << 10;

/// Why a connection has come to no TLS. Reading the socket fails with it, once.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeFailed {
    /// The client speaks HTTP without TLS. What is written to it goes out as it is.
    #[error("the client speaks plain HTTP")]
    Plain,
    /// It took too long.
    #[error("the handshake was not done within {} s", .0.as_secs_f32())]
    Late(Duration),
    /// The two sides did not come to terms.
    #[error("{0}")]
    Refused(io::Error),
}

impl HandshakeFailed {
    /// What a read failed with, if it is this.
    pub fn of(error: &io::Error) -> Option<&HandshakeFailed> {
        error.get_ref()?.downcast_ref()
    }

    /// For the metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Plain => "plain_http",
            Self::Late(_) => "timeout",
            Self::Refused(_) => "refused",
        }
    }
}

impl From<HandshakeFailed> for io::Error {
    fn from(failed: HandshakeFailed) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, failed)
    }
}

/// A socket on which a client is to speak TLS.
pub(super) struct TlsSocket<S> {
    state: State<S>,
    timer: Pin<Box<Sleep>>,
    limit: Duration,
}

enum State<S> {
    /// Nothing has come yet.
    Quiet(S, TlsAcceptor),
    Handshake(Box<Accept<Begun<S>>>),
    Open(Box<TlsStream<Begun<S>>>),
    /// The client speaks HTTP without TLS, and is told so.
    Plain(S),
    Failed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsSocket<S> {
    pub fn new(socket: S, acceptor: TlsAcceptor, limit: Duration) -> Self {
        Self { state: State::Quiet(socket, acceptor), timer: Box::pin(tokio::time::sleep(limit)), limit }
    }

    /// The socket once its handshake is done.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<Begun<S>>>>> {
        if !matches!(self.state, State::Open(_))
            && let Err(error) = ready!(self.poll_handshake(cx))
        {
            return Poll::Ready(Err(error));
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(stream.as_mut()))),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let failed = match self.poll_step(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => error,
            Poll::Pending => {
                ready!(self.timer.as_mut().poll(cx));
                HandshakeFailed::Late(self.limit).into()
            }
        };
        if !matches!(self.state, State::Plain(_)) {
            self.state = State::Failed;
        }
        Poll::Ready(Err(failed))
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Quiet(socket, _) = &mut self.state {
            let Some(first) = ready!(first_byte(socket, cx))? else {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            };
            let State::Quiet(socket, acceptor) = std::mem::replace(&mut self.state, State::Failed) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            // A method, or the line break that some clients send before it. What is neither this nor TLS is refused as a handshake.
            if first != HANDSHAKE && (first.is_ascii_alphabetic() || matches!(first, b'\r' | b'\n')) {
                let mut socket = socket;
                skip(&mut socket, cx);
                self.state = State::Plain(socket);
                return Poll::Ready(Err(HandshakeFailed::Plain.into()));
            }
            self.state = State::Handshake(Box::new(acceptor.accept(Begun { first: Some(first), socket })));
        }
        if let State::Handshake(handshake) = &mut self.state {
            let done = ready!(Pin::new(handshake.as_mut()).poll(cx));
            self.state = State::Open(Box::new(done.map_err(HandshakeFailed::Refused)?));
        }
        Poll::Ready(Ok(()))
    }
}

/// The first byte that comes; none at the end.
fn first_byte<S: AsyncRead + Unpin>(socket: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
    let mut byte = [0];
    let mut buf = ReadBuf::new(&mut byte);
    ready!(Pin::new(socket).poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(buf.filled().first().copied()))
}

/// Reads what is there, and forgets it.
fn skip<S: AsyncRead + Unpin>(socket: &mut S, cx: &mut Context<'_>) {
    let mut bytes = vec![0; MOST_PLAIN];
    // What has not come yet, or cannot be read, is not waited for.
    let _ = Pin::new(socket).poll_read(cx, &mut ReadBuf::new(&mut bytes));
}

/// A socket of which the first byte has been read.
struct Begun<S> {
    first: Option<u8>,
    socket: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buf.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
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

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let State::Plain(socket) = &mut self.state {
            return Pin::new(socket).poll_write(cx, buf);
        }
        ready!(self.poll_open(cx))?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let State::Plain(socket) = &mut self.state {
            return Pin::new(socket).poll_write_vectored(cx, bufs);
        }
        ready!(self.poll_open(cx))?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            State::Plain(socket) => Pin::new(socket).poll_flush(cx),
            // Nothing was written.
            State::Quiet(..) | State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            State::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            // Nothing was said that the other side could lose.
            State::Quiet(..) | State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }
}
