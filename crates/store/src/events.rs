//! The events of answers that are computed whether or not somebody reads them.

use sqlx::{AssertSqlSafe, Row};

use crate::StoreError;
use crate::answers;
use crate::database::Store;
use crate::nodes::Node;
use crate::values;

impl Store {
    /// Writes down events of an answer that a node computes: that of number `first`, and those behind it. Those that are there already stay: an
    /// answer that is computed again is the same.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if it is not the node's any more, or has been deleted; and the database.
    pub async fn push_events(
        &self,
        node: &Node,
        answer: &str,
        first: u64,
        events: &[String],
    ) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        answers::own(database, &mut all, node, answer).await?;
        for (place, events) in events.chunks(1000).enumerate() {
            let from = first + (place * 1000) as u64;
            let sql = format!(
                "INSERT INTO answer_events (answer, number, content) VALUES {} ON CONFLICT (answer, number) DO NOTHING",
                values::rows(events.len(), 3)
            );
            let mut insert = sqlx::query(AssertSqlSafe(sql));
            for (number, event) in (from..).zip(events) {
                insert = insert.bind(answer).bind(i64::try_from(number).unwrap_or(i64::MAX)).bind(event);
            }
            insert.execute(&mut *all).await?;
        }
        Ok(all.commit().await?)
    }

    /// Events of an answer from a number on, at most so many.
    ///
    /// # Errors
    /// The database.
    pub async fn events(&self, answer: &str, from: u64, most: usize) -> Result<Vec<String>, StoreError> {
        let database = self.database().await?;
        let sql = "SELECT content FROM answer_events WHERE answer = $1 AND number >= $2 ORDER BY number LIMIT $3";
        let rows = sqlx::query(sql)
            .bind(answer)
            .bind(i64::try_from(from).unwrap_or(i64::MAX))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&database.pool)
            .await?;
        Ok(rows.iter().map(|row| row.try_get("content")).collect::<Result<_, _>>()?)
    }
}
