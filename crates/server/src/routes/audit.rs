//! `GET /v1/audit` and `DELETE /v1/audit`: who did what to durable work, and when.
//!
//! Operators see the deeds of all tenants, other keys their own; without keys everybody sees all.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use parkade_store::{AuditRecord, Page};
use serde::Deserialize;
use serde_json::{Value, json};

use super::moment;
use crate::access::Identity;
use crate::generate::{AppState, deeds, of_store};
use crate::http::{ApiError, Parameters, Retry, quote};

/// Records on a page, unless it is said otherwise, and at most.
const USUAL_LIMIT: usize = 100;
const MOST: usize = 1000;

/// Which deeds are wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    tenant: Option<String>,
    object: Option<String>,
    limit: Option<String>,
    before: Option<String>,
}

impl Wanted {
    fn limit(&self) -> Result<usize, ApiError> {
        let Some(text) = &self.limit else { return Ok(USUAL_LIMIT) };
        let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
        number.ok_or_else(|| {
            let message = format!("limit is {}; allowed: a whole number from 1 to {MOST}", quote(text));
            ApiError::invalid_value("limit", message)
        })
    }

    fn before(&self) -> Result<Option<i64>, ApiError> {
        let Some(text) = &self.before else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number >= 0);
        number.map(Some).ok_or_else(|| {
            let message =
                format!("before is {}; give the id of a record, of which earlier ones are wanted", quote(text));
            ApiError::invalid_value("before", message)
        })
    }

    /// Whose deeds are shown; none for those of all.
    fn tenant<'a>(&'a self, identity: &'a Identity) -> Result<Option<&'a str>, ApiError> {
        match (identity.confined_to(), self.tenant.as_deref()) {
            (Some(own), Some(other)) if other != own => {
                Err(for_operators("sees the deeds of others").with_param("tenant"))
            }
            (Some(own), _) => Ok(Some(own)),
            (None, tenant) => Ok(tenant),
        }
    }
}

fn for_operators(what: &str) -> ApiError {
    let message = format!("only an operator {what}; give its key 'operator = true' in the keys file");
    ApiError::new(StatusCode::FORBIDDEN, "operator_required", message, Retry::Never)
}

fn card(record: &AuditRecord) -> Value {
    let deed = &record.deed;
    json!({
        "id": record.id,
        "object": "audit.record",
        "created_at": record.at.div_euclid(1000),
        "tenant": deed.tenant,
        "actor": deed.actor,
        "action": deed.action,
        "object_id": deed.object,
        "detail": serde_json::from_str::<Value>(&deed.detail).unwrap_or(Value::Null),
    })
}

/// The newest first.
pub(super) async fn list(
    State(state): State<AppState>,
    identity: Identity,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let store = state.durable().store()?;
    let (tenant, before, limit) = (wanted.tenant(&identity)?, wanted.before()?, wanted.limit()?);
    // To look makes no store.
    let page = match store.may_have_work() {
        true => store.audit(tenant, wanted.object.as_deref(), before, limit).await.map_err(of_store)?,
        false => Page { members: Vec::new(), has_more: false },
    };
    let data: Vec<_> = page.members.iter().map(card).collect();
    let id = |record: Option<&AuditRecord>| record.map(|record| record.id);
    Ok(Json(json!({
        "object": "list",
        "first_id": id(page.members.first()),
        "last_id": id(page.members.last()),
        "has_more": page.has_more,
        "data": data,
    })))
}

/// Up to when deeds are to be forgotten.
#[derive(Debug, Deserialize)]
pub(super) struct Until {
    before: Option<String>,
}

/// Forgets old deeds, and notes that.
pub(super) async fn prune(
    State(state): State<AppState>,
    identity: Identity,
    Parameters(until): Parameters<Until>,
) -> Result<Json<Value>, ApiError> {
    const EXPECTED: &str = "a date such as 2026-01-31 or 2026-01-31T12:00:00Z, or seconds since 1970";
    let store = state.durable().store()?;
    if identity.confined_to().is_some() {
        return Err(for_operators("forgets deeds"));
    }
    let text = until.before.ok_or_else(|| ApiError::missing("before", EXPECTED))?;
    let before = moment::parse(&text).ok_or_else(|| {
        ApiError::invalid_value("before", format!("before is {}; expected: {EXPECTED}", quote(&text)))
    })?;
    let deleted = match store.may_have_work() {
        true => store.prune_audit(before, &deeds::of(&identity, "audit.pruned", "")).await.map_err(of_store)?,
        false => 0,
    };
    Ok(Json(json!({"object": "audit.pruned", "before": before.div_euclid(1000), "deleted": deleted})))
}
