//! Answers on their way into the store: in memory until they are there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parkade_store::{Deed, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::memory::MemoryStore;
use super::rows::new_row;

/// How long the end of an answer waits until it is in the store. After that it waits in memory.
const PATIENCE: Duration = Duration::from_secs(1);

/// When a store that could not be reached is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// An answer that is to be written; none asks only whether those before it are.
type Entry = (Option<String>, oneshot::Sender<()>);

/// Writes answers one after another.
pub(super) struct Writer {
    store: Store,
    memory: Arc<MemoryStore>,
    /// The task that writes: there is none before there is something to write.
    queue: OnceLock<mpsc::UnboundedSender<Entry>>,
    /// The store could not be reached lately, and nobody waits for it. Relaxed: it only saves a wait.
    is_behind: Arc<AtomicBool>,
}

impl Writer {
    pub fn new(store: Store, memory: Arc<MemoryStore>) -> Self {
        Self { store, memory, queue: OnceLock::new(), is_behind: Arc::default() }
    }

    /// Writes an answer that is in memory, and waits for it a moment: whoever has read its end finds it everywhere.
    pub async fn write(&self, id: &str) {
        let written = self.send(Some(id.to_owned()));
        if !self.is_behind.load(Ordering::Relaxed) {
            // If it takes longer, the answer is found in memory meanwhile.
            let _ = tokio::time::timeout(PATIENCE, written).await;
        }
    }

    /// Waits until all is written, but not longer than `patience`.
    pub async fn flush(&self, patience: Duration) {
        if self.queue.get().is_some() && tokio::time::timeout(patience, self.send(None)).await.is_err() {
            tracing::warn!("answers could not be written to the store; they are lost with this process");
        }
    }

    fn send(&self, id: Option<String>) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        let queue = self.queue.get_or_init(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let (store, memory) = (self.store.clone(), Arc::clone(&self.memory));
            tokio::spawn(write_all(store, memory, Arc::clone(&self.is_behind), receiver));
            sender
        });
        // The task ends with this.
        let _ = queue.send((id, done));
        written
    }
}

async fn write_all(
    store: Store,
    memory: Arc<MemoryStore>,
    is_behind: Arc<AtomicBool>,
    mut queue: mpsc::UnboundedReceiver<Entry>,
) {
    while let Some((id, done)) = queue.recv().await {
        let Some(id) = id else {
            let _ = done.send(());
            continue;
        };
        loop {
            let result = write(&store, &memory, &id).await;
            is_behind.store(result.is_err(), Ordering::Relaxed);
            match result {
                Ok(()) => break,
                Err(error) if error.is_passing() => {
                    tracing::warn!(answer = id, %error, "an answer waits for its store");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    tracing::error!(answer = id, %error, "an answer cannot be written; it is kept in memory");
                    break;
                }
            }
        }
        // Nobody may wait any more.
        let _ = done.send(());
    }
}

async fn write(store: &Store, memory: &MemoryStore, id: &str) -> Result<(), StoreError> {
    // Deleted meanwhile, or given up for others.
    let Some(kept) = memory.find(id) else { return Ok(()) };
    let row = new_row(&kept, None);
    store.put_answer(&row, None, None).await?;
    if !memory.remove(id, kept.owner.as_deref()) {
        // Deleted while it was written.
        store.delete_answer(&row.owner, id, &Deed::default()).await?;
    }
    Ok(())
}
