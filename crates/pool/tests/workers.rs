//! The worker pool's threads: which one is woken for what, what becomes of tasks when one dies, what a last step counts.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
use std::panic::panic_any;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parkade_pool::*;
use parkade_sync::Mutex;

/// What a task has come to at a step.
#[derive(PartialEq)]
enum Turn {
    /// It has nothing to do until its worker is woken.
    Idle,
    More,
    Done,
}

/// What an executor does for a task at each of its steps.
type Act = Box<dyn FnMut(TaskId, &mut StepContext<'_, Turns>) -> Turn + Send>;

/// Steps each of its tasks by the task's own closure.
struct Turns {
    running: Vec<(TaskId, Act)>,
    /// Whether there is room, by the number of running tasks.
    room: Box<dyn Fn(usize) -> bool + Send>,
}

impl Turns {
    fn new(room: impl Fn(usize) -> bool + Send + 'static) -> Turns {
        Turns { running: Vec::new(), room: Box::new(room) }
    }
}

impl Executor for Turns {
    type Task = Act;
    type Output = ();

    const PARKS: bool = false;

    fn has_room(&self) -> bool {
        (self.room)(self.running.len())
    }

    fn admit(&mut self, id: TaskId, act: Act) {
        self.running.push((id, act));
    }

    fn park(&mut self, id: TaskId) {
        unreachable!("nobody parks {id}");
    }

    fn resume(&mut self, id: TaskId) {
        unreachable!("nobody resumes {id}");
    }

    fn cancel(&mut self, id: TaskId) {
        self.running.retain(|(other, _)| *other != id);
    }

    fn step(&mut self, ctx: &mut StepContext<'_, Self>) -> Step {
        let mut idle = true;
        self.running.retain_mut(|(id, act)| {
            let turn = act(*id, ctx);
            if turn == Turn::Done {
                ctx.complete(*id, ());
            }
            idle &= turn == Turn::Idle;
            turn != Turn::Done
        });
        if idle { Step::Idle(None) } else { Step::Again }
    }
}

/// Reached only by a fault.
const LONG: Duration = Duration::from_secs(120);

fn spec() -> TaskSpec {
    TaskSpec { work: Work::new(1, 4), ..TaskSpec::new("tenant", Cost::fixed(Units::from([1]))) }
}

fn soon() -> Drain {
    Drain::within(LONG)
}

fn turns(slots: u64, executors: Vec<Turns>) -> WorkerPool<Turns> {
    let mut config = PoolConfig::new(Lot::new(PolicyConfig::new(Capacity::new([("slots", slots)]))).unwrap());
    config.timekeeper = true;
    WorkerPool::start(config, executors).unwrap()
}

/// Never done.
fn idle() -> Act {
    Box::new(|_, _| Turn::Idle)
}

/// Done at once.
fn quick() -> Act {
    Box::new(|_, _| Turn::Done)
}

/// Keeps its worker inside a step until it is let go.
fn blocked() -> (Act, Sender<()>) {
    let (let_go, blocked) = channel::<()>();
    let act = move |_: TaskId, _: &mut StepContext<'_, Turns>| {
        let _ = blocked.recv();
        Turn::Done
    };
    (Box::new(act), let_go)
}

/// Two workers of which the second asks for nothing before it is let go.
fn second_worker_held_back(first_has_room: impl Fn(usize) -> bool + Send + 'static) -> (Vec<Turns>, Sender<()>) {
    let (let_go, held_back) = channel();
    let second = Turns::new(move |_| {
        let _ = held_back.recv(); // Once it has been let go the sender is gone, and nothing is waited for.
        true
    });
    (vec![Turns::new(first_has_room), second], let_go)
}

/// Long enough for a worker to have fallen asleep. If it has not, the tests below test less but do not fail.
fn let_them_sleep() {
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn a_new_task_wakes_the_worker_that_sleeps_and_not_the_one_that_was_woken_for_something_else() {
    let (executors, let_go) = second_worker_held_back(|_| true);
    let pool = turns(4, executors);
    let (tell, stepped) = channel();
    let (mut block, let_it_go) = blocked();
    let mut steps = 0;
    // Idle at its first step; at the second, for which it is woken, it keeps its worker busy.
    let act = move |id: TaskId, ctx: &mut StepContext<'_, Turns>| {
        steps += 1;
        tell.send(steps).unwrap();
        if steps < 2 { Turn::Idle } else { block(id, ctx) }
    };
    let first = pool.submit(&spec(), Box::new(act)).unwrap();
    assert_eq!(stepped.recv(), Ok(1), "the only worker that looks for tasks has it");
    drop(let_go);
    let_them_sleep();
    pool.wake();
    assert_eq!(stepped.recv(), Ok(2));
    let_them_sleep();
    let mut second = pool.submit(&spec(), quick()).unwrap();
    assert_eq!(second.wait_timeout(LONG), Some(Outcome::Completed(())), "the other one sleeps");
    drop(let_it_go);
    assert_eq!(first.wait(), Outcome::Completed(()));
    assert!(pool.shutdown(soon()).in_time);
}

#[test]
fn a_new_task_wakes_a_worker_that_has_room_for_it() {
    let (executors, let_go) = second_worker_held_back(|running| running == 0);
    let pool = turns(4, executors);
    let (tell, stepped) = channel();
    let act = move |_: TaskId, _: &mut StepContext<'_, Turns>| {
        tell.send(()).unwrap();
        Turn::Idle
    };
    let first = pool.submit(&spec(), Box::new(act)).unwrap();
    assert_eq!(stepped.recv(), Ok(()));
    drop(let_go);
    let_them_sleep();
    let mut second = pool.submit(&spec(), quick()).unwrap();
    assert_eq!(second.wait_timeout(LONG), Some(Outcome::Completed(())));
    first.cancel();
    assert!(pool.shutdown(soon()).in_time);
}

#[test]
fn answers_of_one_token_are_charged_for_like_long_ones() {
    let pool = turns(1, vec![Turns::new(|running| running == 0)]);
    let served = Arc::new(Mutex::new("served", Vec::new()));
    let (block, let_it_go) = blocked();
    let first = pool.submit(&spec(), block).unwrap();
    let answer = |tenant: &'static str, mut tokens: u64| {
        let served = Arc::clone(&served);
        let spec = TaskSpec { work: Work::new(0, tokens), ..TaskSpec::new(tenant, Cost::fixed(Units::from([1]))) };
        let act = move |id: TaskId, ctx: &mut StepContext<'_, Turns>| {
            served.lock().push(tenant);
            tokens -= 1;
            ctx.progress(id, 0, 1);
            if tokens == 0 { Turn::Done } else { Turn::More }
        };
        pool.submit(&spec, Box::new(act)).unwrap()
    };
    let short: Vec<_> = (0..40).map(|_| answer("short", 1)).collect();
    let long: Vec<_> = (0..4).map(|_| answer("long", 10)).collect();
    drop(let_it_go);
    assert_eq!(first.wait(), Outcome::Completed(()));
    short.into_iter().chain(long).for_each(|ticket| assert_eq!(ticket.wait(), Outcome::Completed(())));
    // Both have the same weight and something waiting, so of the first half each has half, give or take an answer.
    let of_long = served.lock().iter().take(40).filter(|&&tenant| tenant == "long").count();
    assert!((10..=30).contains(&of_long), "{of_long} of the first 40 tokens: {:?}", *served.lock());
    assert!(pool.shutdown(soon()).in_time);
}

#[test]
fn an_executor_that_cannot_say_whether_it_has_room_gets_no_tasks_and_the_others_do() {
    let (tell, asked) = channel();
    let speechless = Turns::new(move |_| {
        tell.send(()).unwrap();
        panic!("no idea")
    });
    let pool = turns(4, vec![speechless, Turns::new(|_| true)]);
    assert_eq!(asked.recv(), Ok(()));
    // It is woken for a task now and then, which then is the other one's; so it is asked again, if it lives.
    while asked.recv_timeout(Duration::from_millis(10)) == Err(RecvTimeoutError::Timeout) {
        let mut ticket = pool.submit(&spec(), quick()).unwrap();
        assert_eq!(ticket.wait_timeout(LONG), Some(Outcome::Completed(())));
    }
    assert_eq!(pool.stats().workers, 2);
    assert!(pool.shutdown(soon()).in_time);
}

struct PanicsWhenWoken;

impl Wake for PanicsWhenWoken {
    fn wake(self: Arc<Self>) {
        panic!("woken");
    }
}

/// Polls with a waker that panics, before the outcome is there.
fn poll_badly<F: Future>(future: Pin<&mut F>) {
    let waker = Waker::from(Arc::new(PanicsWhenWoken));
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
}

#[test]
fn a_waker_that_panics_harms_neither_the_worker_nor_the_tasks_beside() {
    let pool = turns(3, vec![Turns::new(|_| true)]);
    let (finish, told) = channel::<()>();
    let patient: Act = Box::new(move |_, _| if told.try_recv().is_ok() { Turn::Done } else { Turn::Idle });
    let mut beside = pool.submit(&spec(), patient).unwrap();
    // One is woken in the middle of a step, by its completion ...
    let (block, let_it_go) = blocked();
    let spec_of_completed = spec();
    let mut completed = pin!(pool.submit_async(&spec_of_completed, block));
    poll_badly(completed.as_mut());
    drop(let_it_go);
    while pool.stats().policy.completed == 0 {
        std::thread::yield_now();
    }
    // ... and one outside of any call of the executor.
    let (tell, stepped) = channel();
    let act = move |_: TaskId, _: &mut StepContext<'_, Turns>| {
        tell.send(()).unwrap();
        Turn::Idle
    };
    let mut cancelled = pool.submit(&spec(), Box::new(act)).unwrap();
    assert_eq!(stepped.recv(), Ok(()));
    poll_badly(pin!(&mut cancelled));
    assert!(cancelled.cancel());
    let mut later = pool.submit(&spec(), quick()).unwrap();
    assert_eq!(later.wait_timeout(LONG), Some(Outcome::Completed(())));
    assert_eq!(cancelled.wait_timeout(LONG), Some(Outcome::Cancelled));
    finish.send(()).unwrap();
    pool.wake();
    assert_eq!(beside.wait_timeout(LONG), Some(Outcome::Completed(())));
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(completed.poll(&mut context), Poll::Ready(Ok(Outcome::Completed(())))));
    assert_eq!(pool.stats().workers, 1);
    assert!(pool.shutdown(soon()).in_time);
    let stats = pool.stats().policy;
    assert_eq!((stats.completed, stats.cancelled, stats.failed), (3, 1, 0));
    assert_eq!(stats.in_use, Units::ZERO);
}

/// Panics when it is dropped.
struct DropsBadly;

impl Drop for DropsBadly {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_task_that_panics_when_it_is_dropped_unrun_keeps_no_outcome_from_the_others() {
    let pool = turns(1, vec![Turns::new(|_| true)]);
    let (block, let_it_go) = blocked();
    let running = pool.submit(&spec(), block).unwrap();
    let bomb = DropsBadly;
    let bad: Act = Box::new(move |_, _| {
        let _ = &bomb;
        Turn::Done
    });
    let unrun = [bad, quick()].map(|act| pool.submit(&spec(), act).unwrap());
    std::thread::scope(|scope| {
        let shutdown = scope.spawn(|| pool.shutdown(Drain { waiting: DrainWaiting::Refuse, ..soon() }));
        for mut ticket in unrun {
            assert_eq!(ticket.wait_timeout(LONG), Some(Outcome::Cancelled));
        }
        drop(let_it_go);
        assert!(shutdown.join().unwrap().in_time);
    });
    assert_eq!(running.wait(), Outcome::Completed(()));
}

/// Has its worker die at the next step after the word: no thread outlives a panic whose own payload panics.
fn deadly() -> (Act, Sender<()>) {
    let (kill, told) = channel::<()>();
    let act = move |_: TaskId, _: &mut StepContext<'_, Turns>| {
        if told.try_recv().is_ok() {
            panic_any(DropsBadly);
        }
        Turn::Idle
    };
    (Box::new(act), kill)
}

#[test]
fn what_a_worker_had_fails_when_its_thread_dies_and_the_others_go_on_with_the_units() {
    let (executors, let_go) = second_worker_held_back(|_| true);
    let pool = turns(2, executors);
    let mut stranded = pool.submit(&spec(), idle()).unwrap();
    let (act, kill) = deadly();
    let _deadly = pool.submit(&spec(), act).unwrap();
    while pool.stats().policy.running < 2 || pool.stats().active_workers < 1 {
        std::thread::yield_now();
    }
    let_them_sleep();
    drop(let_go);
    let mut waiting = pool.submit(&spec(), quick()).unwrap();
    assert_eq!(waiting.placement(), Placement::Waiting);
    kill.send(()).unwrap();
    pool.wake();
    let gone = Outcome::Failed(Failure::Panic("its worker thread is gone".to_owned()));
    assert_eq!(stranded.wait_timeout(LONG), Some(gone));
    assert_eq!(waiting.wait_timeout(LONG), Some(Outcome::Completed(())));
    let stats = pool.stats();
    assert_eq!((stats.workers, stats.policy.failed, stats.policy.completed), (1, 2, 1));
    assert!(pool.shutdown(soon()).in_time);
    assert_eq!(pool.stats().policy.in_use, Units::ZERO);
}

#[test]
fn when_the_last_worker_thread_dies_everything_fails_and_nothing_new_is_taken() {
    let pool = turns(2, vec![Turns::new(|_| true)]);
    let running = pool.submit(&spec(), idle()).unwrap();
    let (act, kill) = deadly();
    let _deadly = pool.submit(&spec(), act).unwrap();
    while pool.stats().active_workers < 1 || pool.stats().policy.running < 2 {
        std::thread::yield_now();
    }
    let_them_sleep();
    let waiting = pool.submit(&spec(), quick()).unwrap();
    kill.send(()).unwrap();
    pool.wake();
    let gone = Outcome::Failed(Failure::Panic("the last worker thread is gone".to_owned()));
    for mut left in [running, waiting] {
        assert_eq!(left.wait_timeout(LONG).as_ref(), Some(&gone));
    }
    assert!(matches!(pool.submit(&spec(), quick()), Err(Rejected { error: PoolError::Draining { .. }, .. })));
    assert!(pool.shutdown(soon()).in_time, "there is nothing left to wait for");
}

#[test]
fn a_job_is_never_parked_whatever_its_spec_says() {
    let pool = JobPool::of_threads(1).unwrap();
    let (release, blocked) = channel::<()>();
    let low = TaskSpec { class: Class::Low, ..spec() };
    assert!(low.parkable);
    let running = pool.workers().submit(&low, Box::new(move |_| blocked.recv().is_ok())).unwrap();
    while pool.workers().stats().active_workers == 0 {
        std::thread::yield_now();
    }
    let urgent = pool.workers().submit(&TaskSpec { class: Class::Critical, ..spec() }, Box::new(|_| true)).unwrap();
    assert_eq!(pool.workers().stats().policy.class_preemptions, 0, "a closure cannot be stopped half way");
    release.send(()).unwrap();
    assert_eq!((running.wait(), urgent.wait()), (Outcome::Completed(true), Outcome::Completed(true)));
    pool.workers().shutdown(soon());
}

#[test]
fn a_step_in_flight_is_told_that_a_task_of_it_is_to_stop() {
    let pool = turns(4, vec![Turns::new(|_| true)]);
    let (begin, begun) = channel();
    // It leaves its step only when it is told to.
    let act = move |_: TaskId, ctx: &mut StepContext<'_, Turns>| {
        begin.send(ctx.is_overtaken()).unwrap();
        while !ctx.is_overtaken() {
            std::thread::yield_now();
        }
        Turn::More
    };
    let mut running = pool.submit(&spec(), Box::new(act)).unwrap();
    assert_eq!(begun.recv_timeout(LONG), Ok(false));
    let waiting = pool.submit(&spec(), quick()).unwrap();
    assert!(pool.cancel(running.id()));
    assert_eq!(running.wait_timeout(LONG), Some(Outcome::Cancelled));
    assert_eq!(waiting.wait(), Outcome::Completed(()), "the worker goes on");
    assert_eq!(begun.try_iter().count(), 0, "it was in no other step");
    pool.shutdown(soon());
}
