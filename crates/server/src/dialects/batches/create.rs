//! A batch that is wanted.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use parkade_store::{NewBatch, Purpose};
use serde_json::Value;

use super::files::find;
use super::objects;
use super::upload::EXPIRY;
use crate::access::Identity;
use crate::dialects::fields::Fields;
use crate::dialects::metadata;
use crate::generate::{AppState, deeds, of_store};
use crate::http::{ApiError, RequestLog, body, quote};

/// The paths that lines may be for.
pub(crate) const ENDPOINTS: [&str; 4] = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"];

/// The fields that are read.
pub(super) const READ: [&str; 5] =
    ["input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"];

/// The longest window, in seconds: 30 days.
const LONGEST_WINDOW: u64 = 30 * 24 * 3600;

pub(super) async fn create(
    State(state): State<AppState>,
    identity: Identity,
    Extension(log): Extension<Arc<RequestLog>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let store = state.durable().store()?;
    let raw = body::read(state.http(), identity.payer(log.sender()), &headers, body).await?;
    let body = raw.parse()?;
    let new = wanted(&body.value, &identity)?;
    let file = find(store, &identity, &new.input_file, "input_file_id").await?;
    if file.purpose != Purpose::Batch {
        let message =
            format!("the file {} is for {}; upload it with purpose: batch", quote(&file.id), file.purpose.name());
        return Err(ApiError::invalid_value("input_file_id", message));
    }
    let batch = store.create_batch(&new, &deeds::of(&identity, "batch.created", "")).await.map_err(of_store)?;
    state.durable().wake();
    Ok(Json(objects::batch(&batch)))
}

fn wanted(body: &Value, identity: &Identity) -> Result<NewBatch, ApiError> {
    let fields = Fields::top(body)?;
    if let Some((name, _)) = fields.members().find(|(name, _)| !READ.contains(name)) {
        let message = format!("{} is not known here; known: {}", quote(name), READ.join(", "));
        return Err(ApiError::invalid_value(name, message));
    }
    let text = |name: &'static str, expected: &str| {
        fields.string(name)?.map(str::to_owned).ok_or_else(|| ApiError::missing(name, expected))
    };
    let endpoint = text("endpoint", &ENDPOINTS.join(", "))?;
    if !ENDPOINTS.contains(&endpoint.as_str()) {
        let message = format!("endpoint is {}; allowed: {}", quote(&endpoint), ENDPOINTS.join(", "));
        return Err(ApiError::invalid_value("endpoint", message));
    }
    let completion_window = text("completion_window", "\"24h\", or another time")?;
    let output_expires_after = match fields.object("output_expires_after")? {
        None => None,
        Some(_) => {
            let value = fields.get("output_expires_after").unwrap_or(&Value::Null);
            let expiry = Fields::at(value, "output_expires_after".to_owned())?;
            expiry.word("anchor", &[("created_at", ())])?;
            expiry.integer("seconds", EXPIRY)?
        }
    };
    Ok(NewBatch {
        owner: identity.owner().unwrap_or_default().to_owned(),
        input_file: text("input_file_id", "the id of a file")?,
        seconds: window(&completion_window)?,
        completion_window,
        endpoint,
        metadata: match fields.object("metadata")? {
            Some(_) => metadata::read(&fields)?.to_string(),
            None => "null".to_owned(),
        },
        output_expires_after,
    })
}

/// The seconds of a window: `24h`, as OpenAI's API has it, or another number of days, hours, minutes or seconds.
fn window(text: &str) -> Result<u64, ApiError> {
    let split = text.len().saturating_sub(1);
    let seconds = text.is_char_boundary(split).then(|| text.split_at(split)).and_then(|(number, unit)| {
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            _ => return None,
        };
        number.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
        number.parse::<u64>().ok()?.checked_mul(unit)
    });
    seconds.filter(|seconds| (1..=LONGEST_WINDOW).contains(seconds)).ok_or_else(|| {
        let message =
            format!("completion_window is {}; use 24h, or another number of s, m, h or d, up to 30d", quote(text));
        ApiError::invalid_value("completion_window", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_number_and_a_unit() {
        for (text, seconds) in [("24h", 86_400), ("90s", 90), ("5m", 300), ("30d", LONGEST_WINDOW)] {
            assert_eq!(window(text).ok(), Some(seconds), "{text}");
        }
        for bad in
            ["", "h", "24", "0h", "31d", "-1h", "+1h", "1.5h", "24é", "99999999999999999999h", "18446744073709551615d"]
        {
            assert!(window(bad).is_err(), "{bad}");
        }
    }
}
