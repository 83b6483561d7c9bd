//! The events of answers that are computed whether or not somebody reads them.

use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use crate::StoreError;
use crate::database::{Database, Store};
use crate::kind::Kind;
use crate::nodes::Node;
use crate::values;

/// How many events one statement writes.
const AT_ONCE: usize = 1000;

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
        own(database, &mut all, node, answer).await?;
        insert(&mut all, answer, first, events).await?;
        Ok(all.commit().await?)
    }

    /// Forgets the events of an answer that a node computes: it is another answer now.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if it is not the node's any more, or has been deleted; and the database.
    pub async fn forget_events(&self, node: &Node, answer: &str) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        own(database, &mut all, node, answer).await?;
        sqlx::query("DELETE FROM answer_events WHERE answer = $1").bind(answer).execute(&mut *all).await?;
        Ok(all.commit().await?)
    }

    /// How many events of an answer there are.
    ///
    /// # Errors
    /// The database.
    pub async fn count_events(&self, answer: &str) -> Result<u64, StoreError> {
        let database = self.database().await?;
        let sql = "SELECT COUNT(*) AS count FROM answer_events WHERE answer = $1";
        let row = sqlx::query(sql).bind(answer).fetch_one(&database.pool).await?;
        Ok(u64::try_from(row.try_get::<i64, _>("count")?).unwrap_or(0))
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

/// Writes down events within a transaction.
pub(crate) async fn insert(
    all: &mut Transaction<'static, Any>,
    answer: &str,
    first: u64,
    events: &[String],
) -> Result<(), StoreError> {
    for (place, events) in events.chunks(AT_ONCE).enumerate() {
        let from = first + (place * AT_ONCE) as u64;
        let sql = format!(
            "INSERT INTO answer_events (answer, number, content) VALUES {} ON CONFLICT (answer, number) DO NOTHING",
            values::rows(events.len(), 3)
        );
        let mut insert = sqlx::query(AssertSqlSafe(sql));
        for (number, event) in (from..).zip(events) {
            insert = insert.bind(answer).bind(i64::try_from(number).unwrap_or(i64::MAX)).bind(event);
        }
        insert.execute(&mut **all).await?;
    }
    Ok(())
}

/// Makes sure, for the length of a transaction, that an answer is computed by a node.
pub(crate) async fn own(
    database: &Database,
    all: &mut Transaction<'static, Any>,
    node: &Node,
    id: &str,
) -> Result<(), StoreError> {
    let lock = if database.kind == Kind::Postgres { "FOR SHARE" } else { "" };
    let sql = format!("SELECT id FROM answers WHERE id = $1 AND claimed_by = $2 AND state = 'claimed' {lock}");
    let row = sqlx::query(database.sql(&sql)).bind(id).bind(&node.id).fetch_optional(&mut **all).await?;
    row.map(|_| ()).ok_or(StoreError::Fenced)
}
