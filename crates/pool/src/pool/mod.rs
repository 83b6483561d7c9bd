//! The worker pool: threads, handles and waiting around a policy.

mod executor;
mod handle;
mod joint;
mod outcome;
mod shared;
mod shutdown;
mod ticket;
mod turns;
mod worker;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use thiserror::Error;

pub(crate) use executor::is_up;
pub use executor::{Executor, Step, StepContext};
pub use handle::PoolHandle;
pub use joint::JointWorker;
pub use outcome::{Failure, Outcome, Rejected};
pub use shutdown::{Drain, ShutdownReport};
pub use ticket::Ticket;
pub use worker::{Turn, Worker};

use crate::handover::Pledge;
use crate::loom_shim::{Builder, JoinHandle, Mutex};
use crate::{Clock, ConfigError, Limits, Outlook, Policy, PolicyStats, TaskId, TaskSpec, Time};
use handle::Control;
use shared::{Shared, Slot};
use ticket::CancelOnDrop;
use turns::Turns;

/// How a pool is set up.
pub struct PoolConfig {
    /// Who decides. It is told the number of executors.
    pub policy: Box<dyn Policy>,
    /// Threads are called this, with a number behind it.
    pub thread_name: String,
    /// Stack size of the threads in bytes; the system's default if not set.
    pub stack_size: Option<usize>,
    /// Whether a thread of its own ends what expires while every worker is inside a long step. Without it that is
    /// seen when the first step ends.
    pub timekeeper: bool,
    /// What the pool calls now.
    pub clock: Clock,
}

impl PoolConfig {
    /// The defaults around this policy.
    pub fn new(policy: impl Policy) -> PoolConfig {
        PoolConfig::of(Box::new(policy))
    }

    /// The defaults around a policy that was chosen at run time.
    pub fn of(policy: Box<dyn Policy>) -> PoolConfig {
        PoolConfig {
            policy,
            thread_name: "parkade-worker".to_owned(),
            stack_size: None,
            timekeeper: false,
            clock: Clock::default(),
        }
    }
}

/// Why a pool could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system gave no thread.
    #[error("could not start the thread '{name}': {source}; lower the stack size or the number of workers")]
    Thread {
        /// Which.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The numbers of a pool.
#[derive(Clone, Debug)]
pub struct PoolStats {
    /// The policy's.
    pub policy: PolicyStats,
    /// Worker threads that live.
    pub workers: usize,
    /// Worker threads that have tasks running.
    pub active_workers: usize,
}

/// Worker threads that drive [`Executor`]s as a [`Policy`] decides.
///
/// Nothing here blocks but what says so: [`Ticket::wait`], [`Ticket::wait_timeout`] and [`WorkerPool::shutdown`].
/// Dropping the pool cancels what is left and does not wait for it.
pub struct WorkerPool<E: Executor> {
    shared: Arc<Shared<E>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<E: Executor> WorkerPool<E> {
    /// Starts one thread for each executor.
    ///
    /// # Errors
    /// If the system gives no thread.
    ///
    /// # Panics
    /// If there are several executors and one of them counts its units itself: they would share one budget.
    pub fn start(config: PoolConfig, executors: Vec<E>) -> Result<WorkerPool<E>, StartError> {
        let alone = executors.len() <= 1 || executors.iter().all(|executor| executor.snapshot().is_none());
        assert!(alone, "executors of one pool share one budget, so they cannot each count it; start a pool for each");
        let (pool, shared) =
            Self::without_threads(config.policy, executors.len(), config.timekeeper, config.clock, None);
        for (number, executor) in executors.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            let name = format!("{}-{number}", config.thread_name);
            pool.spawn(name, config.stack_size, move || Worker::new(shared, number, executor).run())?;
        }
        if config.timekeeper {
            pool.spawn(format!("{}-time", config.thread_name), config.stack_size, move || shared.keep_time())?;
        }
        Ok(pool)
    }

    /// A pool without threads, and its one worker: it does something when its [`turn`](Worker::turn) is taken. Nothing ends what expires in a
    /// step, and [`WorkerPool::shutdown`] does not wait.
    pub fn by_hand(config: PoolConfig, executor: E) -> (WorkerPool<E>, Worker<E>) {
        let (pool, shared) = Self::without_threads(config.policy, 1, false, config.clock, None);
        (pool, Worker::new(shared, 0, executor))
    }

    fn without_threads(
        mut policy: Box<dyn Policy>,
        workers: usize,
        timekeeper: bool,
        clock: Clock,
        turns: Option<(Arc<Turns>, usize)>,
    ) -> (WorkerPool<E>, Arc<Shared<E>>) {
        policy.employ(workers);
        let shared = Arc::new(Shared::new(policy, workers, timekeeper, clock, turns));
        (WorkerPool { shared: Arc::clone(&shared), threads: Mutex::new("pool.threads", Vec::new()) }, shared)
    }

    fn spawn(&self, name: String, stack: Option<usize>, f: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        self.threads.lock().push(thread(name, stack, f)?);
        Ok(())
    }

    /// Hands a task over. It is admitted, made to wait, or refused at once, on the caller's thread.
    ///
    /// # Errors
    /// The refusal, and the task back.
    pub fn submit(&self, spec: &TaskSpec, task: E::Task) -> Result<Ticket<E::Output>, Rejected<E::Task>> {
        let now = self.shared.now();
        let spec =
            if E::PARKS { Cow::Borrowed(spec) } else { Cow::Owned(TaskSpec { parkable: false, ..spec.clone() }) };
        let pledge = Arc::new(Pledge::new());
        let mut task = Some(task);
        let placed = self.shared.command(|state| {
            let (id, placement) = state.policy.submit(now, &spec)?;
            let stop = Arc::new(AtomicBool::new(false));
            state.put_slot(Slot { id, task: task.take(), pledge: Arc::clone(&pledge), stop });
            Ok((id, placement))
        });
        match placed {
            Ok((id, placement)) => Ok(Ticket::new(id, placement, pledge, self.handle())),
            Err(error) => Err(Rejected { error, task: task.take().expect("a refused task was not handed over") }),
        }
    }

    /// Hands a task over and gives a future of its outcome, for any async runtime. The task is submitted with the
    /// first poll; dropping the future before the outcome is there cancels it.
    ///
    /// # Errors
    /// As with [`WorkerPool::submit`].
    pub async fn submit_async(&self, spec: &TaskSpec, task: E::Task) -> Result<Outcome<E::Output>, Rejected<E::Task>> {
        let ticket = self.submit(spec, task)?;
        Ok(CancelOnDrop(ticket).await)
    }

    /// Cancels a task, wherever it is. False if it has ended.
    pub fn cancel(&self, id: TaskId) -> bool {
        self.shared.cancel(id)
    }

    /// The reader of a paused task takes again what it makes. False if the task was not paused.
    pub fn unpause(&self, id: TaskId) -> bool {
        self.shared.unpause(id)
    }

    /// Has executors that said [`Step::Idle`] look again.
    pub fn wake(&self) {
        self.shared.wake();
    }

    /// Where a task is and how long it will take to start; `None` if it has ended.
    pub fn outlook(&self, id: TaskId) -> Option<Outlook> {
        self.shared.read(|state| state.policy.outlook(id))
    }

    /// The numbers.
    pub fn stats(&self) -> PoolStats {
        self.shared.read(|state| PoolStats {
            policy: state.policy.stats(),
            workers: state.alive,
            active_workers: (0..self.shared.workers).filter(|&worker| state.policy.is_busy(worker)).count(),
        })
    }

    /// The limits that hold now.
    pub fn limits(&self) -> Limits {
        self.shared.read(|state| state.policy.limits().clone())
    }

    /// Replaces limits and weights while everything goes on.
    ///
    /// # Errors
    /// If the limits make no sense; then nothing changes.
    pub fn reconfigure(&self, limits: Limits) -> Result<(), ConfigError> {
        let now = self.shared.now();
        self.shared.command(|state| {
            state.policy.reconfigure(limits)?;
            state.policy.settle(now);
            Ok(())
        })
    }

    /// Now, on the pool's clock.
    pub fn now(&self) -> Time {
        self.shared.now()
    }

    /// A moment on the pool's clock, for deadlines.
    pub fn time_at(&self, moment: Instant) -> Time {
        self.shared.time_at(moment)
    }

    /// A handle that cancels and wakes without keeping the pool alive or knowing what it runs: for streams, which
    /// cancel when they are dropped and wake their sequence when they are read.
    pub fn handle(&self) -> PoolHandle {
        let shared: Weak<Shared<E>> = Arc::downgrade(&self.shared);
        PoolHandle::new(shared)
    }
}

impl<E: Executor> Drop for WorkerPool<E> {
    fn drop(&mut self) {
        self.abandon();
    }
}

fn thread(name: String, stack: Option<usize>, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    let builder = Builder::new().name(name.clone());
    let builder = match stack {
        Some(bytes) => builder.stack_size(bytes),
        None => builder,
    };
    builder.spawn(f).map_err(|source| StartError::Thread { name, source })
}
