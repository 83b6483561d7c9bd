//! All interleavings of the hand-over between threads, in small cases.
//!
//! `make test-loom`, a part of `make test`; `LOOM_MAX_PREEMPTIONS` (3) says how deep it looks.
//!
//! These run the real [`WorkerPool`]: under `cfg(loom)` the crate takes its mutex, condition variable and threads from
//! loom instead of parkade-sync (`src/sys.rs`), and nothing else changes. A wake-up that could get lost is a deadlock
//! here, which loom reports. Time does not pass: waits with a limit wait until somebody rings.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
use std::sync::Arc;
use std::time::Duration;

use parkade_pool::*;

fn check(model: impl Fn() + Sync + Send + 'static) {
    check_within(3, model);
}

/// All interleavings of so many preemptions, unless the environment says how many.
fn check_within(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound =
        Some(std::env::var("LOOM_MAX_PREEMPTIONS").map_or(preemptions, |text| text.parse().unwrap()));
    builder.max_branches = 20_000;
    builder.check(model);
}

fn pool(slots: u64, workers: usize) -> Arc<WorkerPool<JobExecutor<u32>>> {
    let config = PoolConfig::new(Lot::new(PolicyConfig::new(Capacity::new([("slots", slots)]))).unwrap());
    let executors = (0..workers).map(|_| JobExecutor::default()).collect();
    Arc::new(WorkerPool::start(config, executors).unwrap())
}

fn spec() -> TaskSpec {
    TaskSpec { parkable: false, ..TaskSpec::new("tenant", Cost::fixed(Units::from([1]))) }
}

fn job(number: u32) -> Job<u32> {
    Box::new(move |_| number)
}

fn long() -> Drain {
    Drain { limit: Duration::from_secs(1 << 20), grace: Duration::from_secs(1 << 20), waiting: DrainWaiting::Finish }
}

#[test]
fn a_submitted_task_wakes_the_worker() {
    check(|| {
        let pool = pool(1, 1);
        let ticket = pool.submit(&spec(), job(1)).unwrap();
        assert_eq!(ticket.wait(), Outcome::Completed(1));
        pool.shutdown(long());
    });
}

#[test]
fn tasks_of_two_threads_both_get_done() {
    check(|| {
        let pool = pool(1, 1);
        let other = {
            let pool = Arc::clone(&pool);
            loom::thread::spawn(move || pool.submit(&spec(), job(1)).unwrap().wait())
        };
        assert_eq!(pool.submit(&spec(), job(2)).unwrap().wait(), Outcome::Completed(2));
        assert_eq!(other.join().unwrap(), Outcome::Completed(1));
        pool.shutdown(long());
    });
}

#[test]
fn two_workers_leave_no_task_lying() {
    check(|| {
        let pool = pool(2, 2);
        let first = pool.submit(&spec(), job(1)).unwrap();
        let second = pool.submit(&spec(), job(2)).unwrap();
        assert_eq!(first.wait(), Outcome::Completed(1));
        assert_eq!(second.wait(), Outcome::Completed(2));
        pool.shutdown(long());
    });
}

#[test]
fn a_cancel_at_any_moment_leaves_one_outcome() {
    check(|| {
        let pool = pool(1, 1);
        let ticket = pool.submit(&spec(), job(1)).unwrap();
        let id = ticket.id();
        let canceller = {
            let pool = Arc::clone(&pool);
            loom::thread::spawn(move || pool.cancel(id))
        };
        let outcome = ticket.wait();
        assert!(matches!(outcome, Outcome::Completed(1) | Outcome::Cancelled), "{outcome:?}");
        canceller.join().unwrap();
        pool.shutdown(long());
        let stats = pool.stats().policy;
        assert_eq!((stats.submitted, stats.completed + stats.cancelled), (1, 1));
    });
}

#[test]
fn a_task_submitted_during_shutdown_is_done_or_refused() {
    check(|| {
        let pool = pool(1, 1);
        let sender = {
            let pool = Arc::clone(&pool);
            loom::thread::spawn(move || match pool.submit(&spec(), job(1)) {
                Ok(ticket) => assert_eq!(ticket.wait(), Outcome::Completed(1)),
                Err(rejected) => assert!(matches!(rejected.error, PoolError::Draining { .. })),
            })
        };
        assert!(pool.shutdown(long()).in_time);
        sender.join().unwrap();
    });
}

/// Wakes by unparking.
struct Unpark(loom::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest runtime: polls, and parks until it is woken.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = std::task::Waker::from(Arc::new(Unpark(loom::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => loom::thread::park(),
        }
    }
}

#[test]
fn an_awaited_ticket_is_woken() {
    check(|| {
        let pool = pool(1, 1);
        let outcome = block_on(pool.submit_async(&spec(), job(1)));
        assert_eq!(outcome.unwrap(), Outcome::Completed(1));
        pool.shutdown(long());
    });
}

/// An executor that idles until the flag is up, as one does whose readers are slow.
struct Patient {
    flag: Arc<loom::sync::atomic::AtomicBool>,
    task: Option<TaskId>,
}

impl Executor for Patient {
    type Task = ();
    type Output = ();

    fn has_room(&self) -> bool {
        self.task.is_none()
    }

    fn admit(&mut self, id: TaskId, (): ()) {
        self.task = Some(id);
    }

    fn park(&mut self, _id: TaskId) {}

    fn resume(&mut self, _id: TaskId) {}

    fn cancel(&mut self, _id: TaskId) {
        self.task = None;
    }

    fn step(&mut self, ctx: &mut StepContext<'_, Self>) -> Step {
        if self.flag.load(loom::sync::atomic::Ordering::Acquire)
            && let Some(id) = self.task.take()
        {
            ctx.complete(id, ());
        }
        Step::Idle(None)
    }
}

/// As many tasks are idle, each at any of the workers; all of them see what they were woken for.
fn idle_tasks_are_woken(tasks: u64, workers: usize) {
    let flag = Arc::new(loom::sync::atomic::AtomicBool::new(false));
    let executors = (0..workers).map(|_| Patient { flag: Arc::clone(&flag), task: None }).collect();
    let config = PoolConfig::new(Lot::new(PolicyConfig::new(Capacity::new([("slots", tasks)]))).unwrap());
    let pool = WorkerPool::start(config, executors).unwrap();
    let tickets: Vec<_> = (0..tasks).map(|_| pool.submit(&spec(), ()).unwrap()).collect();
    flag.store(true, loom::sync::atomic::Ordering::Release);
    pool.wake();
    tickets.into_iter().for_each(|ticket| assert_eq!(ticket.wait(), Outcome::Completed(())));
    pool.shutdown(long());
}

#[test]
fn a_wake_between_the_look_and_the_sleep_is_not_lost() {
    check(|| idle_tasks_are_woken(1, 1));
}

#[test]
fn a_wake_while_two_workers_go_to_sleep_reaches_the_one_that_has_the_task() {
    check(|| idle_tasks_are_woken(1, 2));
}

#[test]
fn a_wake_while_two_workers_go_to_sleep_reaches_both_that_have_a_task() {
    check(|| idle_tasks_are_woken(2, 2));
}

/// Done at its first step.
#[derive(Default)]
struct Quick(Vec<TaskId>);

impl Executor for Quick {
    type Task = ();
    type Output = ();

    fn admit(&mut self, id: TaskId, (): ()) {
        self.0.push(id);
    }

    fn park(&mut self, _id: TaskId) {}

    fn resume(&mut self, _id: TaskId) {}

    fn cancel(&mut self, _id: TaskId) {}

    fn step(&mut self, ctx: &mut StepContext<'_, Self>) -> Step {
        self.0.drain(..).for_each(|id| ctx.complete(id, ()));
        Step::Again
    }
}

#[test]
fn a_worker_of_two_pools_is_woken_by_either() {
    // Two policies and four threads: with three it takes many minutes.
    check_within(2, || {
        let member = || {
            let lot = Lot::new(PolicyConfig::new(Capacity::new([("slots", 1)]))).unwrap();
            (PoolConfig::new(lot), Quick::default())
        };
        let mut pools = WorkerPool::start_joint(vec![member(), member()]).unwrap();
        let (second, first) = (pools.pop().unwrap(), pools.pop().unwrap());
        let other = loom::thread::spawn(move || {
            assert_eq!(second.submit(&spec(), ()).unwrap().wait(), Outcome::Completed(()));
            second.shutdown(long());
        });
        assert_eq!(first.submit(&spec(), ()).unwrap().wait(), Outcome::Completed(()));
        first.shutdown(long());
        other.join().unwrap();
    });
}
