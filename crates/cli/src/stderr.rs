//! Standard error, without which everything goes on.
//!
//! A pipe that nobody reads blocks its writer for ever, a full disk or a closed pipe is an error on which `eprintln!` panics. Neither
//! may decide whether a request is answered or with which code the process ends. So one thread does the writing, from a bounded
//! queue: those who have something to say leave it there and go on, and what cannot be written is dropped and counted.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use parkade_sync::{Condvar, Mutex};

/// Bytes that may be in the queue: about a thousand lines.
const QUEUE_BYTES: usize = 256 << 10;
/// How long somebody who talks to a person waits until the text can be seen.
const SAY_PATIENCE: Duration = Duration::from_secs(1);
/// How long the end of the process waits for the last lines: on a busy machine the writer's turn may come late.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// The pause before another try when whoever shares the pipe has made it non-blocking and it is full.
const PAUSE: Duration = Duration::from_millis(10);

/// The process's own. Written through a descriptor of its own: a thread that is stuck in std's `stderr` keeps that one's lock.
static STDERR: LazyLock<Outlet> = LazyLock::new(|| match io::stderr().as_fd().try_clone_to_owned() {
    Ok(descriptor) => Outlet::to(File::from(descriptor)),
    Err(_) => Outlet::to(Nowhere),
});

/// Says something to whoever runs the command, and comes back when it can be seen: what is written to the terminal next is below it.
pub fn say(text: impl fmt::Display) {
    STDERR.offer(format!("{text}\n").as_bytes());
    STDERR.flush(SAY_PATIENCE);
}

/// Waits for what has been said and logged, but not for ever: for the end of the process.
pub fn flush() {
    STDERR.flush(END_PATIENCE);
}

/// How many lines could not be written.
pub fn dropped() -> u64 {
    STDERR.dropped()
}

/// Where the log is written to: each call is a line, and none waits or fails.
pub struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        STDERR.offer(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes the place of a standard error that cannot be had.
struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::NotConnected.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A queue of lines, and the thread that writes them.
struct Outlet(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// There is a line to write.
    filled: Condvar,
    /// A line has been written, or was dropped.
    written: Condvar,
    /// Relaxed wherever it is used: a counter orders nothing else.
    dropped: AtomicU64,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether the thread has a line in its hands.
    writing: bool,
    /// Whether somebody has waited in vain since the last line went out: nobody else does then.
    stuck: bool,
}

impl Outlet {
    fn to(sink: impl Write + Send + 'static) -> Outlet {
        let shared = Arc::new(Shared {
            queue: Mutex::new("cli.stderr", Queue::default()),
            filled: Condvar::new(),
            written: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = Arc::clone(&shared);
        // Without the thread the queue fills up and the rest is dropped: nothing here may end the process.
        let _ = thread::Builder::new().name("stderr".to_owned()).spawn(move || writer.write_all_to(sink));
        Outlet(shared)
    }

    /// Leaves a line for the thread, or drops it if the queue is full.
    fn offer(&self, line: &[u8]) {
        let mut queue = self.0.queue.lock();
        if queue.bytes + line.len() > QUEUE_BYTES {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.0.filled.notify_one();
    }

    /// Waits until the queue is empty, for so long at most.
    fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut queue = self.0.queue.lock();
        while !queue.stuck && (queue.writing || !queue.lines.is_empty()) {
            queue.stuck = self.0.written.wait_until(&mut queue, deadline);
        }
    }

    fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// The thread: until the process ends.
    fn write_all_to(&self, mut sink: impl Write) {
        loop {
            let line = self.next_line();
            if write_whole(&mut sink, &line).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            let mut queue = self.queue.lock();
            queue.writing = false;
            queue.stuck = false;
            drop(queue);
            self.written.notify_all();
        }
    }

    fn next_line(&self) -> Vec<u8> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len();
                queue.writing = true;
                return line;
            }
            self.filled.wait(&mut queue);
        }
    }
}

fn write_whole(sink: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match sink.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Generous: it is reached only by a fault.
    const LIMIT: Duration = Duration::from_secs(60);

    /// Takes a few bytes at a time, each time when it is told to, with this error in place of the bytes if there is one.
    struct Slow {
        turns: Receiver<Option<ErrorKind>>,
        seen: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(error) = self.turns.recv().expect("the test goes on") {
                return Err(error.into());
            }
            let taken = &bytes[..bytes.len().min(4)];
            self.seen.send(taken.to_vec()).expect("the test goes on");
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Outlet, Sender<Option<ErrorKind>>, Receiver<Vec<u8>>) {
        let (turn, turns) = channel();
        let (seen, pieces) = channel();
        (Outlet::to(Slow { turns, seen }), turn, pieces)
    }

    #[test]
    fn lines_come_out_whole_and_in_order_from_a_sink_that_takes_a_bit_at_a_time() {
        let (outlet, turn, pieces) = slow();
        outlet.offer(b"one line\n");
        outlet.offer(b"two\n");
        for _ in 0..4 {
            turn.send(None).expect("it listens");
        }
        outlet.flush(LIMIT);
        assert_eq!(pieces.try_iter().flatten().collect::<Vec<u8>>(), b"one line\ntwo\n");
        assert_eq!(outlet.dropped(), 0);
    }

    #[test]
    fn a_sink_that_never_takes_anything_holds_up_nobody_and_what_does_not_fit_is_counted() {
        let (outlet, turn, pieces) = slow();
        let line = [b'x'; QUEUE_BYTES / 4];
        for _ in 0..12 {
            outlet.offer(&line);
        }
        // One may be in the thread's hands, and four fit the queue.
        assert!((7..=8).contains(&outlet.dropped()), "{}", outlet.dropped());
        outlet.flush(Duration::ZERO);
        // Nobody waits again before something has gone out; LIMIT would be noticed.
        outlet.flush(LIMIT);
        drop((turn, pieces));
    }

    #[test]
    fn a_line_that_fails_is_counted_and_the_next_one_is_tried_again() {
        let (outlet, turn, pieces) = slow();
        outlet.offer(b"lost\n");
        outlet.offer(b"ok\n");
        for turn_of in [Some(ErrorKind::Interrupted), Some(ErrorKind::StorageFull), Some(ErrorKind::WouldBlock), None] {
            turn.send(turn_of).expect("it listens");
        }
        outlet.flush(LIMIT);
        assert_eq!(pieces.try_iter().flatten().collect::<Vec<u8>>(), b"ok\n");
        assert_eq!(outlet.dropped(), 1);
    }

    #[test]
    fn a_standard_error_that_is_not_there_counts_what_it_was_given() {
        let outlet = Outlet::to(Nowhere);
        outlet.offer(b"line\n");
        outlet.flush(LIMIT);
        assert_eq!(outlet.dropped(), 1);
    }
}
