//! Will everybody's growth fit? The "past-future" look ahead (LightLLM, ASPLOS 2025): running tasks grow with each
//! step and give everything back when they end, so what matters is not the sum of their peaks but the peak of their sum.
//!
//! Each running task is a line: what it holds, how much it is expected to grow, and in how many steps it is expected
//! to end. Growth is spread evenly over the steps. Sums only peak just before somebody ends, so it is enough to look
//! at those moments, shortest line first: one pass over at most a few hundred lines.

use crate::Units;
use crate::units::MAX_UNITS;

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
    fn key(&self) -> (u64, u32) {
        (self.steps, self.task)
    }
}

/// The lines of all running tasks, soonest end first.
#[derive(Debug)]
pub(crate) struct Forecast {
    lines: Vec<Line>,
    growth: Units,
    kinds: usize,
}

impl Forecast {
    pub(crate) fn new(kinds: usize) -> Forecast {
        Forecast { lines: Vec::new(), growth: Units::ZERO, kinds }
    }

    /// Replaces all lines.
    pub(crate) fn rebuild(&mut self, lines: impl Iterator<Item = Line>) {
        self.lines.clear();
        self.lines.extend(lines);
        self.lines.sort_unstable_by_key(Line::key);
        self.growth = self.lines.iter().fold(Units::ZERO, |sum, line| sum.saturating_add(line.growth));
    }

    pub(crate) fn insert(&mut self, line: Line) {
        let at = self.lines.partition_point(|other| other.key() < line.key());
        self.growth = self.growth.saturating_add(line.growth);
        self.lines.insert(at, line);
    }

    pub(crate) fn remove(&mut self, steps: u64, task: u32) {
        let found = self.lines.binary_search_by_key(&(steps, task), Line::key);
        let line = self.lines.remove(found.expect("every running task has its line"));
        self.growth = self.growth.saturating_sub(line.growth);
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Steps until the first running task is expected to end.
    pub(crate) fn first_end(&self) -> Option<u64> {
        self.lines.first().map(|line| line.steps).filter(|&steps| steps != u64::MAX)
    }

    /// Whether the growth of all lines and of `newcomer` fits in `room` (free units, what the newcomer holds already
    /// deducted) at every moment, if the lines that `leave` names were gone.
    pub(crate) fn fits(&self, newcomer: &Line, room: Units, leave: impl Fn(u32) -> bool) -> bool {
        // If everybody could grow at once there is nothing to look at.
        if self.growth.saturating_add(newcomer.growth).fits_in(room) {
            return true;
        }
        let room = room.amounts().map(|amount| amount as f64 + TOLERANCE);
        let mut sum = Rates::default();
        for line in &self.lines {
            if !leave(line.task) {
                sum.add(line);
            }
        }
        sum.add(newcomer);
        let mut given_back = [0.0; MAX_UNITS];
        let mut own_end_seen = false;
        for line in &self.lines {
            if leave(line.task) {
                continue;
            }
            if !own_end_seen && newcomer.steps <= line.steps && newcomer.steps != u64::MAX {
                own_end_seen = true;
                if !sum.fit_at(newcomer.steps, &given_back, &room, self.kinds) {
                    return false;
                }
                sum.end(newcomer, &mut given_back);
            }
            if line.steps == u64::MAX {
                break; // What never ends is reserved in full and does not grow.
            }
            if !sum.fit_at(line.steps, &given_back, &room, self.kinds) {
                return false;
            }
            sum.end(line, &mut given_back);
        }
        own_end_seen || newcomer.steps == u64::MAX || sum.fit_at(newcomer.steps, &given_back, &room, self.kinds)
    }
}

/// How fast all lines that have not ended take units, per step.
#[derive(Default)]
struct Rates {
    per_step: [f64; MAX_UNITS],
}

impl Rates {
    fn add(&mut self, line: &Line) {
        for (sum, rate) in self.per_step.iter_mut().zip(rates(line)) {
            *sum += rate;
        }
    }

    /// A line has come to its end: it takes no more and gives back what it held (what it grew by cancels out).
    fn end(&mut self, line: &Line, given_back: &mut [f64; MAX_UNITS]) {
        for (sum, rate) in self.per_step.iter_mut().zip(rates(line)) {
            *sum -= rate;
        }
        for (sum, held) in given_back.iter_mut().zip(line.held.amounts()) {
            *sum += held as f64;
        }
    }

    fn fit_at(&self, steps: u64, given_back: &[f64; MAX_UNITS], room: &[f64; MAX_UNITS], kinds: usize) -> bool {
        (0..kinds).all(|unit| self.per_step[unit].max(0.0) * steps as f64 <= room[unit] + given_back[unit])
    }
}

fn rates(line: &Line) -> [f64; MAX_UNITS] {
    let per_step = 1.0 / line.steps.max(1) as f64;
    line.growth.amounts().map(|growth| growth as f64 * per_step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(task: u32, steps: u64, held: u64, growth: u64) -> Line {
        Line { steps, task, held: Units::from([held]), growth: Units::from([growth]) }
    }

    #[test]
    fn the_peak_of_the_sum_counts_and_not_the_sum_of_peaks() {
        let mut forecast = Forecast::new(1);
        // Ends in 10 steps and gives 20 back, long before the newcomer needs them.
        forecast.insert(line(0, 10, 20, 5));
        let newcomer = line(1, 100, 10, 20);
        assert!(forecast.fits(&newcomer, Units::from([7]), |_| false));
        // At the end of task 0 both together have taken 5 + 2.
        assert!(!forecast.fits(&newcomer, Units::from([6]), |_| false));
    }

    #[test]
    fn what_exactly_fits_is_taken() {
        let mut forecast = Forecast::new(1);
        for task in 0..7 {
            forecast.insert(line(task, 3, 1, 1));
        }
        let newcomer = line(9, 3, 1, 1);
        assert!(forecast.fits(&newcomer, Units::from([8]), |_| false));
        assert!(!forecast.fits(&newcomer, Units::from([7]), |_| false));
        assert!(forecast.fits(&newcomer, Units::from([7]), |task| task == 3));
    }
}
