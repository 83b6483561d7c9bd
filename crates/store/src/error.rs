//! What can go wrong.

use sqlx::error::DatabaseError;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database does not answer, or is locked by another process: the same may work later.
    #[error("the store cannot be reached now: {0}")]
    Unavailable(String),
    /// There is no room for more.
    #[error("the disk of the store is full: {0}")]
    Full(String),
    /// The store belongs to a newer version of Parkade.
    #[error(
        "the store has schema {found}, and this version knows {known}; use a newer version of Parkade, or another store"
    )]
    Newer {
        /// The schema that is there.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// The file is no database, or has been damaged.
    #[error("the store is damaged: {0}; restore it from a copy, or move it away to begin a new one")]
    Damaged(String),
    /// Another process has it.
    #[error("the store {0} is used by another process; end that, or use --store postgres://… for several")]
    InUse(String),
    /// Where it is to be cannot be used.
    #[error("the store cannot be {0}")]
    Place(String),
    /// The owner's files would be larger than allowed.
    #[error("the files of this owner may have {most} bytes together; delete some with DELETE /v1/files/ID")]
    OverQuota {
        /// Bytes that are allowed.
        most: u64,
    },
    /// The node that asked has been taken for dead, and its work given to others.
    #[error("this node has lost its claims: it did not renew them in time")]
    Fenced,
    /// A fault in how the store is asked.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl StoreError {
    /// Whether the same may work later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }
}

/// Result codes of SQLite: <https://sqlite.org/rescode.html>. The lowest byte of an extended code is the primary one.
mod sqlite {
    pub const BUSY: i64 = 5;
    pub const LOCKED: i64 = 6;
    pub const READ_ONLY: i64 = 8;
    pub const IO: i64 = 10;
    pub const CORRUPT: i64 = 11;
    pub const FULL: i64 = 13;
    pub const CANNOT_OPEN: i64 = 14;
    pub const NO_DATABASE: i64 = 26;
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => of_database(database.as_ref()),
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error.to_string())
            }
            sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Self::Place(format!("opened: {error}")),
            _ => Self::Failed(error.to_string()),
        }
    }
}

fn of_database(error: &dyn DatabaseError) -> StoreError {
    let message = error.message().to_owned();
    let code = error.code().unwrap_or_default();
    if let Ok(number) = code.parse::<i64>()
        && code.len() < 5
    {
        return match number & 0xff {
            sqlite::BUSY | sqlite::LOCKED => StoreError::Unavailable(message),
            sqlite::FULL => StoreError::Full(message),
            sqlite::CORRUPT | sqlite::NO_DATABASE => StoreError::Damaged(message),
            sqlite::READ_ONLY | sqlite::CANNOT_OPEN => StoreError::Place(format!("opened: {message}")),
            sqlite::IO => StoreError::Unavailable(message),
            _ => StoreError::Failed(message),
        };
    }
    // Classes of SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
    match (code.get(..2), code.as_ref()) {
        (_, "53100") => StoreError::Full(message),
        (Some("08" | "53" | "57" | "40"), _) | (_, "55P03") => StoreError::Unavailable(message),
        (Some("28" | "3D"), _) => StoreError::Place(format!("opened: {message}")),
        (Some("XX"), _) => StoreError::Damaged(message),
        _ => StoreError::Failed(message),
    }
}
