//! The worker pool from outside: panics, pauses, futures, limits, threads.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use parkade_pool::*;

/// What a sequence of the test does at a step.
#[derive(Clone)]
enum Script {
    /// Counts down, one a step, and gives what it was.
    Count(u32),
    /// Panics, being named as the one to blame.
    Panic,
    /// Panics in `admit`.
    PanicAtOnce,
    /// Is paused until it is unpaused, then done.
    Pause,
    /// Says that it failed.
    Fail,
}

#[derive(Default)]
struct Scripted {
    running: Vec<(TaskId, Script, u32)>,
    parked: Vec<(TaskId, Script, u32)>,
}

impl Executor for Scripted {
    type Task = Script;
    type Output = u32;

    fn admit(&mut self, id: TaskId, script: Script) {
        assert!(!matches!(script, Script::PanicAtOnce), "at once");
        self.running.push((id, script, 0));
    }

    fn park(&mut self, id: TaskId) {
        let at = self.running.iter().position(|(other, ..)| *other == id).expect("it runs");
        self.parked.push(self.running.swap_remove(at));
    }

    fn resume(&mut self, id: TaskId) {
        let at = self.parked.iter().position(|(other, ..)| *other == id).expect("it is parked");
        self.running.push(self.parked.swap_remove(at));
    }

    fn cancel(&mut self, id: TaskId) {
        self.running.retain(|(other, ..)| *other != id);
        self.parked.retain(|(other, ..)| *other != id);
    }

    fn step(&mut self, ctx: &mut StepContext<'_, Self>) -> Step {
        for (id, script, steps) in self.running.clone() {
            ctx.blame(&[id]);
            match script {
                Script::Count(length) if steps == length => {
                    self.cancel(id);
                    ctx.complete(id, length);
                }
                Script::Count(_) => {
                    ctx.progress(id, 0, 1);
                    self.running.iter_mut().filter(|(other, ..)| *other == id).for_each(|task| task.2 += 1);
                }
                Script::Panic => panic!("in the middle"),
                Script::PanicAtOnce => unreachable!("it was not admitted"),
                Script::Pause if steps == 0 => {
                    self.running.iter_mut().filter(|(other, ..)| *other == id).for_each(|task| task.2 += 1);
                    self.park(id);
                    assert!(ctx.pause(id));
                }
                Script::Pause => {
                    self.cancel(id);
                    ctx.complete(id, steps);
                }
                Script::Fail => {
                    self.cancel(id);
                    ctx.fail(id, "it could not");
                }
            }
        }
        Step::Again
    }
}

fn pool(slots: u64) -> WorkerPool<Scripted> {
    let config = PolicyConfig::new(Capacity::new([("slots", slots)]));
    WorkerPool::start(PoolConfig::new(Lot::new(config).unwrap()), vec![Scripted::default()]).unwrap()
}

fn spec() -> TaskSpec {
    TaskSpec { work: Work::new(1, 4), ..TaskSpec::new("tenant", Cost::fixed(Units::from([1]))) }
}

fn soon() -> Drain {
    Drain::within(Duration::from_secs(120))
}

#[test]
fn a_panic_ends_its_culprit_alone() {
    let pool = pool(4);
    let steady = pool.submit(&spec(), Script::Count(2000)).unwrap();
    let culprit = pool.submit(&spec(), Script::Panic).unwrap();
    let early = pool.submit(&spec(), Script::PanicAtOnce).unwrap();
    let failing = pool.submit(&spec(), Script::Fail).unwrap();
    assert_eq!(culprit.wait(), Outcome::Failed(Failure::Panic("in the middle".to_owned())));
    assert_eq!(early.wait(), Outcome::Failed(Failure::Panic("at once".to_owned())));
    assert_eq!(failing.wait(), Outcome::Failed(Failure::Error("it could not".to_owned())));
    assert_eq!(steady.wait(), Outcome::Completed(2000));
    assert!(pool.shutdown(soon()).in_time);
    assert_eq!(pool.stats().policy.in_use, Units::ZERO);
}

#[test]
fn a_paused_task_gives_its_units_to_others_and_goes_on_when_told() {
    let pool = pool(1);
    let mut slow = pool.submit(&spec(), Script::Pause).unwrap();
    let other = pool.submit(&spec(), Script::Count(3)).unwrap();
    assert_eq!(other.wait(), Outcome::Completed(3), "it runs in the paused one's place");
    assert_eq!(slow.wait_timeout(Duration::from_millis(20)), None);
    assert_eq!(pool.outlook(slow.id()).map(|outlook| outlook.state), Some(TaskState::Parked));
    assert!(pool.handle().unpause(slow.id()));
    assert_eq!(slow.wait(), Outcome::Completed(1));
    pool.shutdown(soon());
}

#[test]
fn a_parked_task_can_be_cancelled() {
    let pool = pool(1);
    let slow = pool.submit(&spec(), Script::Pause).unwrap();
    while pool.stats().policy.parked == 0 {
        std::thread::yield_now();
    }
    assert!(slow.cancel());
    assert_eq!(slow.wait(), Outcome::Cancelled);
    assert!(pool.shutdown(soon()).in_time);
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_future_is_woken_and_cancels_when_it_is_dropped() {
    let pool = pool(1);
    let wakes = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    let spec = spec();
    {
        let mut future = pin!(pool.submit_async(&spec, Script::Count(10)));
        let began = Instant::now();
        let outcome = loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(outcome) => break outcome.unwrap(),
                Poll::Pending => std::thread::yield_now(),
            }
            assert!(began.elapsed() < Duration::from_secs(120));
        };
        assert_eq!(outcome, Outcome::Completed(10));
    }
    {
        let mut future = pin!(pool.submit_async(&spec, Script::Count(u32::MAX)));
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    // The dropped future's task is cancelled, or this would take for ever.
    assert!(pool.shutdown(soon()).in_time);
    assert_eq!(pool.stats().policy.cancelled, 1);
}

#[test]
fn a_deadline_that_cannot_be_met_is_refused_once_rates_are_known() {
    let mut lot = Lot::new(PolicyConfig::new(Capacity::new([("slots", 1)]))).unwrap();
    let dated = |millis: u64, work: Work| TaskSpec {
        deadline: Some(Time::ZERO.after(Duration::from_millis(millis))),
        work,
        ..spec()
    };
    let (first, _) = lot.submit(Time::ZERO, &dated(100, Work::new(1000, 1000))).unwrap();
    assert_eq!(lot.next_decision(0, true), Some(Decision::Start(first)));
    // 1,000 prompt tokens a second, 100 answer tokens a second.
    lot.report(Duration::from_secs(1), &[Progress { task: first, prefill: 1000, decode: 0 }]);
    lot.report(Duration::from_secs(1), &[Progress { task: first, prefill: 0, decode: 100 }]);
    lot.settle(Time::ZERO);
    // 0.1 s of prompt and 1 s of answer, behind 900 expected answer tokens.
    let refused = lot.submit(Time::ZERO, &dated(5_000, Work::new(100, 100)));
    let Err(PoolError::DeadlineUnreachable { needed, allowed }) = refused else { panic!("{refused:?}") };
    assert_eq!(allowed, Duration::from_secs(5));
    assert!((needed.as_secs_f64() - 10.1).abs() < 0.01, "{needed:?}");
    assert!(lot.submit(Time::ZERO, &dated(11_000, Work::new(100, 100))).is_ok());
    // Behind that one as well.
    assert!(lot.submit(Time::ZERO, &dated(11_000, Work::new(100, 100))).is_err());
    let (third, _) = lot.submit(Time::ZERO, &TaskSpec { work: Work::new(100, 0), ..spec() }).unwrap();
    let outlook = lot.outlook(third).unwrap();
    assert_eq!(outlook.ahead, Some(1));
    assert!((outlook.wait.unwrap().as_secs_f64() - 10.1).abs() < 0.01, "{outlook:?}");
    lot.audit(Time::ZERO).unwrap();
}

#[test]
fn lower_classes_sit_out_while_a_higher_one_needs_its_first_token() {
    let mut config = PolicyConfig::new(Capacity::new([("slots", 4)]));
    config.limits.class_burst = 1000;
    let mut lot = Lot::new(config).unwrap();
    let of = |class| TaskSpec { class, work: Work::new(100, 50), ..spec() };
    let (low, _) = lot.submit(Time::ZERO, &of(Class::Low)).unwrap();
    let (normal, _) = lot.submit(Time::ZERO, &of(Class::Normal)).unwrap();
    let mut sitting_out = Vec::new();
    while lot.next_decision(0, true).is_some() {}
    lot.report(Duration::from_millis(1), &[low, normal].map(|task| Progress { task, prefill: 0, decode: 1 }));
    lot.sitting_out(0, &mut sitting_out);
    assert_eq!(sitting_out, [], "everybody has had a first token");
    let (high, _) = lot.submit(Time::ZERO, &of(Class::High)).unwrap();
    assert_eq!(lot.next_decision(0, true), Some(Decision::Start(high)));
    lot.sitting_out(0, &mut sitting_out);
    sitting_out.sort_unstable();
    assert_eq!(sitting_out, [low, normal]);
    lot.report(Duration::from_millis(1), &[Progress { task: high, prefill: 100, decode: 1 }]);
    lot.sitting_out(0, &mut sitting_out);
    assert_eq!(sitting_out, []);
}

#[test]
fn limits_of_a_tenant_hold_and_can_be_changed() {
    let mut lot = Lot::new(PolicyConfig::new(Capacity::new([("slots", 8)]))).unwrap();
    let mut limits = lot.limits().clone();
    let strict = TenantPolicy {
        max_running: Some(1),
        max_concurrent: Some(3),
        max_waiting: Some(2),
        max_waiting_tokens: Some(20),
        ..TenantPolicy::default()
    };
    limits.tenants.insert("tenant".to_owned(), strict);
    lot.reconfigure(limits.clone()).unwrap();
    let placed = |lot: &mut Lot, tokens| lot.submit(Time::ZERO, &TaskSpec { work: Work::new(tokens, 0), ..spec() });
    assert_eq!(placed(&mut lot, 5).unwrap().1, Placement::Admitted);
    assert_eq!(placed(&mut lot, 5).unwrap().1, Placement::Waiting, "one runs at a time");
    let full = placed(&mut lot, 16).unwrap_err();
    assert!(matches!(full, PoolError::TenantQueueFull { measure: Measure::Tokens, waiting: 5, limit: 20, .. }));
    assert_eq!(placed(&mut lot, 5).unwrap().1, Placement::Waiting);
    assert!(matches!(placed(&mut lot, 5), Err(PoolError::TenantConcurrency { in_flight: 3, limit: 3, .. })));
    limits.tenants.clear();
    lot.reconfigure(limits).unwrap();
    lot.settle(Time::ZERO);
    assert_eq!(lot.stats().running, 3, "with the limit gone they all run");
    lot.audit(Time::ZERO).unwrap();
}

#[test]
fn threads_have_names_and_stacks() {
    let mut config = PoolConfig::new(Lot::new(PolicyConfig::new(Capacity::new([("threads", 1)]))).unwrap());
    config.thread_name = "counter".to_owned();
    config.stack_size = Some(8 << 20);
    let pool = JobPool::start(config, 1).unwrap();
    let deep = |_: &JobContext| {
        fn sum(depth: u64) -> u64 {
            let frame = std::hint::black_box([depth; 64]);
            if depth == 0 { 0 } else { sum(depth - 1) + frame[63] / depth }
        }
        (std::thread::current().name().map(str::to_owned), sum(5_000))
    };
    // 5,000 frames of more than 512 bytes are more than the two megabytes of a default stack.
    let outcome = pool.submit(&spec(), deep).unwrap().wait();
    assert_eq!(outcome, Outcome::Completed((Some("counter-0".to_owned()), 5_000)));
    pool.workers().shutdown(soon());
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_with_the_remedy() {
    let mut config = PolicyConfig::new(Capacity::new([("slots", 1)]));
    config.limits.class_weights[Class::Low] = 0;
    let error = Lot::new(config).unwrap_err();
    assert_eq!(error.to_string(), "class-weights.low is 0; use a whole number from 1 to 10000");
    assert!(Lot::new(PolicyConfig::new(Capacity::new([("slots", 0)]))).is_err());
}
