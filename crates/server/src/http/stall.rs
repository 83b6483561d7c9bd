//! A socket that gives up on a reader who does not read, and that does not hang up while the other side still talks.
//!
//! When a socket is closed with bytes unread, the system resets the connection, and the client may lose the answer that
//! says what was wrong: "431" to a head that is too long, "413" to a body that is. So the answer goes out at once, and the
//! end reads and throws away what the client still sends, until that stops or for a while.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long an end waits for the other side to send more, or to end too.
const QUIET: Duration = Duration::from_secs(1);

/// How long an end waits in all.
const LINGER: Duration = Duration::from_secs(10);

/// How much is thrown away at once.
const PIECE: usize = 16 << 10;

/// Fails a write when the other side has taken nothing for `limit` although there was something to take.
pub(crate) struct StallGuard<S> {
    socket: S,
    limit: Duration,
    /// Set while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Set once our side has ended.
    linger: Option<Linger>,
}

/// Waiting for the other side's end.
struct Linger {
    until: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Linger {
    fn new() -> Self {
        let now = Instant::now();
        Self { until: now + LINGER, timer: Box::pin(tokio::time::sleep_until(now + QUIET)) }
    }

    /// The other side has sent something.
    fn heard(&mut self) {
        let quiet = Instant::now() + QUIET;
        self.timer.as_mut().reset(quiet.min(self.until));
    }
}

impl<S> StallGuard<S> {
    pub fn new(socket: S, limit: Duration) -> Self {
        Self { socket, limit, deadline: None, linger: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = &mut *self;
        if guard.linger.is_none() {
            let shut = Pin::new(&mut guard.socket).poll_shutdown(cx);
            ready!(guard.watch(cx, shut))?;
        }
        let linger = guard.linger.get_or_insert_with(Linger::new);
        let mut unread = [MaybeUninit::uninit(); PIECE];
        while linger.timer.as_mut().poll(cx).is_pending() {
            let mut unread = ReadBuf::uninit(&mut unread);
            match ready!(Pin::new(&mut guard.socket).poll_read(cx, &mut unread)) {
                Ok(()) if !unread.filled().is_empty() => linger.heard(),
                // The other side has ended, or is gone.
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_reader_that_stops_reading_ends_the_write() {
        let (near, _far) = tokio::io::duplex(16);
        let mut guarded = StallGuard::new(near, Duration::from_millis(20));
        let error = guarded.write_all(&[0; 64]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_that_goes_on_reading_is_waited_for() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut guarded = StallGuard::new(near, Duration::from_millis(200));
        let reader = tokio::spawn(async move {
            let mut read = 0;
            let mut piece = [0; 16];
            while read < 160 {
                tokio::time::sleep(Duration::from_millis(30)).await;
                read += far.read(&mut piece).await.expect("readable");
            }
            read
        });
        guarded.write_all(&[0; 160]).await.expect("slow, not stalled");
        assert_eq!(reader.await.expect("reader"), 160);
    }

    #[tokio::test]
    async fn the_end_waits_for_a_client_that_still_sends() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut guarded = StallGuard::new(near, LINGER);
        let client = tokio::spawn(async move {
            far.write_all(&[0; 100]).await.expect("somebody reads");
            let mut answer = Vec::new();
            far.read_to_end(&mut answer).await.expect("readable");
            answer
        });
        guarded.write_all(b"answer").await.expect("writable");
        guarded.shutdown().await.expect("an end");
        drop(guarded);
        assert_eq!(client.await.expect("client"), b"answer");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_as_long_as_the_client_goes_on_but_not_for_ever() {
        let begun = Instant::now();
        let (near, far) = tokio::io::duplex(16);
        StallGuard::new(near, LINGER).shutdown().await.expect("an end");
        assert_eq!(begun.elapsed().as_secs(), QUIET.as_secs(), "it said nothing");
        drop(far);

        let drip = |pieces: u32| async move {
            let begun = Instant::now();
            let (near, mut far) = tokio::io::duplex(16);
            let client = tokio::spawn(async move {
                for _ in 0..pieces {
                    tokio::time::sleep(QUIET / 2).await;
                    if far.write_all(b"more").await.is_err() {
                        return;
                    }
                }
            });
            StallGuard::new(near, LINGER).shutdown().await.expect("an end");
            client.abort();
            begun.elapsed()
        };
        assert_eq!(drip(8).await.as_secs(), 4, "its end is the end");
        assert_eq!(drip(1000).await.as_secs(), LINGER.as_secs());
    }
}
