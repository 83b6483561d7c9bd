//! What differs between databases.

use sqlx::AssertSqlSafe;

/// Whose SQL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// A statement with the words that differ put in: `{now}` is the database's time in milliseconds since 1970, `{skip}` what is behind a
    /// selection that is to be changed, `{bytes}` and `{serial}` types.
    pub fn sql(self, text: &str) -> AssertSqlSafe<String> {
        let words: [(&str, &str); 4] = match self {
            Self::Sqlite => [
                ("{now}", "CAST(unixepoch('subsec') * 1000 AS INTEGER)"),
                ("{skip}", ""),
                ("{bytes}", "BLOB"),
                ("{serial}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
            ],
            Self::Postgres => [
                ("{now}", "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"),
                ("{skip}", "FOR UPDATE SKIP LOCKED"),
                ("{bytes}", "BYTEA"),
                ("{serial}", "BIGSERIAL PRIMARY KEY"),
            ],
        };
        AssertSqlSafe(words.iter().fold(text.to_owned(), |text, (word, meant)| text.replace(word, meant)))
    }
}
