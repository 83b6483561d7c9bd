//! The database behind the store, opened when it is needed first.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::FutureExt;
use rustix::fs::{FlockOperation, flock};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection, Executor, Transaction};
use tokio::sync::OnceCell;

use crate::StoreError;
use crate::kind::Kind;
use crate::migrations;

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of SQLite's, for one process.
    Sqlite(PathBuf),
    /// A database of PostgreSQL's, for any number: `postgres://user:password@host/name`.
    Postgres(String),
}

impl Place {
    /// A place as it is given in settings: a URL that begins with `postgres://` or `postgresql://`, or the path of a file.
    pub fn parse(text: &str) -> Self {
        match text.starts_with("postgres://") || text.starts_with("postgresql://") {
            true => Self::Postgres(text.to_owned()),
            false => Self::Sqlite(PathBuf::from(text.strip_prefix("sqlite://").unwrap_or(text))),
        }
    }

    /// What it is in messages: without a password.
    pub fn in_words(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(url) => match (url.find("://"), url.rfind('@')) {
                (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &url[..scheme], &url[at..]),
                _ => url.clone(),
            },
        }
    }
}

/// Limits of a store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Where it is.
    pub place: Place,
    /// Bytes that the files of one owner may have together.
    pub quota: u64,
    /// How long a node that does not answer keeps what it has claimed.
    pub lease: Duration,
    /// How long a query waits for a connection, or for another process that writes.
    pub patience: Duration,
}

impl StoreConfig {
    /// The usual limits, at a place.
    pub fn at(place: Place) -> Self {
        Self { place, quota: 2 << 30, lease: Duration::from_secs(15), patience: Duration::from_secs(5) }
    }
}

/// Work that outlives its client. Cheap to clone: all clones are one. Nothing is made before something is asked of it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: StoreConfig,
    database: OnceCell<Database>,
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    pub pool: AnyPool,
    pub kind: Kind,
    /// Held as long as the file is used.
    _lock: Option<File>,
}

impl Database {
    /// As [`Kind::sql`].
    pub fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        self.kind.sql(text)
    }

    /// Changes that happen together or not at all.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(self.pool.begin().await?)
    }
}

impl Store {
    /// A store with these limits. It is opened when it is needed first.
    pub fn new(config: StoreConfig) -> Self {
        Self { shared: Arc::new(Shared { config, database: OnceCell::new() }) }
    }

    /// Its limits.
    pub fn config(&self) -> &StoreConfig {
        &self.shared.config
    }

    /// Whether there may be something in it: it is open, it is a database that others use, or its file is there.
    pub fn may_have_work(&self) -> bool {
        match &self.config().place {
            Place::Postgres(_) => true,
            Place::Sqlite(path) => self.is_open() || path.exists(),
        }
    }

    /// Whether it has been opened.
    pub fn is_open(&self) -> bool {
        self.shared.database.initialized()
    }

    /// Opens it, if it is not open.
    ///
    /// # Errors
    /// Why it cannot be. The next call tries again.
    pub async fn open(&self) -> Result<(), StoreError> {
        self.database().await.map(|_| ())
    }

    /// Closes it after what is under way. It is not opened again.
    pub async fn close(&self) {
        if let Some(database) = self.shared.database.get() {
            database.pool.close().await;
        }
    }

    pub(crate) async fn database(&self) -> Result<&Database, StoreError> {
        self.shared.database.get_or_try_init(|| open(&self.shared.config)).await
    }
}

async fn open(config: &StoreConfig) -> Result<Database, StoreError> {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(sqlx::any::install_default_drivers);
    let (url, kind, lock, connections) = match &config.place {
        Place::Sqlite(path) => (sqlite_url(path)?, Kind::Sqlite, Some(lock(path)?), 1),
        Place::Postgres(url) => (url.clone(), Kind::Postgres, None, 8),
    };
    let unusable = |error: sqlx::Error| match StoreError::from(error) {
        StoreError::Place(why) | StoreError::Failed(why) => {
            StoreError::Place(format!("used at {}: {why}", config.place.in_words()))
        }
        other => other,
    };
    let options = AnyConnectOptions::from_str(&url).map_err(unusable)?.disable_statement_logging();
    let patience = config.patience;
    // A pool would try again and again, and not say why.
    let mut first = AnyConnection::connect_with(&options).await.map_err(unusable)?;
    prepare(&mut first, kind, patience).await.map_err(unusable)?;
    first.close().await?;
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .after_connect(move |connection, _| prepare(connection, kind, patience).boxed())
        .connect_with(options)
        .await
        .map_err(unusable)?;
    let database = Database { pool, kind, _lock: lock };
    migrations::run(&database.pool, kind).await?;
    if kind == Kind::Sqlite {
        // Nobody else has the file: whoever had claimed something is gone.
        database.free_all().await?;
    }
    tracing::info!(store = config.place.in_words(), "the store is open");
    Ok(database)
}

/// SQLite: what is committed is on the disk (`synchronous`), readers do not wait for the writer (WAL).
async fn prepare(connection: &mut AnyConnection, kind: Kind, patience: Duration) -> sqlx::Result<()> {
    let settings = match kind {
        Kind::Sqlite => format!(
            "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;",
            patience.as_millis()
        ),
        Kind::Postgres => {
            format!("SET statement_timeout = {}; SET lock_timeout = {0};", patience.as_millis().max(5_000))
        }
    };
    connection.execute(AssertSqlSafe(settings)).await.map(|_| ())
}

/// The file's place as a URL.
fn sqlite_url(path: &Path) -> Result<String, StoreError> {
    let unusable = |why: &dyn std::fmt::Display| StoreError::Place(format!("made at {}: {why}", path.display()));
    let text = path.to_str().ok_or_else(|| unusable(&"its name is no text"))?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| unusable(&error))?;
    }
    let escaped: String = text
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    Ok(format!("sqlite://{escaped}?mode=rwc"))
}

/// Makes sure that no other process uses the file: what two processes claim in it would be taken from each other.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let unusable = |error| StoreError::Place(format!("made at {}: {error}", path.display()));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(name).map_err(unusable)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse(path.display().to_string())),
        Err(error) => Err(StoreError::Place(format!("locked at {}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_message() {
        let place = Place::parse("postgres://ada:s3cret@db.example/parkade");
        assert_eq!(place.in_words(), "postgres://…@db.example/parkade");
        assert!(matches!(Place::parse("/tmp/a b.db"), Place::Sqlite(path) if path == Path::new("/tmp/a b.db")));
    }
}
