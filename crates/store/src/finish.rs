//! The files that a batch ends with.

use sqlx::Row;

use crate::StoreError;
use crate::audit::{self, Deed};
use crate::batches::{Batch, Outcome};
use crate::database::Store;
use crate::deliveries::{self, Delivery};
use crate::files::{FileWriter, NewFile, Purpose};
use crate::lines::own_batch;
use crate::nodes::Node;

/// Lines that are read at once.
const PAGE: i64 = 500;

/// The files of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinishedFiles {
    /// Of its answers, if there are any.
    pub output: Option<String>,
    /// Of what failed, if anything did.
    pub errors: Option<String>,
}

/// What the end of a batch depends on.
struct Ending<'a> {
    node: &'a Node,
    batch: &'a Batch,
    /// The file of answers, and the one of failures.
    files: [Option<FileWriter>; 2],
}

impl Store {
    /// Writes the files of a batch that was claimed when it was to be finalized, in the order of its lines, and ends it. `unfinished` is what is
    /// written of a request that was not run, by its `custom_id` and number.
    ///
    /// # Errors
    /// The database, and that the batch is not the node's any more. Nothing of it is seen then, and it can be tried again.
    pub async fn finish_batch(
        &self,
        node: &Node,
        batch: &Batch,
        unfinished: impl Fn(&str, u64) -> String + Send,
        (deed, event): (&Deed, &Delivery),
    ) -> Result<FinishedFiles, StoreError> {
        let mut ending = Ending { node, batch, files: [None, None] };
        if batch.outcome != Outcome::Completed {
            self.close_lines(&ending).await?;
        }
        let mut after = 0;
        while let Some(last) = self.write_page(&mut ending, after, &unfinished).await? {
            after = last;
        }
        for file in ending.files.iter_mut().flatten() {
            file.flush_all().await?;
        }
        let database = self.database().await?;
        let mut all = database.begin().await?;
        own_batch(&mut all, node, &batch.id, "finalizing").await?;
        for file in ending.files.iter().flatten() {
            file.publish(&mut all).await?;
        }
        let [output, errors] = ending.files.each_ref().map(|file| file.as_ref().map(|file| file.id().to_owned()));
        let state = batch.outcome.state().name();
        let sql = format!(
            "UPDATE batches SET state = $2, {state}_at = {{now}}, output_file = $3, error_file = $4, claimed_by = NULL,
                failed = total - completed WHERE id = $1"
        );
        sqlx::query(database.sql(&sql))
            .bind(&batch.id)
            .bind(state)
            .bind(&output)
            .bind(&errors)
            .execute(&mut *all)
            .await?;
        sqlx::query("DELETE FROM batch_lines WHERE batch = $1").bind(&batch.id).execute(&mut *all).await?;
        audit::note(database, &mut all, deed).await?;
        deliveries::enqueue(database, &mut all, event).await?;
        all.commit().await?;
        ending.files.iter_mut().flatten().for_each(FileWriter::published);
        Ok(FinishedFiles { output, errors })
    }

    /// From now on no request of the batch gets another result.
    async fn close_lines(&self, ending: &Ending<'_>) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        own_batch(&mut all, ending.node, &ending.batch.id, "finalizing").await?;
        let sql = "UPDATE batch_lines SET state = 'failed', claimed_by = NULL
            WHERE batch = $1 AND state IN ('waiting', 'claimed')";
        sqlx::query(sql).bind(&ending.batch.id).execute(&mut *all).await?;
        Ok(all.commit().await?)
    }

    /// Writes the lines behind the one with a number. The number of the last one; none if there are no more.
    async fn write_page(
        &self,
        ending: &mut Ending<'_>,
        after: i64,
        unfinished: &(impl Fn(&str, u64) -> String + Send),
    ) -> Result<Option<i64>, StoreError> {
        let database = self.database().await?;
        let sql = "SELECT number, custom_id, state, result FROM batch_lines WHERE batch = $1 AND number > $2
            ORDER BY number LIMIT $3";
        let rows = sqlx::query(sql).bind(&ending.batch.id).bind(after).bind(PAGE).fetch_all(&database.pool).await?;
        let mut last = None;
        let mut texts = [String::new(), String::new()];
        for row in rows {
            let number: i64 = row.try_get("number")?;
            let is_answered = row.try_get::<String, _>("state")? == "answered";
            let written: Option<String> = row.try_get("result")?;
            let custom_id: String = row.try_get("custom_id")?;
            let written = written.unwrap_or_else(|| unfinished(&custom_id, u64::try_from(number).unwrap_or(0)));
            let text = &mut texts[usize::from(!is_answered)];
            text.push_str(&written);
            text.push('\n');
            last = Some(number);
        }
        for (place, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            if ending.files[place].is_none() {
                ending.files[place] = Some(self.begin_output(ending, ["output", "error"][place]).await?);
            }
            if let Some(file) = &mut ending.files[place] {
                file.write(text.as_bytes()).await?;
            }
        }
        Ok(last)
    }

    async fn begin_output(&self, ending: &Ending<'_>, what: &str) -> Result<FileWriter, StoreError> {
        let file = NewFile {
            owner: ending.batch.owner.clone(),
            name: format!("{}_{what}.jsonl", ending.batch.id),
            purpose: Purpose::BatchOutput,
            expires_after: ending.batch.output_expires_after,
        };
        self.write_file(file, Some(ending.node)).await
    }
}
