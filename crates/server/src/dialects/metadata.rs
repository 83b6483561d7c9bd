//! What a client notes of something, as OpenAI's API has it.

use serde_json::Value;

use crate::dialects::fields::Fields;
use crate::http::ApiError;

/// The most pairs of `metadata`, and how long their names and values may be.
const MOST_METADATA: usize = 16;
const LONGEST_KEY: usize = 64;
const LONGEST_VALUE: usize = 512;

/// The member `metadata` of a body: up to 16 texts with names.
///
/// # Errors
/// What of it is not allowed.
pub(crate) fn read(fields: &Fields<'_>) -> Result<Value, ApiError> {
    let pairs = fields.object("metadata")?.cloned().unwrap_or_default();
    let refuse = |path: &str, allowed: String| Err(ApiError::invalid_value(path, format!("{path} allows {allowed}")));
    if pairs.len() > MOST_METADATA {
        return refuse("metadata", format!("up to {MOST_METADATA} members; it has {}", pairs.len()));
    }
    for (key, value) in &pairs {
        let fits = value.as_str().is_some_and(|text| text.chars().count() <= LONGEST_VALUE);
        if key.chars().count() > LONGEST_KEY || !fits {
            return refuse(
                "metadata",
                format!("names of up to {LONGEST_KEY} characters with strings of up to {LONGEST_VALUE}"),
            );
        }
    }
    Ok(pairs.into())
}
