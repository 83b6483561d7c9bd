//! The requests of batches.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use crate::StoreError;
use crate::audit::{self, Deed};
use crate::database::{Database, Store};
use crate::deliveries::{self, Delivery};
use crate::nodes::Node;
use crate::values;

/// Lines that are put in by one statement: 8 values each, and databases take about 32,000.
const AT_ONCE: usize = 1000;

/// A request of a batch, as it was found in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLine {
    /// Its line in the file, from 1.
    pub number: u64,
    /// Its place in the order in which lines are run.
    pub run_order: u64,
    /// What its owner calls it.
    pub custom_id: String,
    /// Its first byte in the file.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
    /// What is written of it, if it cannot be run.
    pub refusal: Option<String>,
}

/// A request that a node is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedLine {
    /// Its batch.
    pub batch: String,
    /// Whose that is.
    pub owner: String,
    /// The path that it is for.
    pub endpoint: String,
    /// The file that it stands in.
    pub input_file: String,
    /// Its line in the file, from 1.
    pub number: u64,
    /// Its place in the order in which lines are run.
    pub run_order: u64,
    /// What its owner calls it.
    pub custom_id: String,
    /// Its first byte in the file.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineResult {
    /// Its batch.
    pub batch: String,
    /// Its line in the file.
    pub number: u64,
    /// Whether it has been answered; else it has failed.
    pub is_answered: bool,
    /// What is written of it: a line of JSON.
    pub written: String,
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Store {
    /// Puts in requests of a batch whose file is being read. With `afresh` those that are there already are forgotten.
    ///
    /// # Errors
    /// The database, and that the batch is not the node's any more.
    pub async fn put_lines(&self, node: &Node, batch: &str, lines: &[NewLine], afresh: bool) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        own_batch(&mut all, node, batch, "validating").await?;
        if afresh {
            sqlx::query("DELETE FROM batch_lines WHERE batch = $1").bind(batch).execute(&mut *all).await?;
        }
        for lines in lines.chunks(AT_ONCE) {
            let sql = format!(
                "INSERT INTO batch_lines (batch, number, run_order, custom_id, start, length, state, result) VALUES {}",
                values::rows(lines.len(), 8)
            );
            let mut insert = sqlx::query(AssertSqlSafe(sql));
            for line in lines {
                insert = insert
                    .bind(batch)
                    .bind(signed(line.number))
                    .bind(signed(line.run_order))
                    .bind(&line.custom_id)
                    .bind(signed(line.start))
                    .bind(signed(line.length))
                    .bind(if line.refusal.is_some() { "failed" } else { "waiting" })
                    .bind(&line.refusal);
            }
            insert.execute(&mut *all).await?;
        }
        Ok(all.commit().await?)
    }

    /// All requests of a batch have been put in: it runs from now on. `errors` is a JSON list of what was wrong with its file.
    ///
    /// # Errors
    /// The database, and that the batch is not the node's any more or has been cancelled.
    pub async fn start_batch(&self, node: &Node, batch: &str, errors: &str) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        own_batch(&mut all, node, batch, "validating").await?;
        let sql = "UPDATE batches SET state = 'in_progress', claimed_by = NULL, in_progress_at = {now}, errors = $2,
                total = (SELECT COUNT(*) FROM batch_lines WHERE batch = $1),
                failed = (SELECT COUNT(*) FROM batch_lines WHERE batch = $1 AND state = 'failed') WHERE id = $1";
        sqlx::query(database.sql(sql)).bind(batch).bind(errors).execute(&mut *all).await?;
        Ok(all.commit().await?)
    }

    /// A batch cannot be run at all.
    ///
    /// # Errors
    /// The database, and that the batch is not the node's any more.
    pub async fn fail_batch(
        &self,
        node: &Node,
        batch: &str,
        errors: &str,
        (deed, event): (&Deed, &Delivery),
    ) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        own_batch(&mut all, node, batch, "validating").await?;
        sqlx::query("DELETE FROM batch_lines WHERE batch = $1").bind(batch).execute(&mut *all).await?;
        let sql =
            "UPDATE batches SET state = 'failed', claimed_by = NULL, failed_at = {now}, errors = $2 WHERE id = $1";
        sqlx::query(database.sql(sql)).bind(batch).bind(errors).execute(&mut *all).await?;
        audit::note(database, &mut all, deed).await?;
        deliveries::enqueue(database, &mut all, event).await?;
        Ok(all.commit().await?)
    }

    /// Claims requests to run, at most so many: of each owner as many as of any other, of an owner those of the oldest batch, and of a batch
    /// those that begin alike one after the other.
    ///
    /// # Errors
    /// The database, and that the node is not alive.
    pub async fn claim_lines(&self, node: &Node, most: usize) -> Result<Vec<ClaimedLine>, StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        database.hold(&mut all, node).await?;
        let sql = "SELECT id, owner, endpoint, input_file FROM batches
            WHERE state = 'in_progress' AND outcome = 'completed' AND total > completed + failed
            ORDER BY created_at, id LIMIT 1000";
        let mut batches = Vec::new();
        for row in sqlx::query(sql).fetch_all(&mut *all).await? {
            let text = |name| row.try_get::<String, _>(name);
            batches.push([text("id")?, text("owner")?, text("endpoint")?, text("input_file")?]);
        }
        let owners: BTreeSet<&str> = batches.iter().map(|[_, owner, ..]| owner.as_str()).collect();
        let share = most.div_ceil(owners.len().max(1)).max(1);
        let mut of_owner: BTreeMap<&str, usize> = BTreeMap::new();
        let mut lines = Vec::new();
        // The second time for what owners without enough lines have left.
        for share in [share, most] {
            for batch in &batches {
                let taken = of_owner.entry(batch[1].as_str()).or_default();
                let wanted = share.saturating_sub(*taken).min(most - lines.len());
                if wanted > 0 {
                    let claimed = claim_of(database, &mut all, node, batch, wanted).await?;
                    *taken += claimed.len();
                    lines.extend(claimed);
                }
            }
        }
        all.commit().await?;
        Ok(lines)
    }

    /// Gives back requests that have not been run.
    ///
    /// # Errors
    /// The database.
    pub async fn release_lines(&self, node: &Node, lines: &[ClaimedLine]) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        for line in lines {
            let sql = "UPDATE batch_lines SET state = 'waiting', claimed_by = NULL
                WHERE batch = $1 AND number = $2 AND claimed_by = $3 AND state = 'claimed'";
            sqlx::query(sql).bind(&line.batch).bind(signed(line.number)).bind(&node.id).execute(&mut *all).await?;
        }
        Ok(all.commit().await?)
    }

    /// Writes what came of requests. Of those that are not the node's any more nothing is written: somebody else runs them. How many were
    /// written.
    ///
    /// # Errors
    /// The database. Then none is written, and the same may be tried again.
    pub async fn finish_lines(&self, node: &Node, results: &[LineResult]) -> Result<usize, StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        let mut counts: BTreeMap<&str, [i64; 2]> = BTreeMap::new();
        let mut written = 0;
        for result in results {
            let sql = "UPDATE batch_lines SET state = $4, result = $5, claimed_by = NULL
                WHERE batch = $1 AND number = $2 AND claimed_by = $3 AND state = 'claimed'";
            let changed = sqlx::query(sql)
                .bind(&result.batch)
                .bind(signed(result.number))
                .bind(&node.id)
                .bind(if result.is_answered { "answered" } else { "failed" })
                .bind(&result.written)
                .execute(&mut *all)
                .await?;
            if changed.rows_affected() > 0 {
                written += 1;
                counts.entry(&result.batch).or_default()[usize::from(!result.is_answered)] += 1;
            }
        }
        for (batch, [answered, failed]) in counts {
            sqlx::query("UPDATE batches SET completed = completed + $2, failed = failed + $3 WHERE id = $1")
                .bind(batch)
                .bind(answered)
                .bind(failed)
                .execute(&mut *all)
                .await?;
        }
        all.commit().await?;
        Ok(written)
    }

    /// Lets batches go on whose time has come: those whose time is over expire, and those of which nothing is to be run any more are
    /// finalized. Whether there is one to finalize.
    ///
    /// # Errors
    /// The database.
    pub async fn advance_batches(&self) -> Result<bool, StoreError> {
        let database = self.database().await?;
        let sql = "UPDATE batches SET outcome = 'expired'
            WHERE state IN ('validating', 'in_progress') AND outcome = 'completed' AND expires_at <= {now}";
        sqlx::query(database.sql(sql)).execute(&database.pool).await?;
        let sql = "UPDATE batches SET state = 'finalizing', finalizing_at = {now} WHERE claimed_by IS NULL AND (
                (state = 'in_progress' AND completed + failed >= total)
                OR ((state = 'cancelling' OR (state IN ('validating', 'in_progress') AND outcome = 'expired'))
                    AND NOT EXISTS (SELECT 1 FROM batch_lines WHERE batch = batches.id AND state = 'claimed')))";
        let changed = sqlx::query(database.sql(sql)).execute(&database.pool).await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Of these batches those of which nothing is to be run any more: what runs of them is to be ended.
    ///
    /// # Errors
    /// The database.
    pub async fn stopped_batches(&self, batches: &BTreeSet<String>) -> Result<Vec<String>, StoreError> {
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let database = self.database().await?;
        let sql = format!(
            "SELECT id FROM batches WHERE state = 'in_progress' AND outcome = 'completed' AND id IN ({})",
            values::list(1, batches.len())
        );
        let select = batches.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, batch| query.bind(batch));
        let rows = select.fetch_all(&database.pool).await?;
        let going = rows.iter().map(|row| row.try_get::<String, _>("id")).collect::<Result<BTreeSet<_>, _>>()?;
        Ok(batches.difference(&going).cloned().collect())
    }
}

async fn claim_of(
    database: &Database,
    all: &mut Transaction<'static, Any>,
    node: &Node,
    [batch, owner, endpoint, input_file]: &[String; 4],
    most: usize,
) -> Result<Vec<ClaimedLine>, StoreError> {
    let sql = "UPDATE batch_lines SET state = 'claimed', claimed_by = $1 WHERE batch = $2 AND number IN (
            SELECT number FROM batch_lines WHERE batch = $2 AND state = 'waiting' ORDER BY run_order LIMIT $3 {skip})
        RETURNING number, run_order, custom_id, start, length";
    let rows = sqlx::query(database.sql(sql))
        .bind(&node.id)
        .bind(batch)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&mut **all)
        .await?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let number = |name| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(name)?).unwrap_or(0));
        lines.push(ClaimedLine {
            batch: batch.clone(),
            owner: owner.clone(),
            endpoint: endpoint.clone(),
            input_file: input_file.clone(),
            number: number("number")?,
            run_order: number("run_order")?,
            custom_id: row.try_get("custom_id")?,
            start: number("start")?,
            length: number("length")?,
        });
    }
    lines.sort_by_key(|line| line.run_order);
    Ok(lines)
}

/// Makes sure, for the length of a transaction, that a batch is claimed by a node and in a state.
pub(crate) async fn own_batch(
    all: &mut Transaction<'static, Any>,
    node: &Node,
    batch: &str,
    state: &str,
) -> Result<(), StoreError> {
    // An update locks the row, in whatever database.
    let sql = "UPDATE batches SET claimed_by = $2 WHERE id = $1 AND claimed_by = $2 AND state = $3";
    let changed = sqlx::query(sql).bind(batch).bind(&node.id).bind(state).execute(&mut **all).await?;
    if changed.rows_affected() == 0 { Err(StoreError::Fenced) } else { Ok(()) }
}
