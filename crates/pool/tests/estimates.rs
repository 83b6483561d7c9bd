//! What the lot expects of the future, scripted: waits, and deadlines that are refused because of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use parkade_pool::*;

fn lot(slots: u64, workers: usize) -> Lot {
    let mut config = PolicyConfig::new(Capacity::new([("slots", slots)]));
    config.workers = workers;
    Lot::new(config).unwrap()
}

fn spec(work: Work) -> TaskSpec {
    TaskSpec { work, ..TaskSpec::new("tenant", Cost::fixed(Units::from([1]))) }
}

fn at(seconds: u64) -> Time {
    Time::ZERO.after(Duration::from_secs(seconds))
}

/// A task is there by `now` plus this many seconds, or refused.
fn dated(now: Time, seconds: u64) -> TaskSpec {
    TaskSpec { deadline: Some(now.after(Duration::from_secs(seconds))), ..spec(Work::new(100, 0)) }
}

/// Runs a task of a hundred prompt tokens on its own, in one step that takes so long.
fn step(lot: &mut Lot, now: Time, millis: u64) {
    let (id, _) = lot.submit(now, &spec(Work::new(100, 0))).unwrap();
    assert_eq!(lot.next_decision(0, true), Some(Decision::Start(id)));
    lot.ended(id, Ending::Completed);
    lot.report(Duration::from_millis(millis), &[Progress { task: id, prefill: 100, decode: 0 }]);
    lot.settle(now);
}

#[test]
fn a_step_that_the_machine_slept_through_refuses_nobody() {
    let mut lot = lot(1, 1);
    (0..20).for_each(|_| step(&mut lot, at(1), 100));
    step(&mut lot, at(60), 60_000);
    lot.submit(at(60), &dated(at(60), 1)).unwrap();
}

#[test]
fn a_rate_from_long_ago_refuses_nobody_while_nothing_runs() {
    let mut lot = lot(1, 1);
    // The only step that was ever measured read the whole model from disk.
    step(&mut lot, at(60), 60_000);
    let refused = lot.submit(at(61), &dated(at(61), 10));
    assert!(matches!(refused, Err(PoolError::DeadlineUnreachable { .. })), "{refused:?}");
    let later = at(75);
    let (id, placed) = lot.submit(later, &dated(later, 10)).expect("what was measured is older than the rate's memory");
    assert_eq!(placed, Placement::Admitted);
    let beside = lot.submit(later, &dated(later, 10));
    assert!(matches!(beside, Err(PoolError::DeadlineUnreachable { .. })), "one is enough to measure: {beside:?}");
    assert_eq!(lot.next_decision(0, true), Some(Decision::Start(id)));
    lot.ended(id, Ending::Completed);
    lot.report(Duration::from_millis(100), &[Progress { task: id, prefill: 100, decode: 0 }]);
    lot.settle(later);
    lot.submit(later, &dated(later, 10)).expect("measured anew");
}

#[test]
fn a_newcomer_that_loses_its_hope_to_those_before_it_expires_and_breaks_nothing() {
    let mut lot = lot(2, 1);
    step(&mut lot, at(0), 60_000);
    lot.observe(Units::ZERO);
    let (first, placed) = lot.submit(at(75), &TaskSpec { class: Class::High, ..spec(Work::new(100, 0)) }).unwrap();
    assert_eq!(placed, Placement::Waiting, "nothing is really free");
    lot.observe(Units::from([2]));
    // Alone it would be let in, to measure; but the first one does that, and then the estimate stands.
    let (late, _) = lot.submit(at(75), &dated(at(75), 10)).unwrap();
    assert_eq!(lot.next_decision(0, true), Some(Decision::Start(first)));
    assert_eq!(lot.next_ended(), Some((late, Ending::Expired)));
    lot.audit(at(75)).unwrap();
}

/// Two running tasks that end in 10 s, and a hundred seconds of one worker's time in front of the last one.
fn wait(workers: usize) -> (f64, PoolError) {
    let mut lot = lot(2, workers);
    let first: Vec<TaskId> = (0..2).map(|_| lot.submit(at(0), &spec(Work::new(0, 110))).unwrap().0).collect();
    for (number, &id) in first.iter().enumerate() {
        assert_eq!(lot.next_decision(number % workers, true), Some(Decision::Start(id)));
    }
    for &task in &first {
        lot.report(Duration::from_secs(1), &[Progress { task, prefill: 0, decode: 10 }]);
    }
    lot.settle(at(0));
    lot.submit(at(0), &spec(Work::new(0, 1000))).unwrap();
    let (last, _) = lot.submit(at(0), &spec(Work::new(0, 10))).unwrap();
    let wait = lot.outlook(last).unwrap().wait.unwrap();
    lot.drain();
    (wait.as_secs_f64(), lot.submit(at(0), &spec(Work::new(0, 10))).unwrap_err())
}

#[test]
fn workers_divide_the_work_that_is_waited_for_but_not_one_tasks_own() {
    let (alone, draining) = wait(1);
    assert!((alone - 110.0).abs() < 0.01, "{alone}");
    assert_eq!(draining.retry_after(), Some(Duration::from_secs(120)), "121 s of work are left");
    let (together, draining) = wait(2);
    assert!((together - 60.0).abs() < 0.01, "half of the hundred seconds, and ten until a place is free: {together}");
    assert_eq!(draining.retry_after(), Some(Duration::from_secs(61)), "121 s for two");
}

#[test]
fn what_is_parked_is_waited_for_too() {
    let mut lot = lot(1, 1);
    let (low, _) = lot.submit(at(0), &TaskSpec { class: Class::Low, ..spec(Work::new(0, 60)) }).unwrap();
    assert_eq!(lot.next_decision(0, true), Some(Decision::Start(low)));
    lot.report(Duration::from_secs(1), &[Progress { task: low, prefill: 10, decode: 0 }]);
    lot.report(Duration::from_secs(1), &[Progress { task: low, prefill: 0, decode: 10 }]);
    let (high, _) = lot.submit(at(0), &TaskSpec { class: Class::High, ..spec(Work::new(0, 20)) }).unwrap();
    assert_eq!(lot.next_decision(0, true), Some(Decision::Park(low)));
    lot.parked(low);
    lot.settle(at(0));
    assert_eq!(lot.next_decision(0, true), Some(Decision::Start(high)));
    let (last, _) = lot.submit(at(0), &TaskSpec { class: Class::Low, ..spec(Work::new(0, 10)) }).unwrap();
    let wait = lot.outlook(last).unwrap().wait.unwrap().as_secs_f64();
    // 2 s until the high one ends, 5 s for the parked one's answer and 1 s for its ten tokens once more.
    assert!((wait - 8.0).abs() < 0.01, "{wait}");
}

#[test]
fn a_flood_does_not_speak_for_tenants_that_have_little_waiting() {
    let mut lot = lot(1, 1);
    // A tenth of a second for a hundred tokens.
    (0..20).for_each(|_| step(&mut lot, at(1), 100));
    let of = |tenant: &str, tokens| TaskSpec { tenant: tenant.into(), ..spec(Work::new(tokens, 0)) };
    lot.submit(at(1), &of("running", 100)).unwrap();
    (0..100).for_each(|_| _ = lot.submit(at(1), &of("flood", 100)).unwrap());
    for tenant in ["bob", "cleo"] {
        lot.submit(at(1), &of(tenant, 10)).unwrap();
    }
    lot.submit(at(1), &of("ada", 200)).unwrap();
    let (last, _) = lot.submit(at(1), &of("ada", 100)).unwrap();
    let wait = lot.outlook(last).unwrap().wait.unwrap().as_secs_f64();
    // Her own 200 tokens, as many of the flood's, and the ten that each of the others has.
    assert!((wait - 0.42).abs() < 0.01, "{wait}");
}

/// Three finished jobs that took at least this long each, and one that runs until it is let go.
fn job_pool_that_knows_its_pace(places: u64, each: Duration) -> (JobPool<()>, Ticket<()>, Sender<()>) {
    let mut config = PolicyConfig::new(Capacity::new([("threads", 1)]));
    (config.limits.max_waiting, config.limits.max_waiting_tokens) = (places, 1 << 20);
    let pool = JobPool::start(PoolConfig::new(Lot::new(config).unwrap()), 1).unwrap();
    for _ in 0..3 {
        let ticket = pool.submit(&job(), move |_| std::thread::sleep(each)).unwrap();
        assert_eq!(ticket.wait(), Outcome::Completed(()));
    }
    let (tell, begun) = channel();
    let (let_go, blocked) = channel();
    let block = move |_: &JobContext| {
        tell.send(()).unwrap();
        let _ = blocked.recv();
    };
    let running = pool.submit(&job(), block).unwrap();
    begun.recv().unwrap(); // So what was before it has been reported.
    (pool, running, let_go)
}

/// Says nothing about its work.
fn job() -> TaskSpec {
    TaskSpec::new("tenant", Cost::fixed(Units::from([1])))
}

#[test]
fn a_job_that_finds_the_line_full_is_told_to_come_back_when_slow_jobs_will_be_done() {
    let (pool, running, let_go) = job_pool_that_knows_its_pace(50, Duration::from_millis(50));
    let waiting: Vec<_> = (0..50).map(|_| pool.submit(&job(), |_| ()).unwrap()).collect();
    let refused = pool.submit(&job(), |_| ()).unwrap_err().error;
    assert!(matches!(refused, PoolError::QueueFull { .. }), "{refused}");
    assert!(refused.retry_after() >= Some(Duration::from_secs(3)), "50 jobs of 50 ms: {refused:?}");
    drop(let_go);
    waiting.into_iter().for_each(|ticket| assert_eq!(ticket.wait(), Outcome::Completed(())));
    assert_eq!(running.wait(), Outcome::Completed(()));
}

#[test]
fn a_job_whose_deadline_is_too_near_for_its_work_is_refused() {
    let (pool, _running, _let_go) = job_pool_that_knows_its_pace(50, Duration::from_millis(20));
    let deadline = Some(pool.workers().now().after(Duration::from_secs(60)));
    // At 20 ms or more for each piece of work, this takes more than half an hour.
    let large = TaskSpec { deadline, work: Work::new(100_000, 0), ..job() };
    let refused = pool.submit(&large, |_| ()).unwrap_err().error;
    assert!(matches!(refused, PoolError::DeadlineUnreachable { .. }), "{refused}");
    assert!(pool.submit(&TaskSpec { work: Work::new(1, 0), ..large }, |_| ()).is_ok());
}

#[test]
fn a_job_that_was_told_to_stop_says_nothing_about_how_fast_jobs_are_done() {
    let pool = JobPool::of_threads(1).unwrap();
    let (tell, begun) = channel();
    let until_cancelled = move |job: &JobContext| {
        tell.send(()).unwrap();
        while !job.is_cancelled() {
            std::thread::yield_now();
        }
    };
    let stopped = pool.submit(&job(), until_cancelled).unwrap();
    begun.recv().unwrap();
    assert!(stopped.cancel());
    stopped.wait();
    pool.workers().shutdown(Drain::within(Duration::from_secs(120)));
    assert_eq!(pool.workers().stats().policy.rates, Rates::default());
}
