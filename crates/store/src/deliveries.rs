//! Webhooks that are to be sent: an outbox, written in the transaction of what its events tell.

use std::time::Duration;

use sqlx::{Any, Row, Transaction};

use crate::database::{Database, Store};
use crate::{StoreError, id};

/// How long whoever has taken an event to send it has for that.
const TAKEN: Duration = Duration::from_secs(60);

/// An event for a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its name, the same at each attempt; empty if nobody is to be told.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// What has happened: `batch.completed`.
    pub kind: String,
    /// What is sent: JSON.
    pub payload: String,
}

impl Delivery {
    /// A name for an event.
    pub fn new_id() -> String {
        id::new("evt_")
    }

    /// Of something that nobody is to be told.
    pub fn none() -> Self {
        Self { id: String::new(), owner: String::new(), kind: String::new(), payload: String::new() }
    }
}

/// An event that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The event.
    pub delivery: Delivery,
    /// The number of this attempt, from 1.
    pub number: u64,
    /// How long ago the event was.
    pub age: Duration,
}

/// Notes an event together with what it tells.
pub(crate) async fn enqueue(
    database: &Database,
    all: &mut Transaction<'static, Any>,
    event: &Delivery,
) -> Result<(), StoreError> {
    if event.id.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO deliveries (id, owner, kind, payload, state, attempts, created_at, next_at)
        VALUES ($1, $2, $3, $4, 'waiting', 0, {now}, {now})";
    sqlx::query(database.sql(sql))
        .bind(&event.id)
        .bind(&event.owner)
        .bind(&event.kind)
        .bind(&event.payload)
        .execute(&mut **all)
        .await?;
    Ok(())
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}

impl Store {
    /// Takes events that are due, at most so many: the first of each owner before the second of any. Whoever takes them says what came of
    /// them, or others take them after a while.
    ///
    /// # Errors
    /// The database.
    pub async fn take_deliveries(&self, most: usize) -> Result<Vec<Attempt>, StoreError> {
        let database = self.database().await?;
        let sql = "UPDATE deliveries SET attempts = attempts + 1, next_at = {now} + $2 WHERE id IN (
                SELECT id FROM deliveries WHERE state = 'waiting' AND next_at <= {now} AND id IN (
                    SELECT id FROM (
                        SELECT id, next_at, ROW_NUMBER() OVER (PARTITION BY owner ORDER BY next_at, id) AS place
                        FROM deliveries WHERE state = 'waiting' AND next_at <= {now}) AS due
                    ORDER BY place, next_at LIMIT $1)
                {skip})
            RETURNING id, owner, kind, payload, attempts, {now} - created_at AS age";
        let rows = sqlx::query(database.sql(sql))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .bind(millis(TAKEN))
            .fetch_all(&database.pool)
            .await?;
        let attempt = |row: &sqlx::any::AnyRow| {
            Ok(Attempt {
                delivery: Delivery {
                    id: row.try_get("id")?,
                    owner: row.try_get("owner")?,
                    kind: row.try_get("kind")?,
                    payload: row.try_get("payload")?,
                },
                number: u64::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(0),
                age: Duration::from_millis(u64::try_from(row.try_get::<i64, _>("age")?).unwrap_or(0)),
            })
        };
        rows.iter().map(attempt).collect()
    }

    /// An event has been received.
    ///
    /// # Errors
    /// The database.
    pub async fn delivered(&self, id: &str) -> Result<(), StoreError> {
        let database = self.database().await?;
        let sql = "UPDATE deliveries SET state = 'delivered', last_error = NULL, next_at = {now} WHERE id = $1";
        sqlx::query(database.sql(sql)).bind(id).execute(&database.pool).await?;
        Ok(())
    }

    /// An event has not been received: it is sent again after a time, or never.
    ///
    /// # Errors
    /// The database.
    pub async fn not_delivered(&self, id: &str, why: &str, again: Option<Duration>) -> Result<(), StoreError> {
        let database = self.database().await?;
        let sql = "UPDATE deliveries SET state = $2, last_error = $3, next_at = {now} + $4 WHERE id = $1 AND state = 'waiting'";
        sqlx::query(database.sql(sql))
            .bind(id)
            .bind(if again.is_some() { "waiting" } else { "given_up" })
            .bind(why)
            .bind(millis(again.unwrap_or_default()))
            .execute(&database.pool)
            .await?;
        Ok(())
    }
}
