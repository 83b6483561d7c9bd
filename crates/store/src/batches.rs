//! Batches: many requests in a file, whose answers are files.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::audit::{self, Deed};
use crate::database::Store;
use crate::nodes::Node;
use crate::page::Page;
use crate::{StoreError, id};

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchState {
    /// Its file is being read.
    Validating,
    /// None of its requests can be run.
    Failed,
    /// Its requests are run.
    InProgress,
    /// What came of them is being written.
    Finalizing,
    /// Its files are there.
    Completed,
    /// Its time was over before all of its requests had run.
    Expired,
    /// It has been cancelled, and what runs is being ended.
    Cancelling,
    /// It has been cancelled.
    Cancelled,
}

impl BatchState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Validating,
        Self::Failed,
        Self::InProgress,
        Self::Finalizing,
        Self::Completed,
        Self::Expired,
        Self::Cancelling,
        Self::Cancelled,
    ];

    /// As OpenAI's API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing will change any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }
}

/// How a batch ends once its answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of its requests have run.
    Completed,
    /// Its time was over.
    Expired,
    /// It was cancelled.
    Cancelled,
}

impl Outcome {
    /// The state that it ends in.
    pub fn state(self) -> BatchState {
        match self {
            Self::Completed => BatchState::Completed,
            Self::Expired => BatchState::Expired,
            Self::Cancelled => BatchState::Cancelled,
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "expired" => Self::Expired,
            "cancelled" => Self::Cancelled,
            _ => Self::Completed,
        }
    }
}

/// A batch that is wanted.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// Who wants it.
    pub owner: String,
    /// The path that its requests are for.
    pub endpoint: String,
    /// The file with its requests.
    pub input_file: String,
    /// In how many seconds it is to be done.
    pub seconds: u64,
    /// The same as it was asked for.
    pub completion_window: String,
    /// What its owner notes of it: a JSON object.
    pub metadata: String,
    /// Seconds after which its files may be forgotten.
    pub output_expires_after: Option<u64>,
}

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its name.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// The path that its requests are for.
    pub endpoint: String,
    /// The file with its requests.
    pub input_file: String,
    /// Where it stands.
    pub state: BatchState,
    /// How it will end, or has.
    pub outcome: Outcome,
    /// In what time it is to be done, as it was asked for.
    pub completion_window: String,
    /// A JSON object.
    pub metadata: String,
    /// Seconds after which its files may be forgotten.
    pub output_expires_after: Option<u64>,
    /// What was wrong with its file: a JSON list.
    pub errors: String,
    /// The file of its answers.
    pub output_file: Option<String>,
    /// The file of what failed.
    pub error_file: Option<String>,
    /// How many requests it has.
    pub total: u64,
    /// How many of them have been answered.
    pub completed: u64,
    /// How many of them have failed.
    pub failed: u64,
    /// When it was wanted; this and the other times are in milliseconds since 1970.
    pub created_at: i64,
    /// When it is to be over.
    pub expires_at: i64,
    /// When it began to run.
    pub in_progress_at: Option<i64>,
    /// When its files were begun.
    pub finalizing_at: Option<i64>,
    /// When it was done.
    pub completed_at: Option<i64>,
    /// When it failed.
    pub failed_at: Option<i64>,
    /// When its time was over.
    pub expired_at: Option<i64>,
    /// When it was to be cancelled.
    pub cancelling_at: Option<i64>,
    /// When it was cancelled.
    pub cancelled_at: Option<i64>,
}

pub(crate) const COLUMNS: &str = "id, owner, endpoint, input_file, state, outcome, completion_window, metadata, \
    output_expires_after, errors, output_file, error_file, total, completed, failed, created_at, expires_at, \
    in_progress_at, finalizing_at, completed_at, failed_at, expired_at, cancelling_at, cancelled_at";

pub(crate) fn batch(row: &AnyRow) -> Result<Batch, StoreError> {
    let count = |name| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(name)?).unwrap_or(0));
    let state: String = row.try_get("state")?;
    let unknown = || StoreError::Damaged(format!("a batch is in the state {state}"));
    Ok(Batch {
        id: row.try_get("id")?,
        owner: row.try_get("owner")?,
        endpoint: row.try_get("endpoint")?,
        input_file: row.try_get("input_file")?,
        state: BatchState::of(&state).ok_or_else(unknown)?,
        outcome: Outcome::of(row.try_get("outcome")?),
        completion_window: row.try_get("completion_window")?,
        metadata: row.try_get("metadata")?,
        output_expires_after: row
            .try_get::<Option<i64>, _>("output_expires_after")?
            .and_then(|seconds| u64::try_from(seconds).ok()),
        errors: row.try_get("errors")?,
        output_file: row.try_get("output_file")?,
        error_file: row.try_get("error_file")?,
        total: count("total")?,
        completed: count("completed")?,
        failed: count("failed")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        in_progress_at: row.try_get("in_progress_at")?,
        finalizing_at: row.try_get("finalizing_at")?,
        completed_at: row.try_get("completed_at")?,
        failed_at: row.try_get("failed_at")?,
        expired_at: row.try_get("expired_at")?,
        cancelling_at: row.try_get("cancelling_at")?,
        cancelled_at: row.try_get("cancelled_at")?,
    })
}

impl Store {
    /// Takes a batch. A node will read its file.
    ///
    /// # Errors
    /// The database.
    pub async fn create_batch(&self, new: &NewBatch, deed: &Deed) -> Result<Batch, StoreError> {
        let database = self.database().await?;
        let id = id::new("batch_");
        let mut all = database.begin().await?;
        let sql = "INSERT INTO batches (id, owner, endpoint, input_file, state, outcome, completion_window, metadata,
                output_expires_after, errors, total, completed, failed, created_at, expires_at)
            VALUES ($1, $2, $3, $4, 'validating', 'completed', $5, $6, $7, '[]', 0, 0, 0, {now}, {now} + $8)";
        sqlx::query(database.sql(sql))
            .bind(&id)
            .bind(&new.owner)
            .bind(&new.endpoint)
            .bind(&new.input_file)
            .bind(&new.completion_window)
            .bind(&new.metadata)
            .bind(new.output_expires_after.and_then(|seconds| i64::try_from(seconds).ok()))
            .bind(i64::try_from(new.seconds.saturating_mul(1000)).unwrap_or(i64::MAX / 2))
            .execute(&mut *all)
            .await?;
        audit::note(database, &mut all, &deed.of(&id)).await?;
        all.commit().await?;
        let batch = self.batch(&new.owner, &id).await?;
        batch.ok_or_else(|| StoreError::Failed("a batch that was taken is gone".to_owned()))
    }

    /// A batch, if it is its owner's.
    ///
    /// # Errors
    /// The database.
    pub async fn batch(&self, owner: &str, id: &str) -> Result<Option<Batch>, StoreError> {
        let database = self.database().await?;
        let sql = format!("SELECT {COLUMNS} FROM batches WHERE id = $1 AND owner = $2");
        let row = sqlx::query(database.sql(&sql)).bind(id).bind(owner).fetch_optional(&database.pool).await?;
        row.as_ref().map(batch).transpose()
    }

    /// The batches of an owner behind the one named `after`, the newest first.
    ///
    /// # Errors
    /// The database.
    pub async fn batches(&self, owner: &str, after: Option<&str>, limit: usize) -> Result<Page<Batch>, StoreError> {
        let database = self.database().await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM batches WHERE owner = $1
             AND ($2 = '' OR (created_at, id) < (SELECT created_at, id FROM batches WHERE id = $2 AND owner = $1))
             ORDER BY created_at DESC, id DESC LIMIT $3"
        );
        let rows = sqlx::query(database.sql(&sql))
            .bind(owner)
            .bind(after.unwrap_or_default())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1)
            .fetch_all(&database.pool)
            .await?;
        Ok(Page::of(rows.iter().map(batch).collect::<Result<_, _>>()?, limit))
    }

    /// Cancels a batch: nothing more of it is begun. One that is over, or whose files are being written, stays as it is.
    ///
    /// # Errors
    /// The database.
    pub async fn cancel_batch(&self, owner: &str, id: &str, deed: &Deed) -> Result<Option<Batch>, StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        let sql = "UPDATE batches SET state = 'cancelling', outcome = 'cancelled', cancelling_at = {now}
            WHERE id = $1 AND owner = $2 AND state IN ('validating', 'in_progress')";
        let changed = sqlx::query(database.sql(sql)).bind(id).bind(owner).execute(&mut *all).await?;
        if changed.rows_affected() > 0 {
            audit::note(database, &mut all, &deed.of(id)).await?;
        }
        all.commit().await?;
        self.batch(owner, id).await
    }

    /// Claims a batch whose file is to be read, or whose answers are to be written.
    ///
    /// # Errors
    /// The database, and that the node is not alive.
    pub async fn claim_batch(&self, node: &Node) -> Result<Option<Batch>, StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        database.hold(&mut all, node).await?;
        let sql = format!(
            "UPDATE batches SET claimed_by = $1 WHERE id = (SELECT id FROM batches
                WHERE state IN ('validating', 'finalizing') AND claimed_by IS NULL ORDER BY created_at LIMIT 1 {{skip}})
             RETURNING {COLUMNS}"
        );
        let row = sqlx::query(database.sql(&sql)).bind(&node.id).fetch_optional(&mut *all).await?;
        all.commit().await?;
        row.as_ref().map(batch).transpose()
    }

    /// Gives back a batch that was claimed.
    ///
    /// # Errors
    /// The database.
    pub async fn release_batch(&self, node: &Node, id: &str) -> Result<(), StoreError> {
        let database = self.database().await?;
        let sql = "UPDATE batches SET claimed_by = NULL WHERE id = $1 AND claimed_by = $2";
        sqlx::query(sql).bind(id).bind(&node.id).execute(&database.pool).await?;
        Ok(())
    }

    /// How many requests of all batches are still to be run, by what their batches count.
    ///
    /// # Errors
    /// The database.
    pub async fn pending_lines(&self) -> Result<u64, StoreError> {
        let database = self.database().await?;
        let sql = "SELECT CAST(COALESCE(SUM(total - completed - failed), 0) AS BIGINT) AS pending FROM batches
            WHERE state = 'in_progress'";
        let pending: i64 = sqlx::query(sql).fetch_one(&database.pool).await?.try_get("pending")?;
        Ok(u64::try_from(pending).unwrap_or(0))
    }
}
