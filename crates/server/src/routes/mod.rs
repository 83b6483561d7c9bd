//! The paths of the API.

mod audit;
mod describe;
mod description;
mod models;
mod moment;
mod offline;
mod ops;
mod requests;
mod serve;

use std::any::Any;
use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, AllowPrivateNetwork, CorsLayer};

use crate::access::entrance::{self, Entrance};
use crate::access::{Hosts, rate_limit_header_names};
use crate::dialects::{DIALECTS, Route, error_body_at};
use crate::generate::AppState;
use crate::http::error;
use crate::http::request_log;
use crate::http::{ANY, ApiError, ErrorBody, LOCALHOST, Retry, is_local_page, normal_origin, quote};
use crate::routes::ops::{health, metrics, snapshot};

pub use offline::{Offline, OfflineError, OfflineLine, OfflineLines};
pub use serve::serve;

/// The whole API. Whatever listens for it must see to the `host` headers itself, as [`serve`](crate::serve) does.
pub fn router(state: AppState) -> Router {
    router_for(state, Hosts::default())
}

/// The whole API for the hosts that a listener answers for.
pub(crate) fn router_for(state: AppState, hosts: Hosts) -> Router {
    let cors = cors(&state.config().cors_origins);
    let of_dialects = DIALECTS.iter().flat_map(|dialect| (dialect.routes)());
    let routes = of_dialects.chain(own_routes()).fold(Router::new(), |router, route| route.add_to(router));
    let routes = routes
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked));
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes
        .layer(middleware::from_fn_with_state(Entrance::new(state.http(), state.access(), hosts), entrance::check))
        .layer(middleware::from_fn_with_state(error_body_at as fn(&str) -> ErrorBody, error::write_bodies))
        .layer(middleware::from_fn_with_state(state.http().clone(), request_log::track))
        .with_state(state)
}

/// The paths of the dialects as the server asks them itself: nobody's keys, hosts and origins are checked.
pub(crate) fn inside(state: AppState) -> Router {
    let of_dialects = DIALECTS.iter().flat_map(|dialect| (dialect.routes)());
    let routes = of_dialects.fold(Router::new(), |router, route| route.add_to(router));
    routes
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(error_body_at as fn(&str) -> ErrorBody, error::write_bodies))
        .layer(middleware::from_fn_with_state(state.http().clone(), request_log::track))
        .with_state(state)
}

/// What belongs to no dialect.
fn own_routes() -> Vec<Route> {
    vec![
        Route::get("/v1/models", models::list, describe::models()).bare_too(),
        // Names of models may have slashes in them.
        Route::get("/v1/models/{*name}", models::retrieve, describe::model()).bare_too(),
        Route::get("/v1/requests/{id}", requests::status, describe::request()),
        Route::post("/v1/requests/{id}/cancel", requests::cancel, describe::cancel()),
        Route::get("/v1/requests/{id}/stream", requests::attach, describe::attach()),
        Route::get("/v1/audit", audit::list, describe::audit()),
        Route::delete("/v1/audit", audit::prune, describe::prune_audit()),
        Route::get("/v1/metrics", snapshot::json, describe::figures()),
        Route::get("/health", health::live, describe::live()),
        Route::get("/health/ready", health::ready, describe::ready()),
        Route::get("/version", health::version, describe::version()),
        Route::get("/metrics", metrics::prometheus, describe::metrics()),
        Route::get("/openapi.json", description::openapi, describe::document()),
        Route::get("/docs", description::docs, describe::docs()),
    ]
}

/// What there is, in words.
static ENDPOINTS: LazyLock<String> = LazyLock::new(|| {
    let routes = DIALECTS.iter().flat_map(|dialect| (dialect.routes)()).chain(own_routes());
    routes.map(|route| route.in_words()).collect::<Vec<_>>().join(", ")
});

async fn unknown_path(method: Method, uri: Uri) -> Response {
    match (method, uri.path()) {
        // The server as a whole.
        (Method::OPTIONS, "*") => {
            (StatusCode::NO_CONTENT, [(header::ALLOW, "GET, HEAD, POST, DELETE, OPTIONS")]).into_response()
        }
        (method, path) => {
            let message = format!("there is nothing at {method} {}; endpoints: {}", quote(path), *ENDPOINTS);
            ApiError::not_found("unknown_url", message).into_response()
        }
    }
}

/// The router adds what is allowed.
async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        method => {
            let path = quote(uri.path());
            let message = format!("{method} is not allowed for {path}; the allow header names what is");
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message, Retry::Never).into_response()
        }
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(message, "a handler panicked");
    ApiError::internal("the server failed on this request; it may be sent again").into_response()
}

/// How long a browser may remember what it asked before a request.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

fn cors(listed: &[String]) -> Option<CorsLayer> {
    let has = |name| listed.iter().any(|origin| origin == name);
    let header = |origin: &String| HeaderValue::from_str(&normal_origin(origin)?).ok();
    let pages: Vec<HeaderValue> = listed.iter().filter_map(header).collect();
    let allowed = match (has(ANY), has(LOCALHOST)) {
        // By its own name, as llama.cpp answers: without credentials that means no more than a star.
        (true, _) => AllowOrigin::mirror_request(),
        (false, false) if pages.is_empty() => return None,
        (false, false) => AllowOrigin::list(pages),
        (false, true) => {
            AllowOrigin::predicate(move |origin, _| pages.contains(origin) || origin.to_str().is_ok_and(is_local_page))
        }
    };
    let exposed = ["x-request-id", "x-parkade-queue-ms", "x-parkade-ignored-fields", "retry-after", "x-should-retry"];
    let exposed = exposed.into_iter().chain(["x-parkade-queue-position", "x-parkade-estimated-wait-ms"]);
    let exposed = exposed.chain(rate_limit_header_names()).map(HeaderName::from_static);
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
            // Whatever is asked for by name: `*` would not cover `authorization`.
            .allow_headers(AllowHeaders::mirror_request())
            .allow_private_network(AllowPrivateNetwork::yes())
            .max_age(PREFLIGHT_AGE)
            .expose_headers(exposed.collect::<Vec<_>>()),
    )
}
