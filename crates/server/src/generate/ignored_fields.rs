//! Fields of a body, and members of what stands in it, that neither this server nor the model's chat template reads. They are
//! ignored, but not in silence: the response names them, the log does once for each, and a
//! [strict](crate::ServerConfig::strict) server refuses them.

use std::collections::HashSet;

use axum::http::HeaderValue;
use parkade_sync::Mutex;

use crate::http::ApiError;

/// The longest name that is repeated, in characters.
const LONGEST_NAME: usize = 64;

/// The most names in the header.
const MOST_NAMES: usize = 16;

/// The most names that the log remembers, and so the most lines that it gets.
const MOST_LOGGED: usize = 256;

/// The names of one request, fit for a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IgnoredFields {
    names: Vec<String>,
    /// How many more there were.
    more: usize,
}

impl IgnoredFields {
    /// Adds a field by its path.
    pub fn add(&mut self, path: impl FnOnce() -> String) {
        if self.names.len() < MOST_NAMES {
            self.names.push(harmless(&path()));
        } else {
            self.more += 1;
        }
    }

    /// What becomes of them.
    ///
    /// # Errors
    /// With `strict`, if there are any.
    pub fn settle(self, strict: bool) -> Result<Option<Self>, ApiError> {
        match self.names.as_slice() {
            [] => Ok(None),
            [first, rest @ ..] if strict => {
                let message = match rest {
                    [] => format!("Unknown parameter: '{first}'; leave it out (this server is strict)"),
                    _ => format!("Unknown parameters: {}; leave them out (this server is strict)", self.list()),
                };
                Err(ApiError::bad_request("unknown_parameter", message).with_param(first))
            }
            _ => Ok(Some(self)),
        }
    }

    fn list(&self) -> String {
        let mut list = self.names.join(", ");
        if self.more > 0 {
            list += &format!(", and {} more", self.more);
        }
        list
    }

    /// The names with commas between.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.list()).ok()
    }
}

/// A client's name for a field, with nothing in it that could end a header or a log line.
fn harmless(name: &str) -> String {
    let shown = |c: char| if c.is_ascii_alphanumeric() || "_-.[]".contains(c) { c } else { '?' };
    name.chars().take(LONGEST_NAME).map(shown).collect()
}

/// A path without the places in lists: the same member of another message is nothing new.
fn without_places(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|&c| {
            inside = (inside || c == '[') && c != ']';
            !(inside && c.is_ascii_digit())
        })
        .collect()
}

/// Which names the log has told of.
#[derive(Debug)]
pub(crate) struct IgnoredLog {
    told: Mutex<HashSet<String>>,
}

impl IgnoredLog {
    /// Nothing was told yet.
    pub fn new() -> Self {
        Self { told: Mutex::new("server.ignored_fields", HashSet::new()) }
    }

    /// Tells of names that are new.
    pub fn tell(&self, fields: &IgnoredFields) {
        let mut told = self.told.lock();
        for name in &fields.names {
            let name = without_places(name);
            if told.len() < MOST_LOGGED && !told.contains(&name) {
                tracing::warn!(
                    field = name,
                    "requests have a field that nobody reads here; it is ignored (--strict refuses it)"
                );
                told.insert(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(paths: &[&str]) -> IgnoredFields {
        let mut ignored = IgnoredFields::default();
        paths.iter().for_each(|path| ignored.add(|| (*path).to_owned()));
        ignored
    }

    fn header(paths: &[&str]) -> String {
        ignored(paths).header().expect("a header").to_str().expect("text").to_owned()
    }

    #[test]
    fn names_are_fit_for_a_header_whatever_they_are() {
        assert_eq!(ignored(&[]).settle(true), Ok(None));
        assert_eq!(header(&["temprature", "stream_options.foo"]), "temprature, stream_options.foo");
        assert_eq!(header(&["a\r\nx-evil: 1", "naïve"]), "a??x-evil??1, na?ve");
        let many: Vec<String> = (0..100).map(|i| format!("{i}-{}", "x".repeat(1000))).collect();
        let listed = header(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(listed.ends_with(", and 84 more") && listed.len() < 1200, "{listed}");
    }

    #[test]
    fn a_strict_server_names_them() {
        let error = ignored(&["temprature"]).settle(true).expect_err("strict");
        assert_eq!((error.param(), error.code()), (Some("temprature"), "unknown_parameter"));
        assert!(error.message().contains("'temprature'"), "{}", error.message());
        let error = ignored(&["a", "messages[0].b"]).settle(true).expect_err("strict");
        assert_eq!(error.param(), Some("a"));
        assert!(error.message().contains("a, messages[0].b;"), "{}", error.message());
    }

    #[test]
    fn the_log_tells_of_a_bounded_number_of_names_and_of_each_once() {
        let log = IgnoredLog::new();
        for i in 0..100 {
            log.tell(&ignored(&[&format!("messages[{i}].content[{i}].x1")]));
        }
        assert_eq!(*log.told.lock(), HashSet::from(["messages[].content[].x1".to_owned()]));
        for i in 0..1000 {
            log.tell(&ignored(&[&format!("field{i}")]));
        }
        assert_eq!(log.told.lock().len(), MOST_LOGGED);
    }
}
