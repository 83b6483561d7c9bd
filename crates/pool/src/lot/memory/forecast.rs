//! Will everybody's growth fit? The "past-future" look ahead (LightLLM, ASPLOS 2025): running tasks grow with each
//! step and give everything back when they end, so what matters is not the sum of their peaks but the peak of their sum.
//!
//! Each running task is a line: what it holds, how much it is expected to grow, and in how many steps it is expected
//! to end. Growth is spread evenly over the steps. Sums only peak just before somebody ends, so it is enough to look
//! at those moments, shortest line first: one pass over at most a few hundred lines.

use crate::lot::task::Task;
use crate::{MAX_UNITS, Units};

/// Rounding of the even spread must not refuse what exactly fits.
const TOLERANCE: f64 = 1e-3;

/// What one task does to the units from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// Steps until it is expected to end; `u64::MAX` if that is not known.
    pub(crate) steps: u64,
    /// Whose line it is.
    pub(crate) task: u32,
    /// What it gives back when it ends, apart from its growth.
    pub(crate) held: Units,
    /// What it is expected to take until it ends.
    pub(crate) growth: Units,
}

impl Line {
    /// What a running task does.
    pub(crate) fn of(index: u32, task: &Task) -> Line {
        Line {
            steps: task.steps(),
            task: index,
            held: task.held.units().saturating_add(task.held.promise()),
            growth: task.expected_growth(),
        }
    }
}

/// Where a line stands: the soonest end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    steps: u64,
    task: u32,
    /// Where its amounts are.
    place: u32,
}

/// A line's amounts, in the form in which they are added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Amounts {
    held: [f64; MAX_UNITS],
    per_step: [f64; MAX_UNITS],
}

impl Amounts {
    pub(crate) fn of(line: &Line) -> Amounts {
        let per_step = 1.0 / line.steps.max(1) as f64;
        Amounts {
            held: line.held.amounts().map(|amount| amount as f64),
            per_step: line.growth.amounts().map(|growth| growth as f64 * per_step),
        }
    }
}

/// The lines of all running tasks.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    /// Soonest end first. Amounts are kept apart, so that little has to move when a line comes or goes.
    ends: Vec<End>,
    amounts: Vec<Amounts>,
    free: Vec<u32>,
    /// What all of them take with each step.
    per_step: [f64; MAX_UNITS],
    /// What all of them take until they end.
    growth: [f64; MAX_UNITS],
}

impl Forecast {
    /// Replaces all lines.
    pub(crate) fn rebuild(&mut self, lines: impl Iterator<Item = Line>) {
        self.ends.clear();
        self.amounts.clear();
        self.free.clear();
        // From scratch, so that rounding cannot add up.
        (self.per_step, self.growth) = ([0.0; MAX_UNITS], [0.0; MAX_UNITS]);
        for line in lines {
            let end = self.place(&line);
            self.ends.push(end);
        }
        self.ends.sort_unstable();
    }

    pub(crate) fn insert(&mut self, line: &Line) {
        let end = self.place(line);
        let at = self.ends.partition_point(|other| *other < end);
        self.ends.insert(at, end);
    }

    /// Puts down a line's amounts and adds them to the sums.
    fn place(&mut self, line: &Line) -> End {
        let amounts = Amounts::of(line);
        add(&mut self.per_step, &amounts.per_step, 1.0);
        add(&mut self.growth, &amounts.per_step, line.steps as f64);
        let place = match self.free.pop() {
            Some(place) => {
                self.amounts[place as usize] = amounts;
                place
            }
            None => {
                self.amounts.push(amounts);
                (self.amounts.len() - 1) as u32
            }
        };
        End { steps: line.steps, task: line.task, place }
    }

    pub(crate) fn remove(&mut self, steps: u64, task: u32) {
        let found = self.ends.binary_search_by_key(&(steps, task), |end| (end.steps, end.task));
        let end = self.ends.remove(found.expect("every running task has its line"));
        let amounts = &self.amounts[end.place as usize];
        add(&mut self.per_step, &amounts.per_step, -1.0);
        add(&mut self.growth, &amounts.per_step, -(steps as f64));
        self.free.push(end.place);
    }

    /// All lines in order: steps, task, amounts.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (u64, u32, &Amounts)> {
        self.ends.iter().map(|end| (end.steps, end.task, &self.amounts[end.place as usize]))
    }

    /// Steps until the first running task is expected to end.
    pub(crate) fn first_end(&self) -> Option<u64> {
        self.ends.first().map(|end| end.steps).filter(|&steps| steps != u64::MAX)
    }

    /// Whether the growth of all lines and of `newcomer` fits in `room` (free units, what the newcomer holds already
    /// deducted) at every moment, if the lines that `leave` names were gone.
    ///
    /// Only until the newcomer ends: what comes after that it does not make worse.
    pub(crate) fn fits(&self, newcomer: &Line, room: Units, leave: impl Fn(u32) -> bool) -> bool {
        let (last, newcomer) = (newcomer.steps, Amounts::of(newcomer));
        let mut room = room.amounts().map(|amount| amount as f64 + TOLERANCE);
        // If everybody could grow at once there is nothing to look at.
        let mut growth = self.growth;
        add(&mut growth, &newcomer.per_step, last as f64);
        if fit(&growth, 1.0, &room) {
            return true;
        }
        let mut per_step = self.per_step;
        add(&mut per_step, &newcomer.per_step, 1.0);
        for (_, _, gone) in self.lines().filter(|&(_, task, _)| leave(task)) {
            add(&mut per_step, &gone.per_step, -1.0);
        }
        for (steps, _, line) in self.lines().filter(|&(_, task, _)| !leave(task)) {
            // What never ends is reserved in full and does not grow.
            if steps >= last || steps == u64::MAX {
                break;
            }
            if !fit(&per_step, steps as f64, &room) {
                return false;
            }
            // It takes no more, and gives back what it held (what it grew by cancels out).
            add(&mut per_step, &line.per_step, -1.0);
            add(&mut room, &line.held, 1.0);
        }
        last == u64::MAX || fit(&per_step, last as f64, &room)
    }

    /// The most that all lines together will have taken, at the worst moment, on top of what they hold now.
    pub(crate) fn peak(&self) -> Units {
        let (mut per_step, mut given_back, mut peak) = (self.per_step, [0.0; MAX_UNITS], [0.0_f64; MAX_UNITS]);
        // What never ends is reserved in full and does not grow.
        for (steps, _, line) in self.lines().take_while(|&(steps, ..)| steps != u64::MAX) {
            for (peak, (rate, back)) in peak.iter_mut().zip(per_step.iter().zip(given_back)) {
                *peak = peak.max(rate * steps as f64 - back);
            }
            add(&mut per_step, &line.per_step, -1.0);
            add(&mut given_back, &line.held, 1.0);
        }
        Units::from(peak.map(|amount| (amount - TOLERANCE).ceil().max(0.0) as u64))
    }
}

fn add(sum: &mut [f64; MAX_UNITS], amounts: &[f64; MAX_UNITS], times: f64) {
    for (sum, amount) in sum.iter_mut().zip(amounts) {
        *sum += amount * times;
    }
}

fn fit(per_step: &[f64; MAX_UNITS], steps: f64, room: &[f64; MAX_UNITS]) -> bool {
    per_step.iter().zip(room).all(|(rate, room)| rate * steps <= *room)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(task: u32, steps: u64, held: u64, growth: u64) -> Line {
        Line { steps, task, held: Units::from([held]), growth: Units::from([growth]) }
    }

    #[test]
    fn the_peak_of_the_sum_counts_and_not_the_sum_of_peaks() {
        let mut forecast = Forecast::default();
        // Ends in 10 steps and gives 20 back, long before the newcomer needs them.
        forecast.insert(&line(0, 10, 20, 5));
        let newcomer = line(1, 100, 10, 20);
        assert!(forecast.fits(&newcomer, Units::from([7]), |_| false));
        // At the end of task 0 both together have taken 5 + 2.
        assert!(!forecast.fits(&newcomer, Units::from([6]), |_| false));
    }

    #[test]
    fn the_peak_is_where_the_most_has_grown_and_the_least_been_given_back() {
        let mut forecast = Forecast::default();
        assert_eq!(forecast.peak(), Units::ZERO);
        forecast.insert(&line(0, 10, 20, 5));
        assert_eq!(forecast.peak(), Units::from([5]));
        // After 10 steps 5 + 3 have been taken, after 100 30 but 20 given back.
        forecast.insert(&line(1, 100, 4, 30));
        assert_eq!(forecast.peak(), Units::from([10]));
        // It never ends and has all that it can need.
        forecast.insert(&line(2, u64::MAX, 9, 0));
        assert_eq!(forecast.peak(), Units::from([10]));
    }

    #[test]
    fn what_exactly_fits_is_taken() {
        let mut forecast = Forecast::default();
        for task in 0..7 {
            forecast.insert(&line(task, 3, 1, 1));
        }
        let newcomer = line(9, 3, 1, 1);
        assert!(forecast.fits(&newcomer, Units::from([8]), |_| false));
        assert!(!forecast.fits(&newcomer, Units::from([7]), |_| false));
        assert!(forecast.fits(&newcomer, Units::from([7]), |task| task == 3));
    }
}
