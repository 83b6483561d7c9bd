//! Files: in pieces in the database, so that all nodes have them, and what names them and their content change together.

use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use crate::audit::{self, Deed};
use crate::database::Store;
use crate::nodes::Node;
use crate::page::{Order, Page};
use crate::{StoreError, id};

/// Bytes of a piece.
pub(crate) const CHUNK: usize = 1 << 20;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Requests of a batch.
    Batch,
    /// What a batch has written.
    BatchOutput,
    /// Anything that its owner wants to have kept.
    UserData,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Batch, Self::BatchOutput, Self::UserData];

    /// As OpenAI's API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::BatchOutput => "batch_output",
            Self::UserData => "user_data",
        }
    }

    /// The purpose of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }
}

/// A file that is to be written.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Whose it is; empty where there are no keys.
    pub owner: String,
    /// What its owner calls it.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Seconds after which it may be forgotten.
    pub expires_after: Option<u64>,
}

/// A file that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name here.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// What its owner calls it.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Its length in bytes.
    pub bytes: u64,
    /// The SHA-256 of its content, in hex.
    pub sha256: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// When it may be forgotten, in milliseconds since 1970.
    pub expires_at: Option<i64>,
}

/// A file that is being written. One that is dropped before it is finished is forgotten.
#[derive(Debug)]
pub struct FileWriter {
    store: Store,
    is_finished: bool,
    id: String,
    owner: String,
    is_counted: bool,
    chunks: i64,
    bytes: u64,
    piece: Vec<u8>,
    digest: Sha256,
}

const COLUMNS: &str = "id, owner, name, purpose, bytes, sha256, created_at, expires_at";

fn millis(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX / 2)
}

fn file(row: &AnyRow) -> Result<File, StoreError> {
    Ok(File {
        id: row.try_get("id")?,
        owner: row.try_get("owner")?,
        name: row.try_get("name")?,
        purpose: Purpose::of(row.try_get("purpose")?).unwrap_or(Purpose::UserData),
        bytes: u64::try_from(row.try_get::<i64, _>("bytes")?).unwrap_or(0),
        sha256: row.try_get("sha256")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}

impl Store {
    /// Begins a file. If `by` dies before it is finished, it is forgotten.
    ///
    /// # Errors
    /// The database.
    pub async fn write_file(&self, new: NewFile, by: Option<&Node>) -> Result<FileWriter, StoreError> {
        let database = self.database().await?;
        let id = id::new("file-");
        let sql =
            "INSERT INTO files (id, owner, name, purpose, state, bytes, sha256, written_by, created_at, expires_at)
            VALUES ($1, $2, $3, $4, 'writing', 0, '', $5, {now}, {now} + $6)";
        sqlx::query(database.sql(sql))
            .bind(&id)
            .bind(&new.owner)
            .bind(&new.name)
            .bind(new.purpose.name())
            .bind(by.map(|node| node.id.clone()))
            .bind(new.expires_after.map(millis))
            .execute(&database.pool)
            .await?;
        Ok(FileWriter {
            store: self.clone(),
            is_finished: false,
            id,
            owner: new.owner,
            is_counted: new.purpose != Purpose::BatchOutput,
            chunks: 0,
            bytes: 0,
            piece: Vec::new(),
            digest: Sha256::new(),
        })
    }

    /// A file, if it is its owner's.
    ///
    /// # Errors
    /// The database.
    pub async fn file(&self, owner: &str, id: &str) -> Result<Option<File>, StoreError> {
        let database = self.database().await?;
        let sql = format!("SELECT {COLUMNS} FROM files WHERE id = $1 AND owner = $2 AND state = 'ready'");
        let row = sqlx::query(database.sql(&sql)).bind(id).bind(owner).fetch_optional(&database.pool).await?;
        row.as_ref().map(file).transpose()
    }

    /// The files of an owner behind the one named `after`.
    ///
    /// # Errors
    /// The database.
    pub async fn files(
        &self,
        owner: &str,
        purpose: Option<Purpose>,
        (order, after, limit): (Order, Option<&str>, usize),
    ) -> Result<Page<File>, StoreError> {
        let database = self.database().await?;
        let (beyond, direction) = match order {
            Order::Ascending => (">", "ASC"),
            Order::Descending => ("<", "DESC"),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM files WHERE owner = $1 AND state = 'ready' AND ($2 = '' OR purpose = $2)
             AND ($3 = '' OR (created_at, id) {beyond} (SELECT created_at, id FROM files WHERE id = $3 AND owner = $1))
             ORDER BY created_at {direction}, id {direction} LIMIT $4"
        );
        let rows = sqlx::query(database.sql(&sql))
            .bind(owner)
            .bind(purpose.map_or("", Purpose::name))
            .bind(after.unwrap_or_default())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1)
            .fetch_all(&database.pool)
            .await?;
        Ok(Page::of(rows.iter().map(file).collect::<Result<_, _>>()?, limit))
    }

    /// Forgets a file; false if its owner has none of this name.
    ///
    /// # Errors
    /// The database.
    pub async fn delete_file(&self, owner: &str, id: &str, deed: &Deed) -> Result<bool, StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        let deleted = sqlx::query("DELETE FROM files WHERE id = $1 AND owner = $2 AND state = 'ready'");
        if deleted.bind(id).bind(owner).execute(&mut *all).await?.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("DELETE FROM file_chunks WHERE file = $1").bind(id).execute(&mut *all).await?;
        audit::note(database, &mut all, &deed.of(id)).await?;
        all.commit().await?;
        Ok(true)
    }

    async fn forget_unfinished(&self, id: &str) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        let deleted = sqlx::query("DELETE FROM files WHERE id = $1 AND state = 'writing'");
        if deleted.bind(id).execute(&mut *all).await?.rows_affected() > 0 {
            sqlx::query("DELETE FROM file_chunks WHERE file = $1").bind(id).execute(&mut *all).await?;
        }
        Ok(all.commit().await?)
    }

    /// Whether a batch that is not over reads this file.
    ///
    /// # Errors
    /// The database.
    pub async fn file_is_in_use(&self, id: &str) -> Result<bool, StoreError> {
        let database = self.database().await?;
        let sql = "SELECT id FROM batches WHERE input_file = $1
            AND state IN ('validating', 'in_progress', 'finalizing', 'cancelling') LIMIT 1";
        Ok(sqlx::query(sql).bind(id).fetch_optional(&database.pool).await?.is_some())
    }

    /// The piece of a file with this number; none behind the last one.
    ///
    /// # Errors
    /// The database.
    pub async fn file_chunk(&self, id: &str, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let database = self.database().await?;
        let row = sqlx::query("SELECT content FROM file_chunks WHERE file = $1 AND number = $2")
            .bind(id)
            .bind(i64::try_from(number).unwrap_or(i64::MAX))
            .fetch_optional(&database.pool)
            .await?;
        Ok(row.map(|row| row.try_get("content")).transpose()?)
    }

    /// A part of a file.
    ///
    /// # Errors
    /// The database, or that the file is not there or shorter.
    pub async fn read_range(&self, id: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let chunk = CHUNK as u64;
        let (mut at, end) = (start, start.saturating_add(length));
        let mut content = Vec::new();
        while at < end {
            let missing = || StoreError::Damaged(format!("the file {id} lacks its byte {at}"));
            let piece = self.file_chunk(id, at / chunk).await?.ok_or_else(missing)?;
            let from = usize::try_from(at % chunk).unwrap_or(usize::MAX);
            let most = usize::try_from(end - at).unwrap_or(usize::MAX);
            let part = piece.get(from..).filter(|part| !part.is_empty()).ok_or_else(missing)?;
            let part = &part[..part.len().min(most)];
            content.extend_from_slice(part);
            at += part.len() as u64;
        }
        Ok(content)
    }
}

impl FileWriter {
    /// What the file will be called here.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What it is for, and in how many seconds it may be forgotten: its owner may say so only behind its content.
    ///
    /// # Errors
    /// The database.
    pub async fn set(&mut self, purpose: Purpose, expires_after: Option<u64>) -> Result<(), StoreError> {
        let database = self.store.database().await?;
        let sql = "UPDATE files SET purpose = $2, expires_at = created_at + $3 WHERE id = $1 AND state = 'writing'";
        sqlx::query(sql)
            .bind(&self.id)
            .bind(purpose.name())
            .bind(expires_after.map(millis))
            .execute(&database.pool)
            .await?;
        Ok(())
    }

    /// Adds to the file.
    ///
    /// # Errors
    /// The database, and that the owner's files would be too large together.
    pub async fn write(&mut self, mut content: &[u8]) -> Result<(), StoreError> {
        self.digest.update(content);
        self.bytes += content.len() as u64;
        while !content.is_empty() {
            let part = content.len().min(CHUNK - self.piece.len());
            self.piece.extend_from_slice(&content[..part]);
            content = &content[part..];
            if self.piece.len() == CHUNK {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let database = self.store.database().await?;
        let mut all = database.begin().await?;
        let length = i64::try_from(self.piece.len()).unwrap_or(i64::MAX);
        let changed = sqlx::query("UPDATE files SET bytes = bytes + $2 WHERE id = $1 AND state = 'writing'");
        if changed.bind(&self.id).bind(length).execute(&mut *all).await?.rows_affected() == 0 {
            // Swept away: its writer was taken for dead.
            return Err(StoreError::Fenced);
        }
        if self.is_counted {
            self.check_quota(&mut all).await?;
        }
        sqlx::query("INSERT INTO file_chunks (file, number, content) VALUES ($1, $2, $3)")
            .bind(&self.id)
            .bind(self.chunks)
            .bind(std::mem::take(&mut self.piece))
            .execute(&mut *all)
            .await?;
        all.commit().await?;
        self.chunks += 1;
        Ok(())
    }

    /// What a batch writes is not counted: it must be able to end.
    async fn check_quota(&self, all: &mut Transaction<'static, Any>) -> Result<(), StoreError> {
        let sql = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS sum FROM files
            WHERE owner = $1 AND purpose <> 'batch_output'";
        let sum: i64 = sqlx::query(sql).bind(&self.owner).fetch_one(&mut **all).await?.try_get("sum")?;
        let most = self.store.config().quota;
        if u64::try_from(sum).unwrap_or(0) > most { Err(StoreError::OverQuota { most }) } else { Ok(()) }
    }

    /// The file is complete: it can be found from now on.
    ///
    /// # Errors
    /// The database, and that the owner's files would be too large together.
    pub async fn finish(mut self, deed: &Deed) -> Result<File, StoreError> {
        self.flush().await?;
        let database = self.store.database().await?;
        let mut all = database.begin().await?;
        self.publish(&mut all).await?;
        audit::note(database, &mut all, &deed.of(&self.id)).await?;
        all.commit().await?;
        self.is_finished = true;
        let file = self.store.file(&self.owner, &self.id).await?;
        file.ok_or_else(|| StoreError::Failed("a file that was written is gone".to_owned()))
    }

    /// As [`finish`](Self::finish), together with other changes. What was not flushed yet must have been.
    pub(crate) async fn publish(&self, all: &mut Transaction<'static, Any>) -> Result<(), StoreError> {
        let digest =
            self.digest.clone().finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let sql =
            "UPDATE files SET state = 'ready', sha256 = $2, written_by = NULL WHERE id = $1 AND state = 'writing'";
        let changed = sqlx::query(sql).bind(&self.id).bind(digest).execute(&mut **all).await?;
        if changed.rows_affected() == 0 { Err(StoreError::Fenced) } else { Ok(()) }
    }

    /// Writes what has been added so far.
    pub(crate) async fn flush_all(&mut self) -> Result<(), StoreError> {
        self.flush().await
    }

    /// It was published together with other changes.
    pub(crate) fn published(&mut self) {
        self.is_finished = true;
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let (store, id) = (self.store.clone(), std::mem::take(&mut self.id));
        let forget = async move { store.forget_unfinished(&id).await };
        // Without a runtime, and should it fail, the sweep does it later.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(forget);
        }
    }
}
