//! Who sends what, and when.

use std::time::Duration;

use parkade_pool::{Class, Cost, Lot, Policy, TaskSpec, Time, Units, Work};

use super::Dice;
use super::machine::{BLOCK_LEN, Sequence};

/// When requests come.
#[derive(Clone, Copy, Debug)]
pub enum Arrivals {
    /// Independently, this many a second.
    Poisson(f64),
    /// Together, this many at a time and a second.
    Bursts { size: u64, rate: f64 },
    /// Always so many that this many wait.
    Backlog(u64),
}

/// How long prompts and answers are.
#[derive(Clone, Copy, Debug)]
pub enum Lengths {
    /// Evenly from 1 to these.
    Even { prompt: u64, answer: u64 },
    /// Mostly short, sometimes up to these (Pareto with the exponent 1.2).
    HeavyTailed { prompt: u64, answer: u64 },
}

/// Who sends.
#[derive(Clone, Copy, Debug)]
pub enum Tenants {
    /// So many, equally.
    Equal(u64),
    /// So many, the first a hundred times as much as each of the others.
    Flood(u64),
    /// A new name each time.
    Fresh,
    /// So many; the one that has the fewest waiting sends next, so that each always has something waiting.
    Hungriest(u64),
}

/// Traffic of one kind.
#[derive(Clone, Debug)]
pub struct Traffic {
    pub arrivals: Arrivals,
    pub lengths: Lengths,
    pub tenants: Tenants,
    /// How the classes are mixed, lowest first.
    pub classes: [u64; 4],
    /// How many in a thousand have a deadline.
    pub deadlines: u64,
    /// How many in a thousand cannot be parked.
    pub unparkable: u64,
    /// How wrong predictions are: the real answer is up to this many times as long as predicted, or shorter.
    pub misestimate: u64,
    next: Time,
    together: u64,
    sent: u64,
    stopped: bool,
}

/// One request.
pub struct Arrival {
    pub spec: TaskSpec,
    pub sequence: Option<Sequence>,
}

impl Traffic {
    pub fn new(arrivals: Arrivals, lengths: Lengths, tenants: Tenants) -> Traffic {
        Traffic {
            arrivals,
            lengths,
            tenants,
            classes: [1, 6, 2, 1],
            deadlines: 200,
            unparkable: 50,
            misestimate: 3,
            next: Time::ZERO,
            together: 0,
            sent: 0,
            stopped: false,
        }
    }

    pub fn stop(&mut self) {
        self.stopped = true;
    }

    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The next request that has come by now.
    pub fn next(&mut self, now: Time, lot: &Lot, dice: &mut Dice) -> Option<Arrival> {
        if self.stopped || !self.is_due(now, lot, dice) {
            return None;
        }
        self.sent += 1;
        Some(self.request(now, lot, dice))
    }

    fn is_due(&mut self, now: Time, lot: &Lot, dice: &mut Dice) -> bool {
        let gap = |rate: f64, dice: &mut Dice| Duration::from_secs_f64(-dice.unit().ln() / rate);
        match self.arrivals {
            Arrivals::Backlog(waiting) => return lot.present() < waiting,
            Arrivals::Poisson(rate) => {
                if self.next > now {
                    return false;
                }
                self.next = self.next.after(gap(rate, dice));
            }
            Arrivals::Bursts { size, rate } => {
                if self.together == 0 {
                    if self.next > now {
                        return false;
                    }
                    self.next = self.next.after(gap(rate, dice));
                    self.together = size;
                }
                self.together -= 1;
            }
        }
        true
    }

    fn request(&self, now: Time, lot: &Lot, dice: &mut Dice) -> Arrival {
        let (prompt, predicted) = match self.lengths {
            Lengths::Even { prompt, answer } => (1 + dice.below(prompt), 1 + dice.below(answer)),
            Lengths::HeavyTailed { prompt, answer } => {
                let tail = |most: u64, dice: &mut Dice| ((2.0 / dice.unit().powf(1.0 / 1.2)) as u64).clamp(1, most);
                (tail(prompt, dice), tail(answer, dice))
            }
        };
        let most = predicted * self.misestimate.max(1);
        let answer = 1 + dice.below(most);
        let (tenant, name) = self.sender(lot, dice);
        let class = self.class(dice);
        let now_blocks = (prompt + 1).div_ceil(BLOCK_LEN);
        let growth = |answer: u64| Units::from([(prompt + answer).div_ceil(BLOCK_LEN).saturating_sub(now_blocks)]);
        let deadline = |dice: &mut Dice| now.after(Duration::from_millis(1 + dice.below(400)));
        let dated = dice.per_mille(self.deadlines);
        let whole = (dated && dice.per_mille(500)).then(|| deadline(dice));
        let first = (dated && dice.per_mille(500)).then(|| deadline(dice));
        let parkable = !dice.per_mille(self.unparkable);
        let spec = TaskSpec {
            class,
            rank: dice.below(2) as i64,
            deadline: whole,
            first_token_deadline: first,
            work: Work::new(prompt, predicted),
            parkable,
            ..TaskSpec::new(name, Cost::growing(Units::from([now_blocks, 1]), growth(predicted), growth(most)))
        };
        let start_deadline = whole.into_iter().chain(first).min().unwrap_or(Time::NEVER);
        let sequence = Sequence {
            class,
            tenant,
            start_deadline,
            prompt,
            answer,
            produced: 0,
            computed: 0,
            blocks: now_blocks,
            running: false,
            parkable,
        };
        Arrival { spec, sequence: Some(sequence) }
    }

    fn sender(&self, lot: &Lot, dice: &mut Dice) -> (usize, String) {
        let number = match self.tenants {
            Tenants::Equal(count) => dice.below(count),
            Tenants::Flood(count) => dice.below(100 + count - 1).saturating_sub(99),
            Tenants::Fresh => return (0, format!("fresh-{}", self.sent)),
            Tenants::Hungriest(count) => {
                let waiting =
                    |number: &u64| lot.tenant_stats(&format!("tenant-{number}")).map_or(0, |tenant| tenant.waiting);
                (0..count).min_by_key(waiting).expect("there are tenants")
            }
        };
        (number as usize, format!("tenant-{number}"))
    }

    fn class(&self, dice: &mut Dice) -> Class {
        let mut at = dice.below(self.classes.iter().sum());
        for class in Class::ALL {
            let part = self.classes[class as usize];
            if at < part {
                return class;
            }
            at -= part;
        }
        unreachable!("below the sum")
    }
}
