//! Where answers are: in memory as long as they are computed here and where there is no store, and in the store.

use std::sync::Arc;
use std::time::Duration;

use parkade_store::{AnswerState, Deed, Store};
use tokio::time::Instant;

use super::memory::MemoryStore;
use super::rows::{of_row, owner_name};
use super::writer::Writer;
use super::{Kept, Progress};
use crate::generate::durable::of_store;
use crate::http::ApiError;

/// How often it is looked whether an answer has ended.
const POLL: Duration = Duration::from_millis(50);

/// How long a node that leaves waits for the ends that it has still to write.
const SETTLING: Duration = Duration::from_secs(2);

/// Answers that can be asked for later.
pub(crate) struct Shelf {
    memory: Arc<MemoryStore>,
    store: Option<Store>,
    writer: Option<Writer>,
}

impl Shelf {
    /// In memory up to so many bytes, each for so long after it was used last; and in a store, if there is one.
    pub fn new(most_bytes: usize, age: Duration, store: Option<&Store>) -> Self {
        let memory = Arc::new(MemoryStore::new(most_bytes, age));
        let writer = store.map(|store| Writer::new(store.clone(), Arc::clone(&memory)));
        Self { memory, store: store.cloned(), writer }
    }

    /// The store, if there may be something in it.
    fn store(&self) -> Option<&Store> {
        self.store.as_ref().filter(|store| store.may_have_work())
    }

    /// The answer of this id, if `owner` asked for it. Whoever asks for it keeps it alive.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn get(&self, id: &str, owner: Option<&str>) -> Result<Option<Arc<Kept>>, ApiError> {
        if let Some(kept) = self.memory.get(id, owner) {
            return Ok(Some(kept));
        }
        let Some(store) = self.store() else { return Ok(None) };
        let row = store.answer(owner_name(owner), id).await.map_err(of_store)?;
        Ok(row.map(|row| Arc::new(of_row(row))))
    }

    /// The answer of this id if it is in this process, whoever asked for it.
    pub fn here(&self, id: &str) -> Option<Arc<Kept>> {
        self.memory.find(id)
    }

    /// Keeps an answer that is there. Comes back when it is as safe as it can be soon.
    pub async fn put(&self, kept: Kept) {
        let id = kept.id.clone();
        self.memory.put(kept);
        if let Some(writer) = &self.writer {
            writer.write(&id).await;
        }
    }

    /// An answer is computed here from now on.
    pub fn begin(&self, kept: Kept) {
        self.memory.put(kept);
    }

    /// An answer that was computed here is there; false if somebody has deleted it. Its last events may follow.
    pub fn end(&self, kept: Kept) -> bool {
        self.memory.replace(Kept { progress: Progress::Ended, ..kept })
    }

    /// All events of an answer are there.
    pub fn weigh(&self, id: &str) {
        self.memory.weigh(id);
    }

    /// An answer is not in this process any more.
    pub fn leave(&self, id: &str) {
        self.memory.forget(id);
    }

    /// Forgets an answer, and ends it if it runs; false if `owner` has none of this id.
    ///
    /// # Errors
    /// The store cannot be reached; then it is as it was.
    pub async fn delete(&self, id: &str, owner: Option<&str>, deed: &Deed) -> Result<bool, ApiError> {
        let in_store = match self.store() {
            Some(store) => store.delete_answer(owner_name(owner), id, deed).await.map_err(of_store)?,
            None => false,
        };
        let here = self.memory.get(id, owner);
        self.memory.remove(id, owner);
        if let Some(Progress::Here(job)) = here.as_ref().map(|kept| &kept.progress) {
            job.cancel();
        }
        Ok(in_store || here.is_some())
    }

    /// Ends an answer that is under way, whoever computes it, and waits for its end for a while.
    ///
    /// # Errors
    /// The store cannot be reached, and it is not computed here.
    pub async fn cancel(&self, kept: &Kept, deed: &Deed, patience: Duration) -> Result<(), ApiError> {
        let owner = owner_name(kept.owner.as_deref());
        let asked = async || match self.store() {
            Some(store) => store.cancel_answer(owner, &kept.id, deed).await.map(|_| ()).map_err(of_store),
            None => Ok(()),
        };
        match &kept.progress {
            Progress::Ended => Ok(()),
            Progress::Here(job) => {
                // Should the store not be reached, it ends all the same.
                let _ = asked().await;
                if let (true, Some(events)) = (job.cancel(), &kept.events) {
                    events.ended(patience).await;
                }
                // Whoever is told so finds it so after a restart.
                self.ended_in_store(owner, &kept.id, patience).await.or(Ok(()))
            }
            Progress::Elsewhere { .. } => {
                asked().await?;
                self.ended_in_store(owner, &kept.id, patience).await
            }
        }
    }

    /// Ends an answer that is computed here, whoever asked for it.
    pub fn cancel_here(&self, id: &str) {
        if let Some(Progress::Here(job)) = self.here(id).as_ref().map(|kept| &kept.progress) {
            job.cancel();
        }
    }

    async fn ended_in_store(&self, owner: &str, id: &str, patience: Duration) -> Result<(), ApiError> {
        let Some(store) = self.store() else { return Ok(()) };
        let until = Instant::now() + patience;
        while Instant::now() < until {
            match store.answer_state(owner, id).await.map_err(of_store)? {
                None | Some(AnswerState::Ended) => break,
                _ => tokio::time::sleep(POLL).await,
            }
        }
        Ok(())
    }

    /// Waits until what has ended here is in the store, if there is one; but not for long.
    pub async fn settled(&self) {
        let until = Instant::now() + SETTLING;
        while self.store.is_some() && self.memory.has_ended() && Instant::now() < until {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until what is in memory is in the store, but not longer than `patience`, and closes that.
    pub async fn close(&self, patience: Duration) {
        if let Some(writer) = &self.writer {
            writer.flush(patience).await;
        }
        if let Some(store) = &self.store {
            store.close().await;
        }
    }
}
