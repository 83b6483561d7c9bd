//! What the pool's threads share: the policy and the tasks' payloads under one lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use super::outcome::{Failure, Outcome};
use super::turns::Turns;
use crate::catch_panic::catch_panic;
use crate::handover::{Desk, Look, Pledge};
use crate::{Class, Clock, Decision, Ending, Policy, Progress, TaskId, Time, Units, Work};

/// What goes in and out with a task, whoever drives it: each [`Executor`](super::Executor) has it.
pub(super) trait Payload: 'static {
    type Task: Send + 'static;
    type Output: Send + 'static;
}

/// What belongs to a task and is no business of the policy.
pub(super) struct Slot<E: Payload> {
    pub(super) id: TaskId,
    /// Until a worker takes it up.
    pub(super) task: Option<E::Task>,
    pub(super) pledge: Arc<Pledge<Outcome<E::Output>>>,
    pub(super) stop: Arc<AtomicBool>,
}

impl<E: Payload> Slot<E> {
    /// Delivers the outcome. False if there was one already.
    pub(super) fn settle(self, outcome: Outcome<E::Output>) -> bool {
        let first = self.pledge.keep(outcome);
        // With it goes what is not this crate's own: a task that was never taken up, an outcome that nobody waits for.
        if let Err(panic) = catch_panic(|| drop(self)) {
            tracing::error!(panic, "dropping a task or its outcome panicked");
        }
        first
    }
}

/// What whoever changes something has to know about a thread in order to wake the right one.
#[derive(Clone, Copy)]
struct Sleeper {
    /// It found nothing to do when it looked last and has not been rung for since.
    asleep: bool,
    until: Time,
}

impl Sleeper {
    const AWAKE: Sleeper = Sleeper { asleep: false, until: Time::NEVER };
}

/// Everything under the lock.
pub(super) struct State<E: Payload> {
    pub(super) policy: Box<dyn Policy>,
    slots: Vec<Option<Slot<E>>>,
    /// The workers, then the timekeeper if there is one.
    sleepers: Vec<Sleeper>,
    /// Workers whose executor should look again although it said that it is idle.
    nudged: Vec<bool>,
    pub(super) alive: usize,
    /// It has been announced that all is quiet. Nothing new comes after that.
    quiet: bool,
    pub(super) stopping: bool,
}

/// What remains to be done after the lock has been given back.
struct After<E: Payload> {
    settled: Vec<(Slot<E>, Outcome<E::Output>)>,
    rings: Vec<usize>,
    /// How many running tasks have been told to stop.
    stops: u64,
}

/// How long an executor wants to be left alone, if it does.
pub(super) type Rest = Option<Option<Instant>>;

/// What a worker is to do now.
pub(super) enum Todo<E: Payload> {
    Start(TaskId, E::Task),
    Other(Decision),
    /// Take a step, which is for first tokens of this class if there is one; these sit it out.
    Step(Option<Class>, Vec<TaskId>),
    /// Look again.
    Nothing,
    Quit,
}

pub(super) struct Shared<E: Payload> {
    desk: Desk<State<E>>,
    pub(super) workers: usize,
    timekeeper: bool,
    pub(super) clock: Clock,
    start: Instant,
    /// [`Policy::urgent`] as of the last command, for steps in flight: 0, or one more than the class. Written under the lock.
    urgent: AtomicU8,
    /// How many running tasks have been told to stop so far, for steps in flight. Written under the lock.
    stops: AtomicU64,
    /// Its worker serves other pools too, and knows it by this number.
    turns: Option<(Arc<Turns>, usize)>,
}

impl<E: Payload> Shared<E> {
    pub(super) fn new(
        policy: Box<dyn Policy>,
        workers: usize,
        timekeeper: bool,
        clock: Clock,
        turns: Option<(Arc<Turns>, usize)>,
    ) -> Shared<E> {
        let threads = workers + usize::from(timekeeper);
        let state = State {
            policy,
            slots: Vec::new(),
            sleepers: vec![Sleeper::AWAKE; threads],
            nudged: vec![false; workers],
            alive: workers,
            quiet: false,
            stopping: false,
        };
        // A bell for each thread, and one for whoever waits until all is quiet.
        Shared {
            desk: Desk::new("pool.policy", state, threads + 1),
            workers,
            timekeeper,
            start: clock.now(),
            clock,
            urgent: AtomicU8::new(0),
            stops: AtomicU64::new(0),
            turns,
        }
    }

    pub(super) fn now(&self) -> Time {
        Time::from_start(self.clock.since(self.start))
    }

    pub(super) fn time_at(&self, moment: Instant) -> Time {
        Time::from_start(moment.saturating_duration_since(self.start))
    }

    fn instant_at(&self, time: Time) -> Option<Instant> {
        if time == Time::NEVER { None } else { self.start.checked_add(time.since_start()) }
    }

    /// Runs a command under the lock, then sees to what follows from it: outcomes are delivered, workers woken.
    pub(super) fn command<R>(&self, f: impl FnOnce(&mut State<E>) -> R) -> R {
        let (result, after) = self.desk.with(|state| {
            let result = f(state);
            self.show_urgent(&*state.policy);
            (result, self.after(state))
        });
        self.finish(after);
        result
    }

    /// What follows from a command. Steps in flight are told when a task of theirs may be to stop.
    fn after(&self, state: &mut State<E>) -> After<E> {
        let after = state.after();
        // Relaxed: a step that sees it late is left a little later.
        self.stops.fetch_add(after.stops, Ordering::Relaxed);
        after
    }

    /// Relaxed: a step that sees it late is left a little later.
    fn show_urgent(&self, policy: &dyn Policy) {
        self.urgent.store(policy.urgent().map_or(0, |class| 1 + class as u8), Ordering::Relaxed);
        if let Some((turns, member)) = &self.turns {
            turns.show(*member, policy.standing(), policy.waiting_starts() > 0 || policy.has_orders(0));
        }
    }

    /// Whether a step that began then should be left because it is another pool's turn.
    pub(super) fn is_turn_over(&self, began: Instant) -> bool {
        self.turns.as_ref().is_some_and(|(turns, member)| turns.is_over(*member, began))
    }

    fn ring(&self, bell: usize) {
        self.desk.ring(bell);
        if bell < self.workers
            && let Some((turns, _)) = &self.turns
        {
            turns.ring();
        }
    }

    /// How many running tasks have been told to stop so far.
    pub(super) fn stops(&self) -> u64 {
        self.stops.load(Ordering::Relaxed)
    }

    /// The class that should not wait for the steps in flight, as of the last command.
    pub(super) fn urgent(&self) -> Option<Class> {
        let level = self.urgent.load(Ordering::Relaxed);
        Class::ALL.into_iter().find(|&class| 1 + class as u8 == level)
    }

    /// Only looks.
    pub(super) fn read<R>(&self, f: impl FnOnce(&State<E>) -> R) -> R {
        self.desk.with(|state| f(state))
    }

    /// An executor is done with a task, for which its last step did this much.
    pub(super) fn end(&self, id: TaskId, last: &[Progress], ending: Ending, outcome: Outcome<E::Output>) {
        let slot = self.command(|state| {
            last.iter().for_each(|progress| state.policy.count_progress(progress));
            let ending = state.policy.ended(id, ending)?;
            Some((state.take_slot(id)?, ending))
        });
        if let Some((slot, ending)) = slot {
            let outcome = if ending == Ending::Expired { Outcome::Expired } else { outcome };
            slot.settle(outcome);
        }
    }

    /// A job is over that has done this if it has completed. `told`: it knew that it was to stop. Says whether it has completed.
    pub(super) fn end_job(&self, last: &Progress, told: bool, result: Result<E::Output, String>) -> bool {
        let (now, id) = (self.now(), last.task);
        let mut completed = false;
        let ended = self.command(|state| {
            // A deadline that has passed counts, whether or not somebody has looked since.
            state.policy.settle(now);
            let stop = state.policy.stop_of(id).filter(|&ending| told || ending == Ending::Expired);
            let (ending, outcome) = match (stop, result) {
                (Some(Ending::Expired), _) => (Ending::Expired, Outcome::Expired),
                (Some(_), _) => (Ending::Cancelled, Outcome::Cancelled),
                (None, Err(why)) => (Ending::Failed, Outcome::Failed(Failure::Error(why))),
                (None, Ok(output)) => (Ending::Completed, Outcome::Completed(output)),
            };
            completed = ending == Ending::Completed;
            if completed {
                state.policy.count_progress(last);
            }
            state.policy.ended(id, ending)?;
            Some((state.take_slot(id)?, outcome))
        });
        if let Some((slot, outcome)) = ended {
            slot.settle(outcome);
        }
        completed
    }

    /// Tells a worker's executor to look again.
    pub(super) fn nudge_all(&self) {
        self.desk.with(|state| state.nudged.fill(true));
        (0..self.workers).for_each(|worker| self.ring(worker));
    }

    /// What the task has to do, and its stop flag.
    pub(super) fn work_and_stop_flag(&self, id: TaskId) -> (Work, Option<Arc<AtomicBool>>) {
        self.desk.with(|state| (state.policy.work_of(id), state.slot(id).map(|slot| Arc::clone(&slot.stop))))
    }

    /// What a worker is to do; sleeps while there is nothing. `rest` is how long its executor wants to be left alone.
    pub(super) fn next(&self, worker: usize, has_room: bool, rest: Rest) -> Todo<E> {
        let (todo, after) = self.desk.wait_for(worker, |state| self.look(state, worker, has_room, rest));
        self.finish(after);
        todo
    }

    /// As [`next`](Self::next), without sleeping: if there is nothing, until when.
    pub(super) fn next_now(&self, worker: usize, has_room: bool, rest: Rest) -> Result<Todo<E>, Option<Instant>> {
        match self.desk.with(|state| self.look(state, worker, has_room, rest)) {
            Look::Nothing(until) => Err(until),
            Look::Found((todo, after)) => {
                self.finish(after);
                Ok(todo)
            }
        }
    }

    fn look(&self, state: &mut State<E>, worker: usize, has_room: bool, rest: Rest) -> Look<(Todo<E>, After<E>)> {
        // Whatever woke it: if it finds work it is busy, and a start must not be left to it while others sleep.
        state.sleepers[worker] = Sleeper::AWAKE;
        let now = self.now();
        if state.policy.next_deadline().is_some_and(|deadline| deadline <= now) {
            state.policy.settle(now);
            self.show_urgent(&*state.policy);
        }
        let todo = state.todo(worker, has_room, rest, now, self.time_of(rest));
        let after = self.after(state);
        match todo {
            Some(todo) => Look::Found((todo, after)),
            None if !after.is_empty() => Look::Found((Todo::Nothing, after)),
            None => {
                let resting = rest.flatten().map_or(Time::NEVER, |moment| self.time_at(moment));
                let until = state.policy.next_deadline().unwrap_or(Time::NEVER).min(resting);
                state.sleepers[worker] = Sleeper { asleep: true, until };
                Look::Nothing(self.instant_at(until))
            }
        }
    }

    fn time_of(&self, rest: Rest) -> Time {
        match rest {
            None => Time::ZERO,
            Some(None) => Time::NEVER,
            Some(Some(moment)) => self.time_at(moment),
        }
    }

    /// Ends what expires while every worker is inside a long step. Returns when the pool stops.
    pub(super) fn keep_time(&self) {
        let own = self.workers;
        loop {
            let (stop, after) = self.desk.wait_for(own, |state| {
                state.sleepers[own] = Sleeper::AWAKE;
                let now = self.now();
                let due = state.policy.next_deadline().is_some_and(|deadline| deadline <= now);
                if due {
                    state.policy.settle(now);
                    self.show_urgent(&*state.policy);
                }
                if due || state.stopping {
                    return Look::Found((state.stopping, self.after(state)));
                }
                let until = state.policy.next_deadline().unwrap_or(Time::NEVER);
                state.sleepers[own] = Sleeper { asleep: true, until };
                Look::Nothing(self.instant_at(until))
            });
            self.finish(after);
            if stop {
                return;
            }
        }
    }

    /// Waits until `quiet` holds, or the moment comes (which it does not by itself where time is moved by hand). Says whether it holds.
    pub(super) fn wait_until_quiet(&self, until: Option<Instant>, quiet: impl Fn(&State<E>) -> bool) -> bool {
        if self.clock.is_by_hand() {
            return self.desk.with(|state| quiet(state));
        }
        self.desk.wait_for(self.quiet_bell(), |state| match (quiet(state), until) {
            (true, _) => Look::Found(true),
            (false, Some(moment)) if self.clock.now() >= moment => Look::Found(false),
            (false, until) => Look::Nothing(until),
        })
    }

    /// A worker thread is gone. If it panicked, the tasks that it had have failed, and if it was the last, all have.
    pub(super) fn depart(&self, worker: usize, panicked: bool) {
        let now = self.now();
        let last = self.desk.with(|state| {
            state.alive -= 1;
            state.sleepers[worker] = Sleeper::AWAKE; // It will not wake up for anything.
            state.alive == 0
        });
        if panicked {
            let lost = catch_panic(|| self.command(|state| state.lose(worker, last, now)));
            // If even that panics it is the policy that is broken: at least nobody waits for ever.
            let lost = lost.unwrap_or_else(|panic| {
                tracing::error!(panic, "the policy cannot be told that a worker thread is gone");
                self.desk.with(State::take_all_slots)
            });
            let gone = if last { "the last worker thread is gone" } else { "its worker thread is gone" };
            for slot in lost {
                slot.settle(Outcome::Failed(Failure::Panic(gone.to_owned())));
            }
        }
        self.desk.ring(self.quiet_bell());
    }

    /// Rings every bell.
    pub(super) fn ring_all(&self) {
        (0..=self.quiet_bell()).for_each(|bell| self.ring(bell));
    }

    fn quiet_bell(&self) -> usize {
        self.workers + usize::from(self.timekeeper)
    }

    fn finish(&self, after: After<E>) {
        after.rings.into_iter().for_each(|bell| self.ring(bell));
        for (slot, outcome) in after.settled {
            slot.settle(outcome);
        }
    }
}

impl<E: Payload> After<E> {
    fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.rings.is_empty()
    }
}

impl<E: Payload> State<E> {
    pub(super) fn put_slot(&mut self, slot: Slot<E>) {
        let index = slot.id.index();
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(slot);
    }

    pub(super) fn slot(&mut self, id: TaskId) -> Option<&mut Slot<E>> {
        self.slots.get_mut(id.index())?.as_mut().filter(|slot| slot.id == id)
    }

    pub(super) fn take_slot(&mut self, id: TaskId) -> Option<Slot<E>> {
        self.slots.get_mut(id.index())?.take_if(|slot| slot.id == id)
    }

    pub(super) fn take_all_slots(&mut self) -> Vec<Slot<E>> {
        self.slots.iter_mut().filter_map(Option::take).collect()
    }

    /// Ends what nobody will see to any more because its worker thread is gone: what that worker had, or, if it was the
    /// last, everything.
    fn lose(&mut self, worker: usize, last: bool, now: Time) -> Vec<Slot<E>> {
        if last {
            self.policy.drain();
        }
        let lost = if last { self.policy.living() } else { self.policy.kept_by(worker) };
        let slots = lost.into_iter().filter_map(|id| {
            self.policy.ended(id, Ending::Failed);
            self.take_slot(id)
        });
        let slots = slots.collect();
        self.policy.settle(now);
        slots
    }

    fn todo(&mut self, worker: usize, has_room: bool, rest: Rest, now: Time, rest_until: Time) -> Option<Todo<E>> {
        match self.policy.next_decision(worker, has_room) {
            Some(Decision::Start(id)) => {
                let task = self.slot(id).and_then(|slot| slot.task.take());
                return Some(Todo::Start(id, task.expect("a task that has not started has its payload")));
            }
            Some(decision) => return Some(Todo::Other(decision)),
            None => {}
        }
        let busy = self.policy.is_busy(worker);
        if busy && (rest.is_none() || self.nudged[worker] || rest_until <= now) {
            self.nudged[worker] = false;
            let mut sitting_out = Vec::new();
            self.policy.sitting_out(worker, &mut sitting_out);
            return Some(Todo::Step(self.policy.urgent(), sitting_out));
        }
        (self.stopping && !busy).then_some(Todo::Quit)
    }

    /// Has those look that the policy has told to stop since the last time: their workers see the order only after the step.
    /// How many.
    fn raise_stop_flags(&mut self) -> u64 {
        let mut raised = 0;
        while let Some(id) = self.policy.next_stop() {
            if let Some(slot) = self.slot(id) {
                slot.stop.store(true, Ordering::Relaxed);
                raised += 1;
            }
        }
        raised
    }

    /// Takes the outcomes that the policy has decided by itself, and chooses whom to wake.
    fn after(&mut self) -> After<E> {
        let stops = self.raise_stop_flags();
        let mut settled = Vec::new();
        while let Some((id, ending)) = self.policy.next_ended() {
            let outcome = if ending == Ending::Expired { Outcome::Expired } else { Outcome::Cancelled };
            settled.extend(self.take_slot(id).map(|slot| (slot, outcome)));
        }
        let mut rings = Vec::new();
        let mut starts = self.policy.waiting_starts();
        let alarm = self.policy.next_deadline().unwrap_or(Time::NEVER);
        let workers = self.nudged.len();
        for (thread, sleeper) in self.sleepers.iter_mut().enumerate().filter(|(_, sleeper)| sleeper.asleep) {
            let is_worker = thread < workers;
            let start = is_worker && starts > 0;
            if start || alarm < sleeper.until || (is_worker && self.policy.has_orders(thread)) {
                starts -= usize::from(start);
                sleeper.asleep = false;
                rings.push(thread);
            }
        }
        if self.policy.is_draining() && self.policy.is_empty() && !self.quiet {
            self.quiet = true;
            rings.push(self.sleepers.len()); // Whoever waits until all is quiet.
        }
        After { settled, rings, stops }
    }
}

/// A worker's executor's own count, if it has one.
pub(super) fn observe<E: Payload>(state: &mut State<E>, free: Option<Units>) {
    if let Some(free) = free {
        state.policy.observe(free);
    }
}
