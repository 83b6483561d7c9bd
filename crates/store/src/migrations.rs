//! The schema, from whatever version a store has to the newest. It only goes forward.
//!
//! sqlx's own migrations are not used: they know no types that differ between databases, and tell a schema that is newer than the program
//! only as a migration that is missing.

use sqlx::{AnyPool, Executor, Row};

use crate::StoreError;
use crate::kind::Kind;

/// What makes each version of the one before it; the first stands at place 0.
pub(crate) const VERSIONS: &[&str] = &[include_str!("schema/0001.sql")];

/// A number that those who migrate agree on, so that nodes that start together wait for each other.
const LOCK: i64 = 0x0070_6172_6b61_6465;

/// Brings the schema up to date.
pub(crate) async fn run(pool: &AnyPool, kind: Kind) -> Result<(), StoreError> {
    let known = i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX);
    let mut all = pool.begin().await?;
    if kind == Kind::Postgres {
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *all).await?;
    }
    all.execute("CREATE TABLE IF NOT EXISTS parkade_schema (version BIGINT NOT NULL)").await?;
    let row = sqlx::query("SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) AS version FROM parkade_schema");
    let found: i64 = row.fetch_one(&mut *all).await?.try_get("version")?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, text) in (1..).zip(VERSIONS).filter(|(version, _)| *version > found) {
        all.execute(kind.sql(text)).await?;
        sqlx::query("INSERT INTO parkade_schema (version) VALUES ($1)").bind(version).execute(&mut *all).await?;
    }
    Ok(all.commit().await?)
}
