//! Jobs that run to their end: the simple special case of a pool.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::pool::is_up;
use crate::{
    Executor, Outcome, PoolConfig, Rejected, StartError, Step, StepContext, TaskId, TaskSpec, Ticket, Time, Work,
    WorkerPool,
};

/// What a job can ask and say while it runs.
pub struct JobContext {
    id: TaskId,
    started: Time,
    stop: Option<Arc<AtomicBool>>,
    /// Whether the job has been told that it is to stop. Relaxed wherever it is used: it is read when the job is over.
    told: AtomicBool,
    failure: OnceLock<String>,
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

    /// Whether the job is to stop: somebody has cancelled it, its deadline has passed, or the pool is being shut down. A long one
    /// should look now and then. One that has been told so counts as cancelled or expired, whatever it returns.
    pub fn is_cancelled(&self) -> bool {
        let stop = self.stop.as_deref().is_some_and(is_up);
        if stop {
            self.told.store(true, Ordering::Relaxed);
        }
        stop
    }

    /// Says that the job could not do what it was to do. Its outcome is [`Outcome::Failed`] with this reason, and what it returns
    /// is dropped. The first reason counts.
    pub fn fail(&self, why: impl Display) {
        // That there is a reason already is no fault.
        let _ = self.failure.set(why.to_string());
    }
}

/// A job.
pub type Job<T> = Box<dyn FnOnce(&JobContext) -> T + Send>;

/// What handing a job over comes to: the right to its outcome, or the refusal and the job back.
pub type Submitted<T> = Result<Ticket<T>, Rejected<Job<T>>>;

/// Runs one job at a time, each in one step. When it has completed, all of its work counts as done.
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
            let (told, failure) = (AtomicBool::new(false), OnceLock::new());
            let context = JobContext { id, started: ctx.now(), stop, told, failure };
            let output = job(&context);
            let result = context.failure.into_inner().map_or(Ok(output), Err);
            ctx.job_is_over(id, work, context.told.into_inner(), result);
        }
        Step::Again
    }
}

/// Threads that run closures, admitted by price, class, tenant and deadline like everything else in the pool.
///
/// The results need not be serialisable: anything that can be sent will do.
///
/// How long a newcomer waits, and so whether it can meet its deadline and when a refused one should come back, is
/// estimated from how long the finished jobs took. A job counts as one piece of work; where jobs differ much, all of
/// them should say in [`TaskSpec::work`] how much they have to do, as `prefill` in any measure that the time grows with.
/// What is left of jobs that already run is not in the estimate, since nobody knows it.
///
/// A deadline holds for the whole of a job. One that is over after it has expired, whatever it returns; one that asks
/// [`JobContext::is_cancelled`] is told in time to stop early.
///
/// ```
/// use parkade_pool::*;
/// use std::time::Duration;
///
/// let capacity = Capacity::new([("threads", 2), ("bytes", 1 << 30)]);
/// let pool = JobPool::start(PoolConfig::new(Fifo::new(PolicyConfig::new(capacity))?), 2)?;
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

    /// Starts this many threads with a [`Lot`](crate::Lot) that has nothing to count but the threads.
    ///
    /// # Errors
    /// As [`WorkerPool::start`], and if there is to be no thread.
    #[cfg(feature = "parking-lot-scheduler")]
    pub fn of_threads(threads: usize) -> Result<JobPool<T>, StartError> {
        let capacity = crate::Capacity::new([("threads", threads as u64)]);
        let lot = crate::Lot::new(crate::PolicyConfig::new(capacity))?;
        JobPool::start(PoolConfig::new(lot), threads)
    }

    /// Hands a job over: admitted, waiting or refused at once.
    ///
    /// # Errors
    /// The refusal, and the job back.
    pub fn submit(&self, spec: &TaskSpec, job: impl FnOnce(&JobContext) -> T + Send + 'static) -> Submitted<T> {
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

impl<T: Send + 'static, E: Display + Send + 'static> JobPool<Result<T, E>> {
    /// Hands a job over that can go wrong: an error that it returns is a failure, and its outcome [`Outcome::Failed`]. With
    /// [`submit`](Self::submit) an `Err` is a result like another.
    ///
    /// ```
    /// use parkade_pool::*;
    ///
    /// let one_thread = PolicyConfig::new(Capacity::new([("threads", 1)]));
    /// let pool = JobPool::start(PoolConfig::new(Fifo::new(one_thread)?), 1)?;
    /// let spec = TaskSpec::new("alice", Cost::fixed(Units::from([1])));
    /// let ticket = pool.submit_fallible(&spec, |_job| "12a".parse::<u32>())?;
    /// assert_eq!(ticket.wait(), Outcome::Failed(Failure::Error("invalid digit found in string".to_owned())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The refusal, and the job back.
    pub fn submit_fallible(
        &self,
        spec: &TaskSpec,
        job: impl FnOnce(&JobContext) -> Result<T, E> + Send + 'static,
    ) -> Submitted<Result<T, E>> {
        self.submit(spec, move |context| job(context).inspect_err(|why| context.fail(why)))
    }
}

/// Work that is not said is one piece: what waits could not be counted in time otherwise.
fn with_work(spec: &TaskSpec) -> TaskSpec {
    let work = if spec.work == Work::default() { Work::new(1, 0) } else { spec.work };
    TaskSpec { work, ..spec.clone() }
}
