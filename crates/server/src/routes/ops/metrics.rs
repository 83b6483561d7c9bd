//! `GET /metrics`.

use std::cmp::Reverse;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use parkade_core::encode_process_metrics;

use crate::access::Identity;
use crate::generate::AppState;
use crate::http::ApiError;
use crate::routes::ops::{exposition, gateway};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Tenants that are shown, those with the most requests: where there are no keys, anybody can invent names.
const MOST_TENANTS: usize = 64;

/// OpenMetrics for those who ask for it, as Prometheus does, and Prometheus' older text format for all others. It is read without a
/// key; tenants are told by name only to those who may see all of them.
pub(crate) async fn prometheus(
    State(state): State<AppState>,
    identity: Result<Identity, ApiError>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let sees_all = identity.is_ok_and(|identity| identity.confined_to().is_none());
    let mut page = String::new();
    let (mut models, mut loads) = (Vec::new(), Vec::new());
    let http = state.http().metrics.encode(&mut page);
    let mut written = http.and_then(|()| encode_process_metrics(&mut page));
    for model in state.models() {
        let (mut page, mut now) = (String::new(), model.engine.snapshot());
        now.tenants.sort_by_key(|tenant| Reverse(tenant.waiting + tenant.active));
        now.tenants.truncate(if sees_all { MOST_TENANTS } else { 0 });
        loads.push(gateway::Load::new(&model.name, &now));
        written = written.and_then(|()| model.engine.metrics().encode(now, &mut page));
        models.push((model.name.clone(), page));
    }
    let mut for_gateways = String::new();
    written = written.and_then(|()| gateway::encode(loads, &mut for_gateways));
    if written.is_err() {
        return Err(ApiError::internal("the metrics could not be written"));
    }
    page.push_str(&exposition::of_models(&models));
    page.push_str(&for_gateways);
    let wants_openmetrics = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|accept| accept.to_str().ok())
        .any(|accept| accept.contains("application/openmetrics-text"));
    let (kind, page) = if wants_openmetrics {
        (OPENMETRICS, page + "# EOF\n")
    } else {
        (PROMETHEUS, exposition::to_prometheus_text(&page))
    };
    Ok(([(header::CONTENT_TYPE, kind)], page).into_response())
}
