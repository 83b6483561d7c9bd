//! Forgetting what nobody wants any more.

use std::time::Duration;

use crate::StoreError;
use crate::database::{Database, Store};

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Answers, after somebody has asked for them last.
    pub answers: Duration,
    /// Batches that are over, with their files.
    pub batches: Duration,
    /// Events that were received, or given up.
    pub deliveries: Duration,
    /// What was done.
    pub audit: Duration,
    /// Bytes of all answers together; those that were not asked for the longest go first.
    pub answer_bytes: u64,
}

/// For how long an event may wait at most: longer than anybody tries to send it.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Retention {
    fn default() -> Self {
        Self { answers: DAY * 30, batches: DAY * 30, deliveries: DAY * 7, audit: DAY * 365, answer_bytes: 1 << 30 }
    }
}

/// How long a file may be written without a node that does it.
const LONGEST_UPLOAD: Duration = Duration::from_secs(3600);

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files whose time was over.
    pub files: u64,
    /// Batches whose time was over.
    pub batches: u64,
    /// Answers whose time was over, or that did not fit.
    pub answers: u64,
    /// Events that were sent.
    pub deliveries: u64,
    /// Deeds.
    pub audit: u64,
    /// What belongs to nothing: pieces without a file, lines without a batch, events without an answer, files that nobody finishes.
    pub foreign: u64,
}

impl Swept {
    /// Whether there was nothing to forget.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}

impl Database {
    async fn forget(&self, sql: &str, number: i64) -> Result<u64, StoreError> {
        Ok(sqlx::query(self.sql(sql)).bind(number).execute(&self.pool).await?.rows_affected())
    }

    async fn forget_foreign(&self) -> Result<u64, StoreError> {
        let unfinished = "DELETE FROM files WHERE state = 'writing' AND created_at < {now} - $1
            AND (written_by IS NULL OR written_by NOT IN (SELECT id FROM nodes))";
        let mut forgotten = self.forget(unfinished, millis(LONGEST_UPLOAD)).await?;
        for sql in [
            "DELETE FROM file_chunks WHERE file NOT IN (SELECT id FROM files)",
            "DELETE FROM batch_lines WHERE batch NOT IN (SELECT id FROM batches)",
            "DELETE FROM answer_events WHERE answer NOT IN (SELECT id FROM answers)",
        ] {
            forgotten += sqlx::query(sql).execute(&self.pool).await?.rows_affected();
        }
        Ok(forgotten)
    }
}

impl Store {
    /// Forgets what is older than it is kept, and what belongs to nothing.
    ///
    /// # Errors
    /// The database.
    pub async fn sweep(&self, keep: &Retention) -> Result<Swept, StoreError> {
        let database = self.database().await?;
        let foreign = database.forget_foreign().await?;
        let over = "DELETE FROM batches WHERE state IN ('failed', 'completed', 'expired', 'cancelled')
            AND COALESCE(completed_at, failed_at, expired_at, cancelled_at, created_at) < {now} - $1";
        let batches = database.forget(over, millis(keep.batches)).await?;
        let files = "DELETE FROM files WHERE state = 'ready' AND (expires_at < {now}
                OR (purpose IN ('batch', 'batch_output') AND created_at < {now} - $1))
            AND id NOT IN (SELECT input_file FROM batches WHERE state IN ('validating', 'in_progress', 'finalizing', 'cancelling'))";
        let files = database.forget(files, millis(keep.batches)).await?;
        let old = "DELETE FROM answers WHERE state = 'ended' AND used_at < {now} - $1";
        let mut answers = database.forget(old, millis(keep.answers)).await?;
        let beyond = "DELETE FROM answers WHERE id IN (SELECT id FROM (
                SELECT id, state, SUM(bytes) OVER (ORDER BY used_at DESC, id) AS sum FROM answers) AS all_answers
            WHERE state = 'ended' AND sum > $1)";
        answers += database.forget(beyond, i64::try_from(keep.answer_bytes).unwrap_or(i64::MAX)).await?;
        let sent = "DELETE FROM deliveries WHERE state <> 'waiting' AND next_at <= {now} - $1";
        let mut deliveries = database.forget(sent, millis(keep.deliveries)).await?;
        let unsent = "DELETE FROM deliveries WHERE state = 'waiting' AND created_at < {now} - $1";
        deliveries += database.forget(unsent, millis(LONGEST_WAIT)).await?;
        let audit = database.forget("DELETE FROM audit WHERE at < {now} - $1", millis(keep.audit)).await?;
        // What belonged to all that.
        database.forget_foreign().await?;
        Ok(Swept { files, batches, answers, deliveries, audit, foreign })
    }
}
