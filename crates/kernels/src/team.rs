use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long a thread that waits spins before it sleeps. Inside a forward pass regions follow each
/// other within microseconds; between passes the threads are to cost nothing.
const SPIN: Duration = Duration::from_micros(150);
/// The same when the team has more threads than the machine has processors: spinning then keeps
/// the thread off the processor that it waits for.
const SPIN_OVERSUBSCRIBED: Duration = Duration::from_micros(3);

/// What each thread that takes part in a region calls once; it claims work until none is left.
type Job<'a> = &'a (dyn Fn() + Sync);

/// Two cache lines, because processors fetch them in pairs.
#[repr(align(128))]
struct Padded<T>(T);

/// What the threads share.
///
/// A region begins when the caller writes `region` and opens the gate with a new epoch. Workers that
/// come in time enter, the caller works too, then closes the gate and waits for those inside. A worker
/// that still sleeps, or that the system keeps off its processor, is not waited for.
struct Shared {
    gate: Padded<AtomicU64>,
    /// The caller sleeps, or is about to.
    caller_sleeps: Padded<AtomicBool>,
    /// One per worker: it sleeps, or is about to.
    worker_sleeps: Vec<Padded<AtomicBool>>,
    /// Written by the caller while the gate is closed and nobody inside; read by workers inside.
    region: UnsafeCell<Option<Region>>,
    panicked: AtomicBool,
    /// Written by the worker inside that set `panicked` first; read by the caller when nobody is inside.
    panic: UnsafeCell<Option<Box<dyn Any + Send>>>,
    closing: AtomicBool,
    spin: Duration,
}

/// The gate's word: how many workers are inside, whether it is open, and the epoch.
const INSIDE: u64 = (1 << 16) - 1;
const OPEN: u64 = 1 << 16;
const EPOCH: u64 = 1 << 17;

#[derive(Clone)]
struct Region {
    job: Job<'static>,
    caller: Thread,
}

// SAFETY: the two cells are handed over by the gate as their comments say; the job is Sync and the
// panic payload Send.
unsafe impl Sync for Shared {}
// SAFETY: all parts may be moved between threads; see Sync for the cells.
unsafe impl Send for Shared {}

/// A persistent team of threads that run one parallel region after another.
///
/// A hot fork and join takes about a microsecond. Waiting threads spin shortly and then sleep, so
/// an idle team uses no processor time. One team per process is the intended use.
pub struct Team {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// A region is running: a second caller, or a nested call, works alone instead of waiting.
    busy: AtomicBool,
}

impl Team {
    /// A team of `threads` threads (at least one): the caller of [`Team::run`] and `threads - 1` new
    /// ones. If the system refuses a thread, the team is smaller.
    pub fn new(threads: usize) -> Team {
        let threads = threads.clamp(1, INSIDE as usize);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            gate: Padded(AtomicU64::new(0)),
            caller_sleeps: Padded(AtomicBool::new(false)),
            worker_sleeps: (1..threads).map(|_| Padded(AtomicBool::new(false))).collect(),
            region: UnsafeCell::new(None),
            panicked: AtomicBool::new(false),
            panic: UnsafeCell::new(None),
            closing: AtomicBool::new(false),
            spin: if threads > processors { SPIN_OVERSUBSCRIBED } else { SPIN },
        });
        let mut workers = Vec::new();
        for index in 1..threads {
            let shared = Arc::clone(&shared);
            let builder = std::thread::Builder::new().name(format!("parkade-team-{index}"));
            match builder.spawn(move || worker(&shared, index)) {
                Ok(handle) => workers.push(handle),
                Err(_) => break,
            }
        }
        Team { shared, workers, busy: AtomicBool::new(false) }
    }

    /// How many threads share the work of a region.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `f(index)` once for every index below [`Team::threads`], in parallel. Returns when all are
    /// done.
    ///
    /// The caller runs the indices that no other thread has begun when it is free, so `f` must not wait
    /// for another index. A nested call, or a second caller while a region runs, works alone.
    ///
    /// # Panics
    /// If `f` panics on any thread, one of the panics is raised here after all threads have finished;
    /// the team stays usable.
    pub fn run(&self, f: &(dyn Fn(usize) + Sync)) {
        self.for_chunks(self.threads(), 1, &|range| range.for_each(f));
    }

    /// Calls `f` on ranges that cover `0..n` exactly once, each of `grain` items (the last may be
    /// shorter); threads claim the next range when they are free.
    ///
    /// # Panics
    /// As [`Team::run`]; ranges that were not begun by then may be left out.
    pub fn for_chunks(&self, n: usize, grain: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
        let grain = grain.max(1);
        if n <= grain {
            if n > 0 {
                f(0..n);
            }
            return;
        }
        let chunks = n.div_ceil(grain);
        let next = Padded(AtomicUsize::new(0));
        self.region(&|| {
            loop {
                // Relaxed: the counter only hands out numbers; the region's end publishes the results.
                let chunk = next.0.fetch_add(1, Ordering::Relaxed);
                if chunk >= chunks {
                    break;
                }
                let start = chunk * grain;
                f(start..n.min(start.saturating_add(grain)));
            }
        });
    }

    /// Calls `job` on this thread and on those workers that come before this thread's call is done.
    fn region(&self, job: Job<'_>) {
        if self.workers.is_empty() || self.busy.swap(true, Ordering::Acquire) {
            return job();
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime is changed. The job is not used after this function returns: it
        // returns, or unwinds, only when the gate is closed and nobody is inside, and workers use the job
        // inside only; the caller's own call cannot unwind past that because it is caught.
        let shared_job = unsafe { std::mem::transmute::<Job<'_>, Job<'static>>(job) };
        // SAFETY: `busy` makes this the only caller; the gate is closed and nobody is inside.
        unsafe { *shared.region.get() = Some(Region { job: shared_job, caller: std::thread::current() }) };
        // Only callers change a closed gate without anyone inside, so a plain store would do; SeqCst for
        // the sleepers below, and as the release of `region`.
        let closed = shared.gate.0.load(Ordering::Relaxed);
        shared.gate.0.store((closed & !INSIDE).wrapping_add(EPOCH) | OPEN, Ordering::SeqCst);
        for (worker, sleeps) in self.workers.iter().zip(&shared.worker_sleeps) {
            // SeqCst on both sides: either we see that it sleeps, or it sees the new epoch.
            if sleeps.0.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        let own = catch_unwind(AssertUnwindSafe(job));
        shared.gate.0.fetch_and(!OPEN, Ordering::SeqCst);
        // Acquires what the workers wrote, by their last change of the gate.
        wait(shared.spin, &shared.caller_sleeps.0, || shared.gate.0.load(Ordering::SeqCst) & INSIDE == 0);
        let theirs = if shared.panicked.swap(false, Ordering::Acquire) {
            // SAFETY: nobody is inside, so no worker touches the cell.
            unsafe { (*shared.panic.get()).take() }
        } else {
            None
        };
        self.busy.store(false, Ordering::Release);
        if let Some(payload) = own.err().or(theirs) {
            resume_unwind(payload);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.gate.0.fetch_add(EPOCH, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches every panic of a job, so joining cannot fail.
            let _ = worker.join();
        }
    }
}

/// What a worker finds at the gate.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    /// It is inside and takes part in the region.
    Inside,
    /// The region was over before it came.
    Missed,
    /// There will be no more regions.
    Closing,
}

impl Shared {
    /// Enters, unless the gate has been closed. `seen` becomes the epoch that the gate had.
    fn enter(&self, seen: &mut u64) -> Entry {
        // An exchange fails if the gate has changed since.
        let entered = self.gate.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| {
            *seen = word / EPOCH;
            (word & OPEN != 0).then_some(word + 1)
        });
        match entered {
            // No team ends while somebody is inside, so this one is not closing.
            Ok(_) => Entry::Inside,
            // Only after the gate: the end of the team is an epoch too, and no other will follow. `closing` was set before it, so
            // whoever has seen that epoch sees it.
            Err(_) if self.closing.load(Ordering::SeqCst) => Entry::Closing,
            Err(_) => Entry::Missed,
        }
    }
}

fn worker(shared: &Shared, index: usize) {
    let gate = &shared.gate.0;
    let mut seen = 0;
    loop {
        wait(shared.spin, &shared.worker_sleeps[index - 1].0, || gate.load(Ordering::SeqCst) / EPOCH != seen);
        match shared.enter(&mut seen) {
            Entry::Inside => {}
            Entry::Missed => continue,
            Entry::Closing => return,
        }
        // SAFETY: the caller wrote the cell before it opened the gate, and leaves it alone while somebody
        // is inside. Cloned, because the caller may be gone once this worker has left.
        if let Some(region) = unsafe { (*shared.region.get()).clone() } {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(region.job))
                && !shared.panicked.swap(true, Ordering::AcqRel)
            {
                // SAFETY: only the thread that turns `panicked` to true writes, and the caller reads when
                // nobody is inside.
                unsafe { *shared.panic.get() = Some(payload) };
            }
            let left = gate.fetch_sub(1, Ordering::SeqCst);
            if left & (INSIDE | OPEN) == 1 && shared.caller_sleeps.0.load(Ordering::SeqCst) {
                region.caller.unpark();
            }
        } else {
            gate.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Waits until `ready`: spins for `spin`, then sleeps with `sleeps` raised. Whoever makes `ready` true
/// looks at `sleeps` afterwards (SeqCst) and unparks.
fn wait(spin: Duration, sleeps: &AtomicBool, ready: impl Fn() -> bool) {
    let mut started = None;
    loop {
        for _ in 0..64 {
            if ready() {
                return;
            }
            std::hint::spin_loop();
        }
        if started.get_or_insert_with(Instant::now).elapsed() >= spin {
            break;
        }
    }
    sleeps.store(true, Ordering::SeqCst);
    while !ready() {
        std::thread::park();
    }
    sleeps.store(false, Ordering::SeqCst);
}

/// A mutable slice whose disjoint parts are written by several threads of a team.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    marker: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: it is a `&mut [T]` in parts; `part` asks its callers to keep the parts disjoint.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Disjoint<'a, T> {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), marker: std::marker::PhantomData }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The elements of `range`. Panics if they are out of bounds.
    ///
    /// # Safety
    /// No element may be in two parts that live at the same time.
    #[allow(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "part out of bounds");
        // SAFETY: in bounds by the assertion, alone by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.end - range.start) }
    }

    /// The elements of `range`, to be read. Panics if they are out of bounds.
    ///
    /// # Safety
    /// No element may be in a [`part`](Self::part) that lives at the same time.
    pub unsafe fn shared(&self, range: Range<usize>) -> &[T] {
        assert!(range.start <= range.end && range.end <= self.len, "part out of bounds");
        // SAFETY: in bounds by the assertion, written by nobody by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start.add(range.start), range.end - range.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_runs_once_per_region() {
        for threads in [1, 2, 3, 7] {
            let team = Team::new(threads);
            let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..2000 {
                team.run(&|index| {
                    counts[index].fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 2000));
        }
    }

    #[test]
    fn chunks_cover_the_range_exactly_once() {
        let team = Team::new(3);
        for n in [0, 1, 2, 63, 64, 65, 1000] {
            for grain in [0, 1, 7, 64, 5000] {
                let hits: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
                team.for_chunks(n, grain, &|range| {
                    assert!(range.len() <= grain.max(1));
                    for at in range {
                        hits[at].fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert!(hits.iter().all(|hit| hit.load(Ordering::Relaxed) == 1), "{n} by {grain}");
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_lives_on() {
        let team = Team::new(3);
        for culprit in 0..3 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                team.run(&|index| assert!(index != culprit, "thread {index} fails"));
            }));
            let payload = caught.unwrap_err();
            let message = payload.downcast_ref::<String>().unwrap();
            assert_eq!(message, &format!("thread {culprit} fails"));
            let ran = AtomicUsize::new(0);
            team.run(&|_| {
                ran.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(ran.load(Ordering::Relaxed), 3);
        }
    }

    #[test]
    fn sleeping_threads_wake_for_the_next_region() {
        let team = Team::new(2);
        let ran = AtomicUsize::new(0);
        for pause in [0, 1, 5, 20] {
            std::thread::sleep(Duration::from_millis(pause));
            team.run(&|index| {
                if index == 1 {
                    std::thread::sleep(Duration::from_millis(pause)); // the caller has to sleep too
                }
                ran.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(ran.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn both_threads_take_part_when_there_is_work() {
        let team = Team::new(2);
        let ids = std::array::from_fn::<_, 2, _>(|_| AtomicUsize::new(0));
        let me = std::thread::current().id();
        let start = Instant::now();
        // whoever comes first stays in its chunk until the other has one too
        team.for_chunks(4, 1, &|_| {
            let other = usize::from(std::thread::current().id() != me);
            ids[other].fetch_add(1, Ordering::Relaxed);
            while ids.iter().any(|count| count.load(Ordering::Relaxed) == 0) {
                assert!(start.elapsed() < Duration::from_secs(120), "the other never came");
                std::thread::yield_now();
            }
        });
        let counts = ids.map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts[0] + counts[1], 4, "{counts:?}");
    }

    #[test]
    fn a_team_that_ends_right_after_a_region_leaves_no_thread_asleep() {
        for round in 0..2_000 {
            let team = Team::new(2);
            for _ in 0..round % 4 {
                team.run(&|_| {});
            }
            drop(team);
        }
    }

    #[test]
    fn a_worker_does_not_take_the_end_of_the_team_for_a_region_that_it_missed() {
        let team = Team::new(1);
        let gate = &team.shared.gate.0;
        let mut seen = 0;
        // It wakes for a region, but the team has ended before it comes to the gate.
        gate.store(EPOCH, Ordering::SeqCst);
        assert_eq!(team.shared.enter(&mut seen), Entry::Missed);
        team.shared.closing.store(true, Ordering::SeqCst);
        gate.store(3 * EPOCH, Ordering::SeqCst);
        assert_eq!(team.shared.enter(&mut seen), Entry::Closing);
    }

    #[test]
    fn nested_and_concurrent_callers_do_not_deadlock() {
        let team = Team::new(2);
        let ran = AtomicUsize::new(0);
        team.run(&|_| {
            team.run(&|_| {
                ran.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(ran.load(Ordering::Relaxed), 4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        team.run(&|_| {
                            ran.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(ran.load(Ordering::Relaxed), 4 + 4 * 500 * 2);
    }

    #[test]
    fn disjoint_parts_are_bounds_checked() {
        let mut data = [1, 2, 3];
        let parts = Disjoint::new(&mut data);
        // SAFETY: the parts do not overlap.
        let (a, b) = unsafe { (parts.part(0..1), parts.part(1..3)) };
        a[0] = 5;
        b[1] = 6;
        // SAFETY: the call panics before it makes a part.
        assert!(catch_unwind(AssertUnwindSafe(|| unsafe { parts.part(2..4) }.len())).is_err());
        assert_eq!(data, [5, 2, 6]);
    }
}
