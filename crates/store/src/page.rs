//! Parts of lists.

/// In which order a list is given, by the time when its members were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// The oldest first.
    Ascending,
    /// The newest first.
    #[default]
    Descending,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Its members.
    pub members: Vec<T>,
    /// Whether there are more behind them.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// The first `limit` of what was found, which is one more if there are more.
    pub(crate) fn of(mut members: Vec<T>, limit: usize) -> Self {
        let has_more = members.len() > limit;
        members.truncate(limit);
        Self { members, has_more }
    }
}
