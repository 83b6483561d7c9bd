//! Fields of a body that this server does not know. They are ignored, but not in silence: the response names them, the
//! log does once for each, and a [strict](crate::ServerConfig::strict) server refuses them.

use std::collections::HashSet;

use axum::http::HeaderValue;
use parkade_sync::Mutex;

use crate::errors::ApiError;
use crate::openai::fields::quote;

/// The longest name that is repeated, in characters.
const LONGEST_NAME: usize = 64;

/// The most names in the header.
const MOST_NAMES: usize = 16;

/// The most names that the log remembers, and so the most lines that it gets.
const MOST_LOGGED: usize = 256;

/// The names of one request, fit for a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IgnoredFields {
    names: Vec<String>,
    /// How many more there were.
    more: usize,
}

impl IgnoredFields {
    /// What becomes of the unknown fields of a request.
    ///
    /// # Errors
    /// With `strict`, if there is one.
    pub fn of(unknown: &[String], strict: bool) -> Result<Option<Self>, ApiError> {
        let Some(first) = unknown.first() else {
            return Ok(None);
        };
        if strict {
            let message = format!("Unknown parameter: {}; leave it out (this server is strict)", quote(first));
            return Err(ApiError::bad_request("unknown_parameter", message).with_param(harmless(first)));
        }
        let names = unknown.iter().take(MOST_NAMES).map(|name| harmless(name)).collect();
        Ok(Some(Self { names, more: unknown.len().saturating_sub(MOST_NAMES) }))
    }

    /// The names with commas between.
    pub fn header(&self) -> Option<HeaderValue> {
        let mut list = self.names.join(", ");
        if self.more > 0 {
            list += &format!(", and {} more", self.more);
        }
        HeaderValue::from_str(&list).ok()
    }
}

/// A client's name for a field, with nothing in it that could end a header or a log line.
fn harmless(name: &str) -> String {
    let shown = |c: char| if c.is_ascii_alphanumeric() || "_-.[]".contains(c) { c } else { '?' };
    name.chars().take(LONGEST_NAME).map(shown).collect()
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
            if told.len() < MOST_LOGGED && told.insert(name.clone()) {
                tracing::warn!(
                    field = name,
                    "requests have a field that is not known here; it is ignored (--strict refuses it)"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(unknown: &[String]) -> String {
        let ignored = IgnoredFields::of(unknown, false).expect("not strict").expect("some");
        ignored.header().expect("a header").to_str().expect("text").to_owned()
    }

    #[test]
    fn names_are_fit_for_a_header_whatever_they_are() {
        assert_eq!(IgnoredFields::of(&[], true), Ok(None));
        assert_eq!(header(&["temprature".into(), "stream_options.foo".into()]), "temprature, stream_options.foo");
        assert_eq!(header(&["a\r\nx-evil: 1".into(), "naïve".into()]), "a??x-evil??1, na?ve");
        let many: Vec<String> = (0..100).map(|i| format!("{i}-{}", "x".repeat(1000))).collect();
        let listed = header(&many);
        assert!(listed.ends_with(", and 84 more") && listed.len() < 1200, "{listed}");
    }

    #[test]
    fn a_strict_server_names_the_first() {
        let error = IgnoredFields::of(&["temprature".into(), "b".into()], true).expect_err("strict");
        assert_eq!((error.param(), error.code()), (Some("temprature"), Some("unknown_parameter")));
        assert!(error.message().contains("'temprature'"), "{}", error.message());
    }

    #[test]
    fn the_log_tells_of_a_bounded_number_of_names() {
        let log = IgnoredLog::new();
        for i in 0..1000 {
            let ignored = IgnoredFields::of(&[format!("field{i}")], false).expect("not strict").expect("one");
            log.tell(&ignored);
        }
        assert_eq!(log.told.lock().len(), MOST_LOGGED);
    }
}
