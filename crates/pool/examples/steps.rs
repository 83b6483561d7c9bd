//! An executor that advances many tasks by steps, grows them block by block and parks whom the lot names.
//!
//! `cargo run -p parkade-pool --example steps`
//!
//! Forty "sequences" each want to count to their length. Eight blocks of four numbers hold them, which is far too
//! little for all, so they wait, run a few at a time, are parked when somebody cannot grow, and all get done.

use std::collections::HashMap;
use std::time::Duration;

use parkade_pool::*;

const BLOCK_LEN: usize = 4;

struct Sequence {
    length: usize,
    numbers: Vec<usize>,
    blocks: u64,
    running: bool,
}

struct Counting {
    free_blocks: u64,
    sequences: HashMap<TaskId, Sequence>,
}

impl Counting {
    /// Asks for a block more, parking whom the lot names. False if this one has been parked or has failed instead.
    fn grow(&mut self, id: TaskId, ctx: &mut StepContext<'_, Self>) -> bool {
        loop {
            match ctx.grow(id, Units::from([1]), self.snapshot()) {
                Growth::Granted => {
                    self.free_blocks -= 1;
                    self.sequences.entry(id).and_modify(|sequence| sequence.blocks += 1);
                    return true;
                }
                Growth::ParkFirst(victims) => victims.into_iter().for_each(|victim| self.park(victim)),
                Growth::ParkSelf => {
                    self.park(id);
                    return false;
                }
                Growth::Denied => {
                    self.cancel(id);
                    ctx.fail(id, "there is no more room and nobody to make any");
                    return false;
                }
            }
        }
    }
}

impl Executor for Counting {
    type Task = usize;
    type Output = Vec<usize>;

    fn snapshot(&self) -> Option<Units> {
        Some(Units::from([self.free_blocks]))
    }

    fn admit(&mut self, id: TaskId, length: usize) {
        self.free_blocks -= 1;
        self.sequences.insert(id, Sequence { length, numbers: Vec::new(), blocks: 1, running: true });
    }

    fn park(&mut self, id: TaskId) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.running = false;
            self.free_blocks += sequence.blocks;
        }
    }

    fn resume(&mut self, id: TaskId) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.running = true;
            self.free_blocks -= sequence.blocks;
        }
    }

    fn cancel(&mut self, id: TaskId) {
        if let Some(sequence) = self.sequences.remove(&id)
            && sequence.running
        {
            self.free_blocks += sequence.blocks;
        }
    }

    fn step(&mut self, ctx: &mut StepContext<'_, Self>) -> Step {
        let running: Vec<TaskId> =
            self.sequences.iter().filter(|(_, sequence)| sequence.running).map(|(&id, _)| id).collect();
        for id in running {
            // Somebody before it in this step may have had it parked.
            let Some(sequence) = self.sequences.get(&id).filter(|sequence| sequence.running) else { continue };
            if ctx.sits_out(id) {
                continue;
            }
            let full = sequence.numbers.len() == sequence.blocks as usize * BLOCK_LEN;
            if full && !self.grow(id, ctx) {
                continue;
            }
            let Some(sequence) = self.sequences.get_mut(&id) else { continue };
            sequence.numbers.push(sequence.numbers.len());
            ctx.progress(id, 0, 1);
            if sequence.numbers.len() == sequence.length {
                let numbers = std::mem::take(&mut sequence.numbers);
                self.cancel(id);
                ctx.complete(id, numbers);
            }
        }
        Step::Again
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = PoolConfig::new(Lot::new(PolicyConfig::new(Capacity::new([("blocks", 8)])))?);
    let pool = WorkerPool::start(config, vec![Counting { free_blocks: 8, sequences: HashMap::new() }])?;
    let tickets = (0..40_usize).map(|number| {
        let length = 1 + number * 7 % 30;
        // The prediction is poor on purpose: a third of what it really takes.
        let growth = |length: usize| Units::from([(length.div_ceil(BLOCK_LEN) - 1) as u64]);
        let cost = Cost::growing(Units::from([1]), growth(length.div_ceil(3)), growth(length));
        let spec = TaskSpec {
            class: Class::ALL[number % 3],
            work: Work::new(1, length.div_ceil(3) as u64),
            ..TaskSpec::new(format!("tenant-{}", number % 2), cost)
        };
        pool.submit(&spec, length).map(|ticket| (length, ticket))
    });
    for (length, ticket) in tickets.collect::<Result<Vec<_>, _>>()? {
        assert_eq!(ticket.wait(), Outcome::Completed((0..length).collect()), "not one number is lost by parking");
    }
    let stats = pool.stats().policy;
    println!(
        "{} completed, parked {} times, {} of them for a higher class; {:?} blocks in use",
        stats.completed, stats.preemptions, stats.class_preemptions, stats.in_use
    );
    pool.shutdown(Drain::within(Duration::from_secs(1)));
    Ok(())
}
