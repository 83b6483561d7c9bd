//! What went wrong in the ancestor, each as a test of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use parkade_pool::*;

/// Reached only by a fault.
const LONG: Duration = Duration::from_secs(120);

fn slots(count: u64) -> PolicyConfig {
    PolicyConfig::new(Capacity::new([("slots", count)]))
}

fn spec(class: Class) -> TaskSpec {
    TaskSpec { class, ..TaskSpec::new("tenant", Cost::fixed(Units::from([1]))) }
}

fn starts(lot: &mut Lot) -> Vec<TaskId> {
    std::iter::from_fn(|| lot.next_decision(0, true))
        .map(|decision| match decision {
            Decision::Start(id) => id,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// A task was queued while every worker was about to sleep, and nobody woke. (`tests/loom.rs` proves it for all
/// interleavings of a small case; this is the large one.)
#[test]
fn lost_wake_up() {
    let mut config = slots(3);
    (config.limits.max_waiting, config.limits.max_waiting_tokens) = (10_000, 1 << 20);
    let pool = Arc::new(JobPool::start(PoolConfig::new(Lot::new(config).unwrap()), 3).unwrap());
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let pool = Arc::clone(&pool);
            std::thread::spawn(move || {
                for number in 0..500 {
                    let mut ticket = pool.submit(&spec(Class::Normal), move |_| sender * 1000 + number).unwrap();
                    // One at a time from each sender: workers fall asleep and are woken all the time.
                    let outcome = ticket.wait_timeout(LONG).expect("somebody wakes up");
                    assert_eq!(outcome, Outcome::Completed(sender * 1000 + number));
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(pool.workers().shutdown(Drain::within(LONG)).in_time);
}

/// A job that panicked kept its units for ever, and took its worker with it.
#[test]
fn units_leaked_by_panic() {
    let pool = JobPool::of_threads(1).unwrap();
    for number in 0..20 {
        let ticket = pool.submit(&spec(Class::Normal), move |_| assert_ne!(number % 2, 0, "even")).unwrap();
        match ticket.wait() {
            Outcome::Failed(Failure::Panic(message)) => assert!(number % 2 == 0 && message.contains("even")),
            outcome => assert_eq!((outcome, number % 2), (Outcome::Completed(()), 1)),
        }
    }
    let stats = pool.workers().stats();
    assert_eq!((stats.policy.failed, stats.policy.completed, stats.workers), (10, 10, 1));
    pool.workers().shutdown(Drain::within(LONG));
    assert_eq!(pool.workers().stats().policy.in_use, Units::ZERO);
}

/// A task too large for the moment held up everything behind it.
#[test]
fn head_of_line_blocked_by_an_oversized_task() {
    let mut lot = Lot::new(slots(10)).unwrap();
    let task = |cost: u64| TaskSpec::new("tenant", Cost::fixed(Units::from([cost])));
    let (running, _) = lot.submit(Time::ZERO, &task(4)).unwrap();
    let (large, placed) = lot.submit(Time::ZERO, &task(9)).unwrap();
    assert_eq!(placed, Placement::Waiting);
    let (small, placed) = lot.submit(Time::ZERO, &task(2)).unwrap();
    assert_eq!(placed, Placement::Admitted, "it passes the one that does not fit");
    assert_eq!(starts(&mut lot), [running, small]);
    assert!(matches!(lot.submit(Time::ZERO, &task(11)), Err(PoolError::TooLarge { needed: 11, capacity: 10, .. })));
    lot.ended(running, Ending::Completed);
    lot.ended(small, Ending::Completed);
    lot.settle(Time::ZERO);
    assert_eq!(starts(&mut lot), [large]);
}

/// Tasks were taken in the order in which they came, whatever they were.
#[test]
fn low_overtaking_critical() {
    let mut lot = Lot::new(slots(1)).unwrap();
    let unparkable = |class| TaskSpec { parkable: false, ..spec(class) };
    let (first, _) = lot.submit(Time::ZERO, &unparkable(Class::Normal)).unwrap();
    let ids: Vec<_> = [Class::Low, Class::Normal, Class::High, Class::Critical]
        .into_iter()
        .map(|class| lot.submit(Time::ZERO, &unparkable(class)).unwrap().0)
        .collect();
    let mut order = Vec::new();
    assert_eq!(starts(&mut lot), [first]);
    let mut last = first;
    for _ in 0..4 {
        lot.ended(last, Ending::Completed);
        lot.settle(Time::ZERO);
        last = starts(&mut lot)[0];
        order.push(last);
    }
    assert_eq!(order, ids.into_iter().rev().collect::<Vec<_>>());
}

/// A critical task has a running low one parked, and the low one goes on afterwards, before newcomers.
#[test]
fn critical_parks_a_running_low_task_which_resumes_first() {
    let mut lot = Lot::new(slots(1)).unwrap();
    let (low, _) = lot.submit(Time::ZERO, &spec(Class::Low)).unwrap();
    assert_eq!(starts(&mut lot), [low]);
    let (critical, placed) = lot.submit(Time::ZERO, &spec(Class::Critical)).unwrap();
    assert_eq!(placed, Placement::Waiting, "until the low one has been parked");
    assert_eq!(lot.next_decision(0, true), Some(Decision::Park(low)));
    lot.parked(low);
    lot.settle(Time::ZERO);
    assert_eq!(starts(&mut lot), [critical]);
    let (newcomer, _) = lot.submit(Time::ZERO, &spec(Class::Low)).unwrap();
    lot.ended(critical, Ending::Completed);
    lot.settle(Time::ZERO);
    assert_eq!(lot.next_decision(0, true), Some(Decision::Resume(low)));
    lot.ended(low, Ending::Completed);
    lot.settle(Time::ZERO);
    assert_eq!(starts(&mut lot), [newcomer]);
}

/// A task whose deadline had passed in the queue was run all the same.
#[test]
fn expired_task_run() {
    let pool = JobPool::of_threads(1).unwrap();
    let (release, blocked) = mpsc::channel::<()>();
    let running = pool.submit(&spec(Class::Normal), move |_| blocked.recv().is_ok()).unwrap();
    let mut allowed = Duration::from_millis(30);
    let (dated, waiting) = loop {
        let dated = TaskSpec { deadline: Some(pool.workers().now().after(allowed)), ..spec(Class::Normal) };
        match pool.submit(&dated, |_| panic!("it must not run")) {
            Ok(waiting) => break (dated, waiting),
            // The machine is busy: it was over before it could be said.
            Err(rejected) => assert!(matches!(rejected.error, PoolError::Expired { .. })),
        }
        allowed *= 2;
    };
    // It ends at its deadline although the only worker is busy.
    assert_eq!(waiting.wait(), Outcome::Expired);
    release.send(()).unwrap();
    assert_eq!(running.wait(), Outcome::Completed(true));
    assert!(matches!(pool.submit(&dated, |_| true), Err(Rejected { error: PoolError::Expired { .. }, .. })));
    pool.workers().shutdown(Drain::within(LONG));
}

/// Waiting with a timeout left a thread parked for ever behind each timeout, and the result was lost.
#[test]
fn timeout_parking_a_thread_for_ever() {
    let pool = JobPool::of_threads(1).unwrap();
    let (release, blocked) = mpsc::channel::<()>();
    let mut ticket = pool.submit(&spec(Class::Normal), move |_| blocked.recv().map(|()| 42)).unwrap();
    let threads = threads_now();
    for _ in 0..50 {
        assert_eq!(ticket.wait_timeout(Duration::from_millis(1)), None);
    }
    // Other tests start and end threads meanwhile; fifty left behind would show.
    assert!(threads_now() < threads + 40);
    release.send(()).unwrap();
    assert_eq!(ticket.wait_timeout(LONG), Some(Outcome::Completed(Ok(42))), "nothing was lost");
    pool.workers().shutdown(Drain::within(LONG));
}

fn threads_now() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Costs were 32-bit sums: five gigabytes were one.
#[test]
fn u32_overflow() {
    let large = u64::from(u32::MAX) + 1;
    let mut lot = Lot::new(PolicyConfig::new(Capacity::new([("bytes", 3 * large)]))).unwrap();
    let task = |bytes: u64| TaskSpec {
        work: Work::new(large, large),
        parkable: false,
        ..TaskSpec::new("tenant", Cost::growing(Units::from([bytes]), Units::ZERO, Units::from([large])))
    };
    assert_eq!(lot.submit(Time::ZERO, &task(large)).unwrap().1, Placement::Admitted);
    lot.limits().validate().unwrap();
    let mut limits = lot.limits().clone();
    limits.max_waiting_tokens = u64::MAX;
    lot.reconfigure(limits).unwrap();
    assert_eq!(lot.submit(Time::ZERO, &task(large)).unwrap().1, Placement::Waiting, "two large and two large is four");
    // Sums that do not even fit in 64 bits are refused and do not wrap.
    assert!(matches!(lot.submit(Time::ZERO, &task(u64::MAX)), Err(PoolError::TooLarge { needed: u64::MAX, .. })));
    lot.audit(Time::ZERO).unwrap();
}

/// A running task that had to go back to a full queue was dropped without a word.
#[test]
fn queue_full_losing_a_requeued_task() {
    let mut config = slots(1);
    config.limits.waiting_percent = PerClass::from_fn(|_| 100);
    (config.limits.max_waiting, config.limits.max_waiting_tokens) = (1, 1000);
    let mut lot = Lot::new(config).unwrap();
    let (low, _) = lot.submit(Time::ZERO, &spec(Class::Low)).unwrap();
    assert_eq!(starts(&mut lot), [low]);
    let (critical, _) = lot.submit(Time::ZERO, &spec(Class::Critical)).unwrap();
    assert!(matches!(
        lot.submit(Time::ZERO, &spec(Class::Low)),
        Err(PoolError::QueueFull { waiting: 1, limit: 1, .. })
    ));
    assert_eq!(lot.next_decision(0, true), Some(Decision::Park(low)));
    lot.parked(low); // The room is full, and that does not matter: what is parked has its own place.
    lot.settle(Time::ZERO);
    assert_eq!(starts(&mut lot), [critical]);
    lot.ended(critical, Ending::Completed);
    lot.settle(Time::ZERO);
    assert_eq!(lot.next_decision(0, true), Some(Decision::Resume(low)));
    lot.audit(Time::ZERO).unwrap();
}

/// A refused job comes back to whoever sent it.
#[test]
fn a_refused_job_is_given_back() {
    let mut config = slots(1);
    (config.limits.max_waiting, config.limits.max_waiting_tokens) = (0, 0);
    let pool = JobPool::start(PoolConfig::new(Lot::new(config).unwrap()), 1).unwrap();
    let (release, blocked) = mpsc::channel::<()>();
    let running = pool.submit(&spec(Class::Normal), move |_| blocked.recv().is_ok()).unwrap();
    let Err(Rejected { error, task }) = pool.submit(&spec(Class::Normal), |_| true) else { panic!("it is full") };
    assert!(matches!(error, PoolError::QueueFull { waiting: 0, limit: 0, .. }));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    release.send(()).unwrap();
    assert_eq!(running.wait(), Outcome::Completed(true));
    let again = pool.workers().submit(&TaskSpec { parkable: false, ..spec(Class::Normal) }, task).unwrap();
    assert_eq!(again.wait(), Outcome::Completed(true));
    pool.workers().shutdown(Drain::within(LONG));
}

/// Every ticket of every task gets an outcome, once, whatever happens at the end.
#[test]
fn shutdown_leaves_nobody_without_an_outcome() {
    let mut config = slots(2);
    (config.limits.max_waiting, config.limits.max_waiting_tokens) = (100, 100);
    let pool = JobPool::start(PoolConfig::new(Lot::new(config).unwrap()), 2).unwrap();
    let tickets: Vec<_> = (0..20)
        .map(|number| {
            let job = move |job: &JobContext| {
                while !job.is_cancelled() {
                    std::thread::yield_now();
                }
                number
            };
            pool.submit(&spec(Class::Normal), job).unwrap()
        })
        .collect();
    let ids: HashSet<_> = tickets.iter().map(Ticket::id).collect();
    assert_eq!(ids.len(), 20);
    let drain = Drain { limit: Duration::from_millis(20), grace: LONG, waiting: DrainWaiting::Finish };
    let report = pool.workers().shutdown(drain);
    assert!(!report.in_time);
    assert_eq!((report.cancelled, report.given_up), (20, 0));
    let outcomes: Vec<_> = tickets.into_iter().map(Ticket::wait).collect();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Cancelled), "{outcomes:?}");
    let stats = pool.workers().stats().policy;
    assert_eq!((stats.submitted, stats.cancelled, stats.completed), (20, 20, 0));
    assert!(matches!(
        pool.submit(&spec(Class::Normal), |_| 1),
        Err(Rejected { error: PoolError::Draining { .. }, .. })
    ));
}

/// A job that does not even stop when it is told to is given up, and shutdown ends all the same.
#[test]
fn a_job_that_never_stops_does_not_hold_up_shutdown() {
    let pool = JobPool::of_threads(1).unwrap();
    let (release, blocked) = mpsc::channel::<()>();
    let ticket = pool.submit(&spec(Class::Normal), move |_| blocked.recv().is_ok()).unwrap();
    while pool.workers().stats().active_workers == 0 {
        std::thread::yield_now();
    }
    let drain =
        Drain { limit: Duration::from_millis(5), grace: Duration::from_millis(20), waiting: DrainWaiting::Refuse };
    let report = pool.workers().shutdown(drain);
    assert_eq!((report.in_time, report.cancelled, report.given_up), (false, 1, 1));
    assert_eq!(ticket.wait(), Outcome::Cancelled);
    release.send(()).unwrap();
}
