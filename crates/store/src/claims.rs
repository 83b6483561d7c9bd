//! Answers that are still to be computed.

use sqlx::Row;

use crate::StoreError;
use crate::answers::{self, Answer};
use crate::database::Store;
use crate::nodes::Node;

impl Store {
    /// Claims answers that no node computes, at most so many, the oldest first.
    ///
    /// # Errors
    /// The database, and that the node is not alive.
    pub async fn claim_answers(&self, node: &Node, most: usize) -> Result<Vec<Answer>, StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        database.hold(&mut all, node).await?;
        let sql = format!(
            "UPDATE answers SET state = 'claimed', claimed_by = $1 WHERE id IN (
                SELECT id FROM answers WHERE state = 'waiting' ORDER BY created_at LIMIT $2 {{skip}})
             RETURNING {}",
            answers::COLUMNS
        );
        let rows = sqlx::query(database.sql(&sql))
            .bind(&node.id)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&mut *all)
            .await?;
        all.commit().await?;
        rows.iter().map(answers::answer).collect()
    }

    /// Gives back an answer that the node does not compute after all.
    ///
    /// # Errors
    /// The database.
    pub async fn release_answer(&self, node: &Node, id: &str) -> Result<(), StoreError> {
        let database = self.database().await?;
        let sql = "UPDATE answers SET state = 'waiting', claimed_by = NULL
            WHERE id = $1 AND claimed_by = $2 AND state = 'claimed'";
        sqlx::query(sql).bind(id).bind(&node.id).execute(&database.pool).await?;
        Ok(())
    }

    /// Which of the answers that a node computes have been cancelled.
    ///
    /// # Errors
    /// The database.
    pub async fn cancelled_answers(&self, node: &Node) -> Result<Vec<String>, StoreError> {
        let database = self.database().await?;
        let sql = "SELECT id FROM answers WHERE claimed_by = $1 AND cancelled = 1";
        let rows = sqlx::query(sql).bind(&node.id).fetch_all(&database.pool).await?;
        Ok(rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?)
    }
}
