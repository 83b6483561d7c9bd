//! Statements with a varying number of values.

/// Where the values of some rows stand: `($1, $2), ($3, $4)`. sqlx's builder of queries writes `?`, which PostgreSQL does not know.
pub(crate) fn rows(rows: usize, columns: usize) -> String {
    let row = |row: usize| format!("({})", list(row * columns + 1, columns));
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// Where some values stand, from a number on: `$3, $4`.
pub(crate) fn list(from: usize, count: usize) -> String {
    (from..from + count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}
