//! One worker for several pools: each has its own policy, executor and books, and they take turns on one thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::executor::Executor;
use super::shared::Todo;
use super::turns::Turns;
use super::worker::{Turn, Worker};
use super::{PoolConfig, StartError, WorkerPool};
use crate::Clock;

/// The worker of several pools, see [`WorkerPool::start_joint`].
pub struct JointWorker<E: Executor> {
    /// None of those that have stopped.
    workers: Vec<Option<Worker<E>>>,
    turns: Arc<Turns>,
    clock: Clock,
}

impl<E: Executor> WorkerPool<E> {
    /// Pools that share one worker thread, which takes turns: a pool goes before another while a first token is due in it of a higher
    /// class than all that runs in the other, within a share of the time; else they have the time by the weights of what runs in them. Apart from
    /// time they share nothing: each has its policy, its units, its waiting room and its end. Thread and clock are those of the first.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start_joint(members: Vec<(PoolConfig, E)>) -> Result<Vec<WorkerPool<E>>, StartError> {
        let (name, stack) =
            members.first().map(|(config, _)| (config.thread_name.clone(), config.stack_size)).unwrap_or_default();
        let keeps_time: Vec<bool> = members.iter().map(|(config, _)| config.timekeeper).collect();
        let (pools, worker) = Self::joined(members);
        // Nobody joins it: it ends with the last of the pools, and each knows when its own worker is gone.
        drop(super::thread(format!("{name}-0"), stack, move || worker.run())?);
        for (pool, _) in pools.iter().zip(keeps_time).filter(|(_, keeps_time)| *keeps_time) {
            let shared = Arc::clone(&pool.shared);
            pool.spawn(format!("{name}-time"), stack, move || shared.keep_time())?;
        }
        Ok(pools)
    }

    /// The same without threads: the worker does something when its [`turn`](JointWorker::turn) is taken, and nothing ends what expires in a step.
    pub fn joint_by_hand(members: Vec<(PoolConfig, E)>) -> (Vec<WorkerPool<E>>, JointWorker<E>) {
        let without_time = |(config, executor)| (PoolConfig { timekeeper: false, ..config }, executor);
        Self::joined(members.into_iter().map(without_time).collect())
    }

    fn joined(members: Vec<(PoolConfig, E)>) -> (Vec<WorkerPool<E>>, JointWorker<E>) {
        let clock = members.first().map(|(config, _)| config.clock.clone()).unwrap_or_default();
        let turns = Arc::new(Turns::new(members.len(), clock.clone()));
        let (mut pools, mut workers) = (Vec::new(), Vec::new());
        for (number, (config, executor)) in members.into_iter().enumerate() {
            let place = Some((Arc::clone(&turns), number));
            let (pool, shared) = Self::without_threads(config.policy, 1, config.timekeeper, clock.clone(), place);
            pools.push(pool);
            workers.push(Some(Worker::new(shared, 0, executor)));
        }
        (pools, JointWorker { workers, turns, clock })
    }
}

impl<E: Executor> JointWorker<E> {
    /// Works until all pools have stopped.
    fn run(mut self) {
        loop {
            match self.turn() {
                Turn::Worked => {}
                Turn::Idle(until) => self.turns.wait(until),
                Turn::Stopped => return,
            }
        }
    }

    /// Does one thing, if there is one to do: what a policy has ordered, or else a step of the pool whose turn it is.
    pub fn turn(&mut self) -> Turn {
        let mut until: Option<Instant> = None;
        let mut steps = Vec::new();
        for number in 0..self.workers.len() {
            let Some(worker) = &mut self.workers[number] else { continue };
            match worker.look() {
                Err(moment) => until = until.into_iter().chain(moment).min(),
                Ok(Todo::Step(urgent, sitting_out)) => {
                    // If another is stepped now, it is looked at again.
                    worker.stay_awake();
                    steps.push((number, urgent, sitting_out));
                }
                Ok(todo) => {
                    if !worker.does(todo) {
                        self.workers[number] = None;
                    }
                    return Turn::Worked;
                }
            }
        }
        if self.workers.iter().all(Option::is_none) {
            return Turn::Stopped;
        }
        let ready: Vec<usize> = steps.iter().map(|&(number, ..)| number).collect();
        if ready.is_empty() {
            return Turn::Idle(until);
        }
        let next = self.turns.next(&ready);
        for (number, urgent, sitting_out) in steps {
            if number == next
                && let Some(worker) = &mut self.workers[number]
            {
                let began = self.clock.now();
                worker.does(Todo::Step(urgent, sitting_out));
                let took = self.clock.since(began);
                self.turns.spent(number, took);
                self.let_wait(&ready, number, took);
            }
        }
        Turn::Worked
    }

    /// The others could not be stepped meanwhile.
    fn let_wait(&mut self, ready: &[usize], stepped: usize, took: Duration) {
        for &number in ready.iter().filter(|&&number| number != stepped) {
            if let Some(worker) = &mut self.workers[number] {
                worker.has_waited(took);
            }
        }
    }
}
