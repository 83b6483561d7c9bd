//! The task that does all durable work of this process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use axum::Router;
use parkade_store::{Batch, BatchState, ClaimedLine, LineResult, Node, Store, StoreError};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, Id, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::webhooks::Outbox;
use super::{ending, read, run};
use crate::access::Policy;
use crate::generate::AppState;

/// How often it is looked for work that others have made, or have left; and four times in a lease at least.
const TICK: Duration = Duration::from_secs(1);

/// How often what is old is forgotten.
const SWEEP: Duration = Duration::from_secs(600);

/// Lines that are in hand at least: what a line waits for is not only the engine.
const FEWEST_LINES: usize = 4;

/// The server's own paths, without what only those outside must pass.
pub(crate) type Inside = Router;

/// The work of this process, as long as it goes on.
pub(crate) struct Work {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Work {
    /// Ends it: what is in hand is given back, for others or for later.
    pub async fn stop(self) {
        // Who has ended by itself needs no word.
        let _ = self.stop.send(());
        if let Err(failure) = self.task.await {
            tracing::error!(%failure, "the worker of batches ended badly");
        }
    }
}

/// Starts the work, if there is a store. Nothing is opened before there may be some.
pub(crate) fn start(state: &AppState, inside: Inside) -> Option<Work> {
    let store = state.durable().any_store()?.clone();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(go_on(state.clone(), inside, store, stopped));
    Some(Work { stop, task })
}

async fn go_on(state: AppState, inside: Inside, store: Store, mut stopped: oneshot::Receiver<()>) {
    loop {
        if !store.may_have_work() {
            tokio::select! {
                _ = &mut stopped => return,
                () = state.durable().work() => {}
            }
        }
        let failed = match Worker::join(&state, &inside, &store).await {
            Ok(mut worker) => match worker.work(&mut stopped).await {
                Ok(()) => return worker.leave().await,
                Err(error) => error,
            },
            Err(error) => error,
        };
        tracing::warn!(error = %failed, "durable work waits for its store");
        tokio::select! {
            _ = &mut stopped => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// What has ended.
enum Done {
    Line(Result<LineResult, StoreError>),
    /// A file was read, or the files of a batch were written.
    Batch,
}

/// This process as one that does work.
struct Worker {
    state: AppState,
    inside: Inside,
    store: Store,
    node: Node,
    renewed: Instant,
    swept: Option<Instant>,
    in_hand: JoinSet<Done>,
    lines: HashMap<Id, ClaimedLine>,
    of_batch: BTreeMap<String, Vec<AbortHandle>>,
    /// The batch whose file is read, or whose files are written.
    batch: Option<(Id, Batch)>,
    /// What came of lines and is not in the store yet.
    results: Vec<LineResult>,
    /// What is to be given back.
    unfinished: Vec<ClaimedLine>,
    /// What webhooks are told.
    outbox: Outbox,
}

impl Worker {
    async fn join(state: &AppState, inside: &Inside, store: &Store) -> Result<Self, StoreError> {
        let node = store.join().await?;
        tracing::debug!(node = node.id, "durable work is done here");
        Ok(Self {
            state: state.clone(),
            inside: inside.clone(),
            store: store.clone(),
            node,
            renewed: Instant::now(),
            swept: None,
            in_hand: JoinSet::new(),
            lines: HashMap::new(),
            of_batch: BTreeMap::new(),
            batch: None,
            results: Vec::new(),
            unfinished: Vec::new(),
            outbox: Outbox::default(),
        })
    }

    /// Does work until it is stopped.
    ///
    /// # Errors
    /// Why it cannot go on as this node: it has lost its claims.
    async fn work(&mut self, stopped: &mut oneshot::Receiver<()>) -> Result<(), StoreError> {
        let mut ticks = interval(TICK.min(self.store.config().lease / 4));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let state = self.state.clone();
            tokio::select! {
                _ = &mut *stopped => return Ok(()),
                _ = ticks.tick() => self.tick().await?,
                () = state.durable().work() => self.tick().await?,
                Some(ended) = self.in_hand.join_next_with_id() => {
                    self.take(ended);
                    while let Some(ended) = self.in_hand.try_join_next_with_id() {
                        self.take(ended);
                    }
                    let settled = self.settle().await;
                    self.bear(settled)?;
                    let taken_up = self.take_up().await;
                    self.bear(taken_up)?;
                }
            }
        }
    }

    /// A store that cannot be reached for a while is waited for, as long as the lease may hold.
    fn bear(&self, result: Result<(), StoreError>) -> Result<(), StoreError> {
        match result {
            Err(error) if error.is_passing() && self.renewed.elapsed() < self.store.config().lease => {
                tracing::warn!(%error, "durable work waits for its store");
                Ok(())
            }
            result => result,
        }
    }

    async fn tick(&mut self) -> Result<(), StoreError> {
        if self.renewed.elapsed() * 3 >= self.store.config().lease || self.swept.is_none() {
            match self.store.renew(&self.node).await {
                Ok(()) => self.renewed = Instant::now(),
                Err(error) => return self.bear(Err(error)),
            }
        }
        let rounds = async {
            self.settle().await?;
            self.stop_what_is_over().await?;
            self.store.advance_batches().await?;
            self.take_up().await?;
            self.outbox.send(&self.state, &self.store).await?;
            self.sweep().await
        };
        let done = rounds.await;
        self.bear(done)
    }

    async fn sweep(&mut self) -> Result<(), StoreError> {
        if self.swept.is_some_and(|swept| swept.elapsed() < SWEEP) {
            return Ok(());
        }
        self.swept = Some(Instant::now());
        let swept = self.store.sweep(&self.state.config().retention).await?;
        if !swept.is_empty() {
            tracing::info!(?swept, "what was old is forgotten");
        }
        Ok(())
    }

    /// Takes note of what has ended.
    fn take(&mut self, ended: Result<(Id, Done), JoinError>) {
        let (id, done) = match ended {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "durable work panicked");
                }
                (error.id(), None)
            }
        };
        if self.batch.as_ref().is_some_and(|(task, _)| *task == id) {
            self.batch = None;
        }
        let Some(line) = self.lines.remove(&id) else { return };
        match done {
            Some(Done::Line(Ok(result))) => self.results.push(result),
            Some(Done::Line(Err(error))) => {
                tracing::warn!(batch = line.batch, line = line.number, %error, "a line is run again");
                self.unfinished.push(line);
            }
            _ => self.unfinished.push(line),
        }
    }

    /// Writes what came of lines, and gives back what is not to be run here.
    async fn settle(&mut self) -> Result<(), StoreError> {
        if !self.results.is_empty() {
            let written = self.store.finish_lines(&self.node, &self.results).await?;
            tracing::debug!(written, "lines of batches are done");
            let batches: BTreeSet<_> = self.results.drain(..).map(|result| result.batch).collect();
            if batches.iter().any(|batch| !self.lines.values().any(|line| line.batch == *batch)) {
                self.store.advance_batches().await?;
            }
        }
        if !self.unfinished.is_empty() {
            self.store.release_lines(&self.node, &self.unfinished).await?;
            self.unfinished.clear();
        }
        Ok(())
    }

    /// Ends the lines of batches of which nothing is wanted any more.
    async fn stop_what_is_over(&mut self) -> Result<(), StoreError> {
        self.of_batch.retain(|_, tasks| {
            tasks.retain(|task| !task.is_finished());
            !tasks.is_empty()
        });
        let batches = self.of_batch.keys().cloned().collect();
        for batch in self.store.stopped_batches(&batches).await? {
            for task in self.of_batch.remove(&batch).unwrap_or_default() {
                task.abort();
            }
        }
        Ok(())
    }

    /// How many lines are in hand at most: enough to fill all places of the models, and as many in line.
    fn window(&self) -> usize {
        most_lines(&self.state)
    }

    /// Takes up what there is to do.
    async fn take_up(&mut self) -> Result<(), StoreError> {
        if self.batch.is_none()
            && let Some(batch) = self.store.claim_batch(&self.node).await?
        {
            let (store, node, state, of_task) =
                (self.store.clone(), self.node.clone(), self.state.clone(), batch.clone());
            let task = self.in_hand.spawn(async move {
                let policy = state.access().policy();
                if let Err(error) = advance(&policy, &store, &node, &of_task).await {
                    tracing::warn!(batch = of_task.id, %error, "a batch waits");
                    // If even that fails, the lease ends.
                    let _ = store.release_batch(&node, &of_task.id).await;
                    tokio::time::sleep(TICK).await;
                }
                state.durable().wake();
                Done::Batch
            });
            self.batch = Some((task.id(), batch));
        }
        let window = self.window();
        if self.lines.len() * 2 > window {
            return Ok(());
        }
        for line in self.store.claim_lines(&self.node, window - self.lines.len()).await? {
            let (state, inside, store, of_task) =
                (self.state.clone(), self.inside.clone(), self.store.clone(), line.clone());
            let task = self.in_hand.spawn(async move { Done::Line(run::run(&state, &inside, &store, &of_task).await) });
            self.of_batch.entry(line.batch.clone()).or_default().push(task.clone());
            self.lines.insert(task.id(), line);
        }
        Ok(())
    }

    /// Gives back all that is in hand.
    async fn leave(mut self) {
        self.in_hand.abort_all();
        while let Some(ended) = self.in_hand.join_next_with_id().await {
            self.take(ended);
        }
        let settled = self.settle().await;
        let left = self.store.leave(&self.node).await;
        if let Err(error) = settled.and(left) {
            tracing::warn!(%error, "what was in hand is free when the lease of this node is over");
        }
        self.store.close().await;
    }
}

/// How many lines keep the models busy.
pub(crate) fn most_lines(state: &AppState) -> usize {
    let places = state.models().iter().map(|model| model.engine.snapshot().sequences.limit).max();
    places.map_or(0, |places| (2 * places).max(FEWEST_LINES))
}

/// Reads the file of a batch, or writes its files.
async fn advance(policy: &Policy, store: &Store, node: &Node, batch: &Batch) -> Result<(), StoreError> {
    match batch.state {
        BatchState::Validating => read::read(store, batch).await?.put(policy, store, node, batch).await,
        _ => ending::end(policy, store, node, batch).await,
    }
}
