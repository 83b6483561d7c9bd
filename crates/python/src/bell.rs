//! How the engine tells Python of news without waiting for it.
//!
//! A token comes on the engine's thread, and what wants to hear of it is Python: a thread, or an event loop. That thread must never wait
//! for the interpreter's lock. So it only writes down which stream has news, and wakes whoever reads that: a thread by unparking it, a
//! loop by a byte in a socket that the loop watches. One bell serves any number of streams.

use std::io::{Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use parkade_sync::Mutex;
use pyo3::prelude::*;

/// How long Ctrl-C may take to be seen while a thread waits.
const SIGNALS: Duration = Duration::from_millis(50);

/// Is rung for streams, by their keys.
#[pyclass(frozen, module = "parkade._native")]
pub(crate) struct Bell {
    shared: Arc<Shared>,
}

struct Shared {
    /// The keys of streams that have news. With a socket there is a byte in it as long as this is not empty.
    rung: Mutex<Vec<u64>>,
    listener: Listener,
}

enum Listener {
    Thread(Thread),
    Loop { sender: UnixStream, receiver: UnixStream },
}

/// Rings for one stream.
struct Rope {
    shared: Arc<Shared>,
    key: u64,
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        let mut rung = self.shared.rung.lock();
        let is_first = rung.is_empty();
        rung.push(self.key);
        match &self.shared.listener {
            Listener::Thread(thread) => thread.unpark(),
            Listener::Loop { sender, .. } if is_first => {
                // It has room for one byte, and fails only when the receiver is gone, with which nobody listens any more.
                let _ = (&*sender).write(&[0]);
            }
            Listener::Loop { .. } => {}
        }
    }
}

impl Bell {
    /// One that this thread waits for.
    pub fn of_this_thread() -> Bell {
        Bell::heard_by(Listener::Thread(thread::current()))
    }

    fn heard_by(listener: Listener) -> Bell {
        Bell { shared: Arc::new(Shared { rung: Mutex::new("python.bell", Vec::new()), listener }) }
    }

    /// Rings for the stream with this key.
    pub fn waker(&self, key: u64) -> Waker {
        Waker::from(Arc::new(Rope { shared: Arc::clone(&self.shared), key }))
    }
}

#[pymethods]
impl Bell {
    /// One that this thread waits for with `wait`, or that an event loop listens to at `fileno`.
    #[new]
    fn new(for_loop: bool) -> PyResult<Bell> {
        if !for_loop {
            return Ok(Bell::of_this_thread());
        }
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        Ok(Bell::heard_by(Listener::Loop { sender, receiver }))
    }

    /// Readable when it has been rung; -1 for a thread's.
    fn fileno(&self) -> i32 {
        match &self.shared.listener {
            Listener::Thread(_) => -1,
            Listener::Loop { receiver, .. } => receiver.as_raw_fd(),
        }
    }

    /// The keys that it was rung for since the last time.
    fn take(&self) -> PyResult<Vec<u64>> {
        let mut rung = self.shared.rung.lock();
        if let Listener::Loop { receiver, .. } = &self.shared.listener
            && !rung.is_empty()
        {
            (&*receiver).read_exact(&mut [0])?;
        }
        Ok(mem::take(&mut rung))
    }

    /// As `take`, for the thread that made it: waits for a key. What a signal raises comes through.
    pub fn wait(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        loop {
            let rung = self.take()?;
            if !rung.is_empty() {
                return Ok(rung);
            }
            py.detach(|| thread::park_timeout(SIGNALS));
            py.check_signals()?;
        }
    }
}
