//! Jobs that run to their end: the simple special case of a pool.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::pool::is_up;
use crate::{
    Capacity, Executor, LotConfig, Outcome, PoolConfig, Rejected, StartError, Step, StepContext, TaskId, TaskSpec,
    Ticket, Time, Work, WorkerPool,
};

/// What a job can ask while it runs.
pub struct JobContext {
    id: TaskId,
    started: Time,
    stop: Option<Arc<AtomicBool>>,
}

impl JobContext {
    /// The job's own id.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// When it started, on the pool's clock.
    pub fn started(&self) -> Time {
        self.started
    }

    /// Whether somebody has cancelled the job (or the pool is being shut down): a long one should look now and then.
    pub fn is_cancelled(&self) -> bool {
        self.stop.as_deref().is_some_and(is_up)
    }
}

/// A job.
pub type Job<T> = Box<dyn FnOnce(&JobContext) -> T + Send>;

/// Runs one job at a time, each in one step, after which all of the job's work counts as done.
pub struct JobExecutor<T> {
    current: Option<(TaskId, Job<T>)>,
}

impl<T> Default for JobExecutor<T> {
    fn default() -> Self {
        JobExecutor { current: None }
    }
}

impl<T: Send + 'static> Executor for JobExecutor<T> {
    type Task = Job<T>;
    type Output = T;

    /// A closure cannot be stopped half way and taken up again.
    const PARKS: bool = false;

    fn has_room(&self) -> bool {
        self.current.is_none()
    }

    fn admit(&mut self, id: TaskId, task: Job<T>) {
        self.current = Some((id, task));
    }

    fn park(&mut self, id: TaskId) {
        unreachable!("job {id} is not parkable");
    }

    fn resume(&mut self, id: TaskId) {
        unreachable!("job {id} is not parkable");
    }

    fn cancel(&mut self, id: TaskId) {
        self.current.take_if(|(current, _)| *current == id);
    }

    fn step(&mut self, ctx: &mut StepContext<'_, Self>) -> Step {
        if let Some((id, job)) = self.current.take() {
            ctx.blame(&[id]);
            let (work, stop) = ctx.work_and_stop_flag(id);
            let context = JobContext { id, started: ctx.now(), stop };
            let output = job(&context);
            // The lot learns from this how fast work is done. A job that was to stop may have left some of its work out.
            if !context.is_cancelled() {
                ctx.progress(id, work.prefill, work.decode);
            }
            ctx.complete(id, output);
        }
        Step::Again
    }
}

/// Threads that run closures, admitted by price, class, tenant and deadline like everything else in the lot.
///
/// The results need not be serialisable: anything that can be sent will do.
///
/// How long a newcomer waits, and so whether it can meet its deadline and when a refused one should come back, is
/// estimated from how long the finished jobs took. A job counts as one piece of work; where jobs differ much, all of
/// them should say in [`TaskSpec::work`] how much they have to do, as `prefill` in any measure that the time grows with.
/// What is left of jobs that already run is not in the estimate, since nobody knows it.
///
/// ```
/// use parkade_pool::*;
/// use std::time::Duration;
///
/// let capacity = Capacity::new([("threads", 2), ("bytes", 1 << 30)]);
/// let pool = JobPool::start(PoolConfig::new(LotConfig::new(capacity)), 2)?;
/// let spec = TaskSpec::new("alice", Cost::fixed(Units::from([1, 1 << 20])));
/// let ticket = pool.submit(&spec, |_job| (1..=10).product::<u64>())?;
/// assert_eq!(ticket.wait(), Outcome::Completed(3_628_800));
///
/// let report = pool.workers().shutdown(Drain::within(Duration::from_secs(1)));
/// assert!(report.in_time);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct JobPool<T: Send + 'static> {
    workers: WorkerPool<JobExecutor<T>>,
}

impl<T: Send + 'static> JobPool<T> {
    /// Starts this many threads. One unit of the capacity should be the threads themselves, of which each job takes
    /// one: more jobs than threads are admitted otherwise, and wait for a thread with their units in hand.
    ///
    /// # Errors
    /// As [`WorkerPool::start`].
    pub fn start(mut config: PoolConfig, threads: usize) -> Result<JobPool<T>, StartError> {
        config.timekeeper = true; // A job is one long step.
        let executors = (0..threads).map(|_| JobExecutor::default()).collect();
        Ok(JobPool { workers: WorkerPool::start(config, executors)? })
    }

    /// Starts this many threads with nothing to count but the threads.
    ///
    /// # Errors
    /// As [`WorkerPool::start`].
    pub fn of_threads(threads: usize) -> Result<JobPool<T>, StartError> {
        let capacity = Capacity::new([("threads", threads as u64)]);
        JobPool::start(PoolConfig::new(LotConfig::new(capacity)), threads)
    }

    /// Hands a job over: admitted, waiting or refused at once.
    ///
    /// # Errors
    /// The refusal, and the job back.
    pub fn submit(
        &self,
        spec: &TaskSpec,
        job: impl FnOnce(&JobContext) -> T + Send + 'static,
    ) -> Result<Ticket<T>, Rejected<Job<T>>> {
        self.workers.submit(&with_work(spec), Box::new(job))
    }

    /// Hands a job over and gives a future of its outcome. Dropping the future cancels the job.
    ///
    /// # Errors
    /// The refusal, and the job back.
    pub async fn submit_async(
        &self,
        spec: &TaskSpec,
        job: impl FnOnce(&JobContext) -> T + Send + 'static,
    ) -> Result<Outcome<T>, Rejected<Job<T>>> {
        self.workers.submit_async(&with_work(spec), Box::new(job)).await
    }

    /// The pool underneath: cancellation, statistics, limits, shutdown.
    pub fn workers(&self) -> &WorkerPool<JobExecutor<T>> {
        &self.workers
    }
}

/// Work that is not said is one piece: what waits could not be counted in time otherwise.
fn with_work(spec: &TaskSpec) -> TaskSpec {
    let work = if spec.work == Work::default() { Work::new(1, 0) } else { spec.work };
    TaskSpec { work, ..spec.clone() }
}
