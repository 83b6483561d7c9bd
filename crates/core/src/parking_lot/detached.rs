//! Jobs that nobody waits for.

use crate::refusal::Refusal;

use super::job::{InferenceJob, InferenceResult};
use super::worker_pool::InferenceWorkerPool;

impl InferenceWorkerPool {
    /// Hands in a job that nobody waits for: it runs to its end, and its result is kept under `key`, whole, within
    /// [`ResultLimits`].
    ///
    /// ```no_run
    /// use parkade_core::parking_lot::{InferenceJob, InferenceResult, InferenceWorkerPool};
    /// use parkade_core::{Refusal, Request};
    ///
    /// async fn summarise(pool: &InferenceWorkerPool, request: Request) -> Result<(), Refusal> {
    ///     pool.submit_detached(InferenceJob::whole(request), "summary")?;
    ///     // Now, or in another part of the program:
    ///     if let Some(InferenceResult::Complete(summary)) = pool.wait_for_result("summary").await {
    ///         println!("{}", summary.choices[0].text);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Why it was refused: as [`submit`](Self::submit), and if the key is in use.
    pub fn submit_detached(&self, job: InferenceJob, key: &str) -> Result<(), Refusal> {
        let request = self.compiled(job)?;
        let slot = self.results.open(key, request.n)?;
        let taken = self.price(request).and_then(|priced| self.submit_into(priced, slot));
        match taken {
            Ok(stream) => {
                stream.detach();
                Ok(())
            }
            Err(refusal) => {
                self.results.remove(key);
                Err(refusal)
            }
        }
    }

    /// Whether a detached job of this key has no result yet.
    pub fn is_under_way(&self, key: &str) -> bool {
        self.results.find(key).is_some_and(|slot| slot.result.get().is_none())
    }

    /// The result of a detached job, which stays; `None` if there is none under this key, or none yet.
    pub fn result(&self, key: &str) -> Option<InferenceResult> {
        self.results.find(key)?.result.get()?.copied()
    }

    /// The result of a detached job, which is forgotten; `None` if there is none under this key, or none yet.
    pub fn take_result(&self, key: &str) -> Option<InferenceResult> {
        let result = self.result(key)?;
        self.results.remove(key);
        Some(result)
    }

    /// Waits for the result of a detached job, which stays; `None` if there is no job of this key.
    pub async fn wait_for_result(&self, key: &str) -> Option<InferenceResult> {
        let slot = self.results.find(key)?;
        loop {
            // Before the look, so that an end between the look and the wait is not missed.
            let news = slot.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(result) = slot.result.get() {
                return result.copied();
            }
            news.await;
        }
    }
}
