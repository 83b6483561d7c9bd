//! Processes that do work, and their leases.
//!
//! A node claims work in its name. As long as it renews its lease, the work is its own. When its lease is over, whoever notices frees what it
//! had claimed; the node that comes back too late is told so ([`StoreError::Fenced`]) and none of its results count, because each change of
//! claimed work asks for the claim. Time is the database's.

use sqlx::{Any, Row, Transaction};

use crate::database::{Database, Store};
use crate::kind::Kind;
use crate::{StoreError, id};

/// A lease without an end, in milliseconds.
const NO_END: i64 = i64::MAX / 4;

/// A process that does work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, another one each time that it joins.
    pub id: String,
}

impl Store {
    /// Joins those who do work.
    ///
    /// # Errors
    /// The database.
    pub async fn join(&self) -> Result<Node, StoreError> {
        let database = self.database().await?;
        let node = Node { id: id::new("node_") };
        let sql = "INSERT INTO nodes (id, started_at, alive_until) VALUES ($1, {now}, {now} + $2)";
        let lease = if database.kind == Kind::Sqlite { NO_END } else { self.lease_ms() };
        sqlx::query(database.sql(sql)).bind(&node.id).bind(lease).execute(&database.pool).await?;
        Ok(node)
    }

    /// Renews a node's lease, and frees what nodes have whose leases are over. In a file for one process nobody else could: there a lease has
    /// no end, and nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if its own was over: it has nothing any more, and must join again.
    pub async fn renew(&self, node: &Node) -> Result<(), StoreError> {
        let database = self.database().await?;
        if database.kind == Kind::Sqlite {
            let row = sqlx::query("SELECT id FROM nodes WHERE id = $1").bind(&node.id).fetch_optional(&database.pool);
            return row.await?.map(|_| ()).ok_or(StoreError::Fenced);
        }
        let sql = "UPDATE nodes SET alive_until = {now} + $2 WHERE id = $1 AND alive_until > {now}";
        let renewed = sqlx::query(database.sql(sql)).bind(&node.id).bind(self.lease_ms()).execute(&database.pool);
        if renewed.await?.rows_affected() == 0 {
            return Err(StoreError::Fenced);
        }
        database.bury().await
    }

    /// Leaves: all that the node has claimed is free at once.
    ///
    /// # Errors
    /// The database.
    pub async fn leave(&self, node: &Node) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        database.free(&mut all, &node.id).await?;
        Ok(all.commit().await?)
    }

    fn lease_ms(&self) -> i64 {
        i64::try_from(self.config().lease.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Database {
    /// Frees what dead nodes have claimed.
    async fn bury(&self) -> Result<(), StoreError> {
        let mut all = self.begin().await?;
        let sql = "SELECT id FROM nodes WHERE alive_until <= {now} {skip}";
        for row in sqlx::query(self.sql(sql)).fetch_all(&mut *all).await? {
            let dead: String = row.try_get("id")?;
            tracing::warn!(node = dead, "a node has died; its work is taken up by others");
            self.free(&mut all, &dead).await?;
        }
        Ok(all.commit().await?)
    }

    /// Frees what all nodes have claimed: none of them is alive.
    pub(crate) async fn free_all(&self) -> Result<(), StoreError> {
        let mut all = self.begin().await?;
        for row in sqlx::query("SELECT id FROM nodes").fetch_all(&mut *all).await? {
            self.free(&mut all, &row.try_get::<String, _>("id")?).await?;
        }
        Ok(all.commit().await?)
    }

    async fn free(&self, all: &mut Transaction<'static, Any>, node: &str) -> Result<(), StoreError> {
        for sql in [
            "UPDATE batch_lines SET state = 'waiting', claimed_by = NULL WHERE claimed_by = $1",
            "UPDATE batches SET claimed_by = NULL WHERE claimed_by = $1",
            "UPDATE answers SET state = 'waiting', claimed_by = NULL WHERE claimed_by = $1",
            // What it had not written to the end is nobody's.
            "DELETE FROM file_chunks WHERE file IN (SELECT id FROM files WHERE written_by = $1)",
            "DELETE FROM files WHERE written_by = $1",
            "DELETE FROM nodes WHERE id = $1",
        ] {
            sqlx::query(sql).bind(node).execute(&mut **all).await?;
        }
        Ok(())
    }

    /// Makes sure, for the length of a transaction, that a node is alive: whoever wants to bury it waits or passes it by.
    pub(crate) async fn hold(&self, all: &mut Transaction<'static, Any>, node: &Node) -> Result<(), StoreError> {
        let lock = match self.kind {
            Kind::Postgres => "FOR SHARE",
            Kind::Sqlite => "",
        };
        let sql = format!("SELECT id FROM nodes WHERE id = $1 AND alive_until > {{now}} {lock}");
        let row = sqlx::query(self.sql(&sql)).bind(&node.id).fetch_optional(&mut **all).await?;
        row.map(|_| ()).ok_or(StoreError::Fenced)
    }
}
