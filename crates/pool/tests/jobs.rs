//! What becomes of jobs: those that fail, those that are stopped, and those that are over too late.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use parkade_pool::*;

fn spec() -> TaskSpec {
    TaskSpec::new("tenant", Cost::fixed(Units::from([1])))
}

/// Reached only by a fault.
fn long() -> Drain {
    Drain::within(Duration::from_secs(120))
}

fn until_cancelled(job: &JobContext) {
    while !job.is_cancelled() {
        std::thread::yield_now();
    }
}

/// The outcome of a job that has begun before its deadline: on a busy machine it takes several tries to find one that does.
fn dated<T: Send + 'static>(pool: &JobPool<T>, job: fn(&JobContext, Time) -> T) -> Outcome<T> {
    let mut allowed = Duration::from_millis(20);
    loop {
        let deadline = pool.workers().now().after(allowed);
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let dated = TaskSpec { deadline: Some(deadline), ..spec() };
        let ticket = pool.submit(&dated, move |context| {
            begins.store(true, Ordering::Relaxed);
            job(context, deadline)
        });
        let outcome = ticket.map(Ticket::wait);
        if begun.load(Ordering::Relaxed) {
            return outcome.unwrap();
        }
        allowed *= 2;
    }
}

/// The sums of a pool that has come to rest.
fn ended(pool: JobPool<impl Send>) -> (u64, u64, u64, u64) {
    assert!(pool.workers().shutdown(long()).in_time);
    let lot = pool.workers().stats().policy;
    assert_eq!(lot.submitted, lot.completed + lot.failed + lot.cancelled + lot.expired + lot.refused);
    assert_eq!((lot.running, lot.waiting, lot.in_use), (0, 0, Units::ZERO));
    (lot.completed, lot.failed, lot.cancelled, lot.expired)
}

#[test]
fn a_running_job_is_told_at_its_deadline_and_has_expired() {
    let pool = JobPool::of_threads(1).unwrap();
    assert_eq!(dated(&pool, |job, _| until_cancelled(job)), Outcome::Expired);
    let (completed, failed, cancelled, expired) = ended(pool);
    assert_eq!((completed, failed, cancelled), (0, 0, 0));
    assert!(expired >= 1);
}

#[test]
fn each_of_several_running_jobs_is_told_at_its_own_deadline() {
    let pool = JobPool::of_threads(2).unwrap();
    let (let_go, blocked) = channel::<()>();
    let endless = pool.submit(&spec(), move |_| blocked.recv().unwrap()).unwrap();
    for _ in 0..3 {
        assert_eq!(dated(&pool, |job, _| until_cancelled(job)), Outcome::Expired);
    }
    assert!(!endless.is_done());
    let_go.send(()).unwrap();
    assert_eq!(endless.wait(), Outcome::Completed(()));
}

#[test]
fn a_job_that_does_not_look_has_expired_too_when_it_is_over_too_late() {
    let pool = JobPool::of_threads(1).unwrap();
    let late = dated(&pool, |job, deadline| {
        // The pool's clock started before the job did.
        let begun = Instant::now();
        while job.started().after(begun.elapsed()) <= deadline {
            std::thread::yield_now();
        }
    });
    assert_eq!(late, Outcome::Expired);
}

#[test]
fn a_job_that_is_over_before_its_deadline_has_completed() {
    let pool = JobPool::of_threads(1).unwrap();
    let deadline = Some(pool.workers().now().after(Duration::from_secs(3600)));
    let ticket = pool.submit(&TaskSpec { deadline, ..spec() }, |job| job.is_cancelled()).unwrap();
    assert_eq!(ticket.wait(), Outcome::Completed(false));
    assert_eq!(ended(pool), (1, 0, 0, 0));
}

#[test]
fn a_job_that_stops_when_it_is_told_to_was_cancelled_and_has_not_completed() {
    let pool = JobPool::of_threads(1).unwrap();
    let (tell, begun) = channel();
    let job = move |job: &JobContext| {
        tell.send(()).unwrap();
        until_cancelled(job);
        "half of it"
    };
    let ticket = pool.submit(&spec(), job).unwrap();
    begun.recv().unwrap();
    assert!(ticket.cancel());
    assert_eq!(ticket.wait(), Outcome::Cancelled);
    assert_eq!(ended(pool), (0, 0, 1, 0));
}

#[test]
fn a_job_that_was_done_before_it_heard_of_the_cancel_has_completed() {
    let pool = JobPool::of_threads(1).unwrap();
    let (tell, begun) = channel();
    let (let_go, blocked) = channel();
    let job = move |job: &JobContext| {
        assert!(!job.is_cancelled());
        tell.send(()).unwrap();
        blocked.recv().unwrap();
        "all of it"
    };
    let ticket = pool.submit(&spec(), job).unwrap();
    begun.recv().unwrap();
    assert!(ticket.cancel());
    let_go.send(()).unwrap();
    assert_eq!(ticket.wait(), Outcome::Completed("all of it"));
    assert_eq!(ended(pool), (1, 0, 0, 0));
}

#[test]
fn a_job_that_says_why_it_failed_has_failed_whatever_it_returns() {
    let pool = JobPool::of_threads(1).unwrap();
    let job = |job: &JobContext| {
        job.fail("the disk is full");
        job.fail("and this is why nobody knows");
        7
    };
    let outcome = pool.submit(&spec(), job).unwrap().wait();
    assert_eq!(outcome, Outcome::Failed(Failure::Error("the disk is full".to_owned())));
    // Its time says nothing about how fast jobs are done, and the next job is none the worse for it.
    assert_eq!(pool.submit(&spec(), |_| 8).unwrap().wait(), Outcome::Completed(8));
    assert_eq!(ended(pool), (1, 1, 0, 0));
}

#[test]
fn an_error_that_a_fallible_job_returns_is_a_failure() {
    let pool: JobPool<Result<u32, std::num::ParseIntError>> = JobPool::of_threads(1).unwrap();
    let parse = |text: &'static str| pool.submit_fallible(&spec(), move |_| text.parse()).unwrap().wait();
    assert_eq!(parse("12"), Outcome::Completed(Ok(12)));
    assert_eq!(parse("12a"), Outcome::Failed(Failure::Error("invalid digit found in string".to_owned())));
    assert_eq!(ended(pool), (1, 1, 0, 0));
}

#[test]
fn a_job_that_fails_because_it_was_told_to_stop_was_cancelled() {
    let pool = JobPool::of_threads(1).unwrap();
    let (tell, begun) = channel();
    let job = move |job: &JobContext| {
        tell.send(()).unwrap();
        until_cancelled(job);
        job.fail("stopped");
    };
    let ticket = pool.submit(&spec(), job).unwrap();
    begun.recv().unwrap();
    ticket.cancel();
    assert_eq!(ticket.wait(), Outcome::Cancelled);
    assert_eq!(ended(pool), (0, 0, 1, 0));
}

#[test]
fn failed_and_expired_jobs_say_nothing_about_how_fast_jobs_are_done() {
    let pool = JobPool::of_threads(1).unwrap();
    dated(&pool, |job, _| until_cancelled(job));
    pool.submit(&spec(), |job| job.fail("at once")).unwrap().wait();
    assert!(pool.workers().shutdown(long()).in_time);
    assert_eq!(pool.workers().stats().policy.rates, Rates::default());
}

#[test]
fn a_refusal_counts_what_waits_and_not_the_newcomer() {
    let mut config = PolicyConfig::new(Capacity::new([("threads", 1)]));
    (config.limits.max_waiting, config.limits.max_waiting_tokens) = (2, 100);
    let mut lot = Lot::new(config).unwrap();
    let mut submit =
        |tokens| lot.submit(Time::ZERO, &TaskSpec { work: Work::new(tokens, 0), parkable: false, ..spec() });
    submit(1).unwrap();
    submit(60).unwrap();
    let tokens = submit(50).unwrap_err();
    assert!(
        matches!(tokens, PoolError::QueueFull { measure: Measure::Tokens, waiting: 60, limit: 100, .. }),
        "{tokens:?}"
    );
    submit(40).unwrap();
    let tasks = submit(0).unwrap_err();
    assert!(matches!(tasks, PoolError::QueueFull { measure: Measure::Tasks, waiting: 2, limit: 2, .. }), "{tasks:?}");
    assert!(tasks.to_string().starts_with("the waiting room has no place for it: 2 tasks wait and the limit is 2;"));
}
