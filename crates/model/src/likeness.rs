//! The name that was probably meant.

/// Names less alike than this have nothing to do with each other.
const LIKE: f64 = 0.7;

/// The known name that is most like `name`, if one is like it at all.
///
/// ```
/// use parkade_model::nearest;
///
/// assert_eq!(nearest("lama3", ["gemma", "llama3"]), Some("llama3"));
/// assert_eq!(nearest("", ["gemma", "llama3"]), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let with_likeness = known.into_iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let (_, nearest) = with_likeness.filter(|(like, _)| *like > LIKE).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    Some(nearest)
}

/// What an error says of it.
pub(crate) fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; the nearest name is '{nearest}'"))
}
