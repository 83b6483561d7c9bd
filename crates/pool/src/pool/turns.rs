//! Whose turn it is, where one worker serves several pools: only time is shared between them, and each decides by itself about the rest.
//!
//! A pool goes before another while a first token is due in it of a higher class than all that runs in the other, as long as it has not had
//! more than its share and a [`CREDIT`]. Else the one goes that has had the least time for its weight, the weight of the highest class that runs
//! in it. A step that could take long is left in the middle when it is another's turn.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::loom_shim::{Condvar, Mutex};
use crate::{Class, Clock, Standing};

/// By how much time, for its weight, a pool may be ahead whose first tokens go before others.
const CREDIT: Duration = Duration::from_secs(2);

/// How much of that it pays back at once, when its first tokens are out: as long, for their weight, may its streams pause for the others. The rest
/// only counts against its next claims.
const PAYBACK: Duration = Duration::from_millis(50);

/// A step is not left earlier for an equal: to leave it and to go on with it costs something too.
const SLICE: Duration = Duration::from_millis(5);

/// What the worker and the callers of several pools know of each other's pools.
pub(super) struct Turns {
    members: Vec<Member>,
    /// The least that any of those that could be stepped had had when one was chosen last, see [`Member::served`] and [`Member::paced`].
    floor_served: AtomicU64,
    floor_paced: AtomicU64,
    clock: Clock,
    rung: Mutex<bool>,
    bell: Condvar,
}

/// One pool. All of it is relaxed: a step that sees it late is left a little later, and what the worker does is ordered by the pools' own locks.
#[derive(Default)]
struct Member {
    /// Of its policy, as of its last command: 0, or one more than the class of the first tokens that are due.
    first_token: AtomicU32,
    /// 0, or one more than the highest class that runs.
    top: AtomicU32,
    weight: AtomicU32,
    /// A task of it waits for the worker.
    is_awaited: AtomicBool,
    /// It could have been stepped when the worker looked last.
    is_ready: AtomicBool,
    /// The time that it has had, for its weight, in nanoseconds. Only the worker writes it, and the next.
    served: AtomicU64,
    /// The same without what it need not pay back at once. By this it is chosen.
    paced: AtomicU64,
    /// It was chosen for a claim of its first tokens.
    claimed: AtomicBool,
}

impl Member {
    fn weight(&self) -> u64 {
        u64::from(self.weight.load(Ordering::Relaxed).max(1))
    }

    /// So much time, for its weight.
    fn weighted(&self, time: Duration) -> u64 {
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) / self.weight()
    }

    fn wants(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed) || self.is_awaited.load(Ordering::Relaxed)
    }
}

impl Turns {
    pub(super) fn new(members: usize, clock: Clock) -> Turns {
        Turns {
            members: (0..members).map(|_| Member::default()).collect(),
            floor_served: AtomicU64::new(0),
            floor_paced: AtomicU64::new(0),
            clock,
            rung: Mutex::new("pool.turns", false),
            bell: Condvar::new(),
        }
    }

    /// Tells how a pool stands since its last command.
    pub(super) fn show(&self, member: usize, standing: Standing, is_awaited: bool) {
        let member = &self.members[member];
        let level = |class: Option<Class>| class.map_or(0, |class| 1 + class as u32);
        member.first_token.store(level(standing.first_token), Ordering::Relaxed);
        member.top.store(level(standing.highest), Ordering::Relaxed);
        member.weight.store(standing.weight, Ordering::Relaxed);
        member.is_awaited.store(is_awaited, Ordering::Relaxed);
    }

    /// Which of those that can be stepped is. `ready` is not empty, and in order.
    pub(super) fn next(&self, ready: &[usize]) -> usize {
        self.settle(ready);
        let mut next = ready[0];
        for &member in &ready[1..] {
            let goes_before = match (self.has_claim(member, next), self.has_claim(next, member)) {
                (false, false) => self.paced(member) < self.paced(next),
                (claim, _) => claim,
            };
            next = if goes_before { member } else { next };
        }
        let claimed = ready.iter().any(|&other| other != next && self.has_claim(next, other));
        self.members[next].claimed.store(claimed, Ordering::Relaxed);
        next
    }

    /// Whoever was away is taken to have had as much as the least of those that stayed, or of those that were here last: absence earns no credit.
    fn settle(&self, ready: &[usize]) {
        type Time = fn(&Member) -> &AtomicU64;
        let times: [(&AtomicU64, Time); 2] =
            [(&self.floor_served, |member| &member.served), (&self.floor_paced, |member| &member.paced)];
        for (floor, time) in times {
            let time = |member: usize| time(&self.members[member]);
            let least = |of: &dyn Fn(usize) -> bool| {
                ready.iter().filter(|&&member| of(member)).map(|&member| time(member).load(Ordering::Relaxed)).min()
            };
            let stayed = |member: usize| self.members[member].is_ready.load(Ordering::Relaxed);
            let least_stayed = least(&stayed).unwrap_or_else(|| floor.load(Ordering::Relaxed));
            for &member in ready.iter().filter(|&&member| !stayed(member)) {
                time(member).fetch_max(least_stayed, Ordering::Relaxed);
            }
            floor.fetch_max(least(&|_| true).unwrap_or(0), Ordering::Relaxed);
        }
        for (number, member) in self.members.iter().enumerate() {
            member.is_ready.store(ready.contains(&number), Ordering::Relaxed);
        }
    }

    /// A pool's step took so long.
    pub(super) fn spent(&self, member: usize, time: Duration) {
        let (own, number) = (&self.members[member], member);
        let more = own.weighted(time);
        own.served.store(own.served.load(Ordering::Relaxed).saturating_add(more), Ordering::Relaxed);
        let mut paced = self.paced(number).saturating_add(more);
        if own.claimed.load(Ordering::Relaxed) {
            let others = self.members.iter().enumerate().filter(|(other, member)| *other != number && member.wants());
            let least = others.map(|(other, _)| self.paced(other)).min().unwrap_or(u64::MAX);
            paced = paced.min(least.saturating_add(PAYBACK_NANOS)).max(self.paced(number));
        }
        own.paced.store(paced, Ordering::Relaxed);
    }

    /// Whether a pool's step, which began then, should be left in the middle because it is another's turn.
    pub(super) fn is_over(&self, own: usize, began: Instant) -> bool {
        let elapsed = self.clock.since(began);
        let paced = self.paced(own).saturating_add(self.members[own].weighted(elapsed));
        let others = self.members.iter().enumerate().filter(|(number, member)| *number != own && member.wants());
        others.into_iter().any(|(other, _)| {
            let has_had_less = elapsed >= SLICE && self.paced(other) < paced && !self.has_claim(own, other);
            has_had_less || self.has_claim(other, own)
        })
    }

    fn paced(&self, member: usize) -> u64 {
        self.members[member].paced.load(Ordering::Relaxed)
    }

    /// Whether the first tokens of one pool go before all that another does.
    fn has_claim(&self, member: usize, other: usize) -> bool {
        let (member, other) = (&self.members[member], &self.members[other]);
        let is_higher = member.first_token.load(Ordering::Relaxed) > other.top.load(Ordering::Relaxed);
        let is_within_share = || {
            member.served.load(Ordering::Relaxed) <= other.served.load(Ordering::Relaxed).saturating_add(CREDIT_NANOS)
        };
        is_higher && is_within_share()
    }

    /// Wakes the worker.
    pub(super) fn ring(&self) {
        *self.rung.lock() = true;
        self.bell.notify_all();
    }

    /// Sleeps until somebody has rung since the last time, or the moment comes.
    pub(super) fn wait(&self, until: Option<Instant>) {
        let mut rung = self.rung.lock();
        while !*rung {
            match until {
                None => self.bell.wait(&mut rung),
                Some(moment) => {
                    if self.bell.wait_until(&mut rung, moment) {
                        break;
                    }
                }
            }
        }
        *rung = false;
    }
}

const CREDIT_NANOS: u64 = CREDIT.as_nanos() as u64;
const PAYBACK_NANOS: u64 = PAYBACK.as_nanos() as u64;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn standing(first_token: Option<Class>, highest: Class, weight: u32) -> Standing {
        Standing { first_token, highest: Some(highest), weight }
    }

    fn of(standings: [Standing; 2]) -> (Turns, Clock) {
        let clock = Clock::by_hand();
        let turns = Turns::new(2, clock.clone());
        standings.into_iter().enumerate().for_each(|(member, standing)| turns.show(member, standing, false));
        (turns, clock)
    }

    /// How much of a second of steps each gets.
    fn shares(turns: &Turns, steps: [Duration; 2], seconds: u64) -> [Duration; 2] {
        let mut had = [Duration::ZERO; 2];
        while had[0] + had[1] < Duration::from_secs(seconds) {
            let next = turns.next(&[0, 1]);
            turns.spent(next, steps[next]);
            had[next] += steps[next];
        }
        had
    }

    #[test]
    fn equals_get_the_same_time_however_long_their_steps_are() {
        let (turns, _) = of([standing(None, Class::Normal, 4), standing(Some(Class::Normal), Class::Normal, 4)]);
        let [one, other] = shares(&turns, [MS, 70 * MS], 60).map(|time| time.as_secs_f64());
        assert!((one / other - 1.0).abs() < 0.01, "{one} {other}");
    }

    #[test]
    fn classes_get_time_by_their_weights() {
        let (turns, _) = of([standing(None, Class::Normal, 4), standing(Some(Class::Low), Class::Low, 1)]);
        let [one, other] = shares(&turns, [3 * MS, 20 * MS], 60).map(|time| time.as_secs_f64());
        assert!((one / other - 4.0).abs() < 0.1, "{one} {other}");
    }

    #[test]
    fn a_first_token_goes_before_a_lower_class_as_long_as_it_has_had_no_more_than_its_share_and_some() {
        let (turns, _) =
            of([standing(Some(Class::Normal), Class::Normal, 4), standing(Some(Class::Low), Class::Low, 1)]);
        let mut ahead = Duration::ZERO;
        while turns.next(&[0, 1]) == 0 {
            turns.spent(0, 10 * MS);
            ahead += 10 * MS;
        }
        assert!((7_900..8_200).contains(&ahead.as_millis()), "two seconds at a weight of 4: {ahead:?}");
        let [one, other] = shares(&turns, [10 * MS; 2], 60).map(|time| time.as_secs_f64());
        assert!((one / other - 4.0).abs() < 0.5, "nobody waits for ever: {one} {other}");
    }

    #[test]
    fn streams_pause_no_longer_than_a_moment_for_what_their_first_tokens_took() {
        let (turns, _) = of([standing(Some(Class::Normal), Class::Normal, 4), standing(None, Class::Low, 1)]);
        // A second of first tokens, then answers.
        (0..100).for_each(|_| {
            assert_eq!(turns.next(&[0, 1]), 0);
            turns.spent(0, 10 * MS);
        });
        turns.show(0, standing(None, Class::Normal, 4), false);
        let mut pause = Duration::ZERO;
        while turns.next(&[0, 1]) == 1 {
            turns.spent(1, 5 * MS);
            pause += 5 * MS;
        }
        assert!((40..=60).contains(&pause.as_millis()), "{pause:?}");
    }

    #[test]
    fn absence_earns_no_credit() {
        let (turns, _) = of([standing(None, Class::Normal, 1), standing(None, Class::Normal, 1)]);
        (0..1000).for_each(|_| turns.spent(turns.next(&[1]), 10 * MS));
        let [one, other] = shares(&turns, [10 * MS; 2], 2).map(|time| time.as_millis());
        assert!(one.abs_diff(other) <= 10, "{one} {other}");
        // Nor if the others are away when it comes back.
        (0..1000).for_each(|_| turns.spent(turns.next(&[1]), 10 * MS));
        turns.spent(turns.next(&[0]), 10 * MS);
        let [one, other] = shares(&turns, [10 * MS; 2], 2).map(|time| time.as_millis());
        assert!(one.abs_diff(other) <= 20, "{one} {other}");
    }

    #[test]
    fn a_step_is_left_at_once_for_a_higher_first_token_and_after_a_while_for_an_equal() {
        let (turns, clock) = of([standing(None, Class::Normal, 1), standing(None, Class::Normal, 1)]);
        assert_eq!(turns.next(&[1]), 1);
        let began = clock.now();
        clock.advance(500 * MS);
        assert!(!turns.is_over(1, began), "nobody else wants anything");
        turns.show(0, standing(Some(Class::Normal), Class::Normal, 1), true);
        assert!(turns.is_over(1, began), "an equal that has come");
        let began = clock.now();
        clock.advance(MS);
        assert!(!turns.is_over(1, began), "not before a slice is over");
        turns.show(0, standing(Some(Class::High), Class::High, 16), true);
        assert!(turns.is_over(1, began), "a higher class");
        turns.show(1, standing(None, Class::High, 16), false);
        assert!(!turns.is_over(1, began), "no higher than what runs");
    }

    #[test]
    fn a_bell_that_rang_before_the_sleep_ends_it() {
        let (turns, _) = of([standing(None, Class::Normal, 1), standing(None, Class::Normal, 1)]);
        turns.ring();
        turns.wait(None);
        turns.wait(Some(Instant::now()));
    }
}
