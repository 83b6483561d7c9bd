//! Who did what, and when.

use sqlx::{Any, Row, Transaction};

use crate::StoreError;
use crate::database::{Database, Store};
use crate::page::Page;

/// What somebody does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deed {
    /// On whose account; empty where there are no keys.
    pub tenant: String,
    /// Who: a key's name, or `parkade`.
    pub actor: String,
    /// What: `batch.created`.
    pub action: String,
    /// To what: its id.
    pub object: String,
    /// More, as JSON or empty.
    pub detail: String,
}

impl Deed {
    /// The same, done to something that has its name only now.
    #[must_use]
    pub fn of(&self, object: &str) -> Self {
        Self { object: object.to_owned(), ..self.clone() }
    }
}

/// A deed that was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number; later deeds have larger ones.
    pub id: i64,
    /// When it was done, in milliseconds since 1970.
    pub at: i64,
    /// What was done.
    pub deed: Deed,
}

/// Notes a deed together with what it changes.
pub(crate) async fn note(
    database: &Database,
    all: &mut Transaction<'static, Any>,
    deed: &Deed,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit (at, tenant, actor, action, object, detail) VALUES ({now}, $1, $2, $3, $4, $5)";
    sqlx::query(database.sql(sql))
        .bind(&deed.tenant)
        .bind(&deed.actor)
        .bind(&deed.action)
        .bind(&deed.object)
        .bind(&deed.detail)
        .execute(&mut **all)
        .await?;
    Ok(())
}

impl Store {
    /// Notes a deed that changes nothing here.
    ///
    /// # Errors
    /// The database.
    pub async fn note(&self, deed: &Deed) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        note(database, &mut all, deed).await?;
        Ok(all.commit().await?)
    }

    /// What was done, the newest first: of all tenants or one, before the deed with the number `before`.
    ///
    /// # Errors
    /// The database.
    pub async fn audit(
        &self,
        tenant: Option<&str>,
        object: Option<&str>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<AuditRecord>, StoreError> {
        let database = self.database().await?;
        let sql = "SELECT id, at, tenant, actor, action, object, detail FROM audit
            WHERE ($1 = 0 OR tenant = $2) AND ($3 = '' OR object = $3) AND id < $4 ORDER BY id DESC LIMIT $5";
        let rows = sqlx::query(sql)
            .bind(i64::from(tenant.is_some()))
            .bind(tenant.unwrap_or_default())
            .bind(object.unwrap_or_default())
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1)
            .fetch_all(&database.pool)
            .await?;
        let record = |row: &sqlx::any::AnyRow| {
            Ok::<_, StoreError>(AuditRecord {
                id: row.try_get("id")?,
                at: row.try_get("at")?,
                deed: Deed {
                    tenant: row.try_get("tenant")?,
                    actor: row.try_get("actor")?,
                    action: row.try_get("action")?,
                    object: row.try_get("object")?,
                    detail: row.try_get("detail")?,
                },
            })
        };
        Ok(Page::of(rows.iter().map(record).collect::<Result<_, _>>()?, limit))
    }

    /// Forgets what was done before a moment, in milliseconds since 1970, and notes that. How much it was.
    ///
    /// # Errors
    /// The database.
    pub async fn prune_audit(&self, before: i64, deed: &Deed) -> Result<u64, StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        let deleted = sqlx::query("DELETE FROM audit WHERE at < $1").bind(before).execute(&mut *all).await?;
        let deleted = deleted.rows_affected();
        let detail = format!(r#"{{"before":{},"deleted":{deleted}}}"#, before.div_euclid(1000));
        note(database, &mut all, &Deed { detail, ..deed.clone() }).await?;
        all.commit().await?;
        Ok(deleted)
    }
}
