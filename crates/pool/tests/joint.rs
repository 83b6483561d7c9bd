//! Several pools with one worker: whose turn it is, who is woken, and what each has to itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use parkade_pool::*;
use parkade_sync::Mutex;

/// Reached only by a fault.
const LONG: Duration = Duration::from_secs(120);
const MS: Duration = Duration::from_millis(1);
/// A task of so many steps panics at its first.
const PANICS: u64 = u64::MAX;

/// Tasks of so many steps, each of which takes a while.
struct Steps {
    clock: Clock,
    /// Lets time pass.
    pass: fn(&Clock, Duration),
    takes: Duration,
    running: Vec<(TaskId, u64)>,
    log: Arc<Mutex<Vec<(&'static str, ThreadId)>>>,
    name: &'static str,
    panics_when_dropped: bool,
}

impl Drop for Steps {
    fn drop(&mut self) {
        assert!(!self.panics_when_dropped || std::thread::panicking(), "as asked");
    }
}

impl Executor for Steps {
    type Task = u64;
    type Output = &'static str;

    fn admit(&mut self, id: TaskId, steps: u64) {
        self.running.push((id, steps));
    }

    fn park(&mut self, _id: TaskId) {}

    fn resume(&mut self, _id: TaskId) {}

    fn cancel(&mut self, id: TaskId) {
        self.running.retain(|(other, _)| *other != id);
    }

    /// A step is left as soon as it is another's turn; what it was left with is not done.
    fn step(&mut self, ctx: &mut StepContext<'_, Self>) -> Step {
        self.log.lock().push((self.name, std::thread::current().id()));
        let mut left = self.takes;
        while !left.is_zero() {
            (self.pass)(&self.clock, MS.min(left));
            left = left.saturating_sub(MS);
            if ctx.is_overtaken() {
                return Step::Again;
            }
        }
        let name = self.name;
        self.running.retain_mut(|(id, steps)| {
            assert!(*steps != PANICS, "as asked");
            *steps -= 1;
            ctx.progress(*id, 1, 0);
            if *steps == 0 {
                ctx.complete(*id, name);
            }
            *steps > 0
        });
        Step::Again
    }
}

type Log = Arc<Mutex<Vec<(&'static str, ThreadId)>>>;

fn members(clock: &Clock, pass: fn(&Clock, Duration), takes: [Duration; 2]) -> (Vec<(PoolConfig, Steps)>, Log) {
    let log: Log = Arc::new(Mutex::new("log", Vec::new()));
    let member = |(name, takes)| {
        let lot = Lot::new(PolicyConfig::new(Capacity::new([("slots", 4)]))).unwrap();
        let config = PoolConfig { clock: clock.clone(), timekeeper: true, ..PoolConfig::new(lot) };
        let (clock, log) = (clock.clone(), Arc::clone(&log));
        (config, Steps { clock, pass, takes, running: Vec::new(), log, name, panics_when_dropped: false })
    };
    (["chat", "texts"].into_iter().zip(takes).map(member).collect(), log)
}

fn sleep(_: &Clock, time: Duration) {
    std::thread::sleep(time);
}

fn spec(class: Class) -> TaskSpec {
    TaskSpec { class, ..TaskSpec::new("tenant", Cost::fixed(Units::from([1]))) }
}

fn pair<T>(list: Vec<T>) -> [T; 2] {
    list.try_into().ok().unwrap()
}

#[test]
fn tasks_of_both_pools_get_done_on_one_thread_which_sleeps_between_them() {
    let (members, log) = members(&Clock::default(), sleep, [MS, MS]);
    let [chat, texts] = pair(WorkerPool::start_joint(members).unwrap());
    for round in 0..3 {
        let tickets = [&chat, &texts].map(|pool| pool.submit(&spec(Class::Normal), 2 + round).unwrap());
        let done = tickets.map(|mut ticket| ticket.wait_timeout(LONG));
        assert_eq!(done, [Some(Outcome::Completed("chat")), Some(Outcome::Completed("texts"))]);
        std::thread::sleep(20 * MS);
        let mut alone = texts.submit(&spec(Class::Normal), 1).unwrap();
        assert_eq!(alone.wait_timeout(LONG), Some(Outcome::Completed("texts")));
        std::thread::sleep(20 * MS);
    }
    let log = log.lock();
    assert!(log.iter().all(|(_, thread)| *thread == log[0].1), "one thread for both");
}

#[test]
fn each_pool_ends_by_itself_and_the_thread_with_the_last() {
    let (members, _) = members(&Clock::default(), sleep, [MS, MS]);
    let [chat, texts] = pair(WorkerPool::start_joint(members).unwrap());
    let mut long = texts.submit(&spec(Class::Normal), 100).unwrap();
    assert!(chat.shutdown(Drain::within(LONG)).in_time);
    assert!(matches!(chat.submit(&spec(Class::Normal), 1).unwrap_err().error, PoolError::Draining { .. }));
    assert!(!chat.handle().is_alive() && texts.handle().is_alive());
    assert_eq!(long.wait_timeout(LONG), Some(Outcome::Completed("texts")));
    assert!(texts.shutdown(Drain::within(LONG)).in_time);
    assert!(!texts.handle().is_alive());
}

#[test]
fn a_panic_in_a_step_of_one_pool_is_no_business_of_the_other() {
    let (members, _) = members(&Clock::default(), sleep, [MS, MS]);
    let [chat, texts] = pair(WorkerPool::start_joint(members).unwrap());
    let going = chat.submit(&spec(Class::Normal), 50).unwrap();
    let mut panics = texts.submit(&spec(Class::Normal), PANICS).unwrap();
    assert!(matches!(panics.wait_timeout(LONG), Some(Outcome::Failed(Failure::Panic(_)))));
    assert_eq!(going.wait(), Outcome::Completed("chat"));
    let mut after = texts.submit(&spec(Class::Normal), 2).unwrap();
    assert_eq!(after.wait_timeout(LONG), Some(Outcome::Completed("texts")));
}

#[test]
fn both_pools_know_when_their_worker_has_died() {
    let (mut members, _) = members(&Clock::default(), sleep, [MS, MS]);
    members[0].1.panics_when_dropped = true;
    let [chat, texts] = pair(WorkerPool::start_joint(members).unwrap());
    let mut waits = texts.submit(&spec(Class::Normal), 100_000).unwrap();
    assert_eq!(chat.shutdown(Drain::within(LONG)).given_up, 0);
    assert!(matches!(waits.wait_timeout(LONG), Some(Outcome::Failed(Failure::Panic(_)))));
    assert!(!texts.handle().is_alive());
    assert!(texts.submit(&spec(Class::Normal), 1).is_err());
}

/// What each had done by itself when the first has ended, by hand in virtual time; and when that was.
fn race(takes: [Duration; 2], classes: [Class; 2], steps: [u64; 2]) -> (Duration, [usize; 2]) {
    let clock = Clock::by_hand();
    let start = clock.now();
    let (members, log) = members(&clock, Clock::advance, takes);
    let (pools, mut worker) = WorkerPool::joint_by_hand(members);
    let [chat, texts] = pair(pools);
    let mut of_texts = texts.submit(&spec(classes[1]), steps[1]).unwrap();
    while log.lock().is_empty() {
        assert_ne!(worker.turn(), Turn::Stopped);
    }
    let mut of_chat = chat.submit(&spec(classes[0]), steps[0]).unwrap();
    while of_chat.wait_timeout(Duration::ZERO).is_none() && of_texts.wait_timeout(Duration::ZERO).is_none() {
        assert_ne!(worker.turn(), Turn::Stopped);
    }
    let count = |name| log.lock().iter().filter(|(of, _)| *of == name).count();
    (clock.since(start), [count("chat"), count("texts")])
}

#[test]
fn a_first_token_of_a_higher_class_waits_for_no_more_than_a_layer_and_equals_share_the_time() {
    // Of 40 ms of work for a first token beside steps of 4 ms, the other has had nothing but its first step.
    let (took, [_, texts]) = race([10 * MS, 4 * MS], [Class::Normal, Class::Low], [4, 1000]);
    assert!(took <= 45 * MS && texts <= 2, "{took:?} {texts}");
    let (took, _) = race([4 * MS, 4 * MS], [Class::Normal, Class::Normal], [50, 1000]);
    assert!((390 * MS..420 * MS).contains(&took), "{took:?}");
}
