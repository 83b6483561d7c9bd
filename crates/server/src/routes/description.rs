//! `GET /openapi.json` and `GET /docs`: what the API is, for programs and for people. Both are open without a key, and made once.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

use super::{describe, own_routes};
use crate::description::document;
use crate::dialects::DIALECTS;

/// What belongs to no dialect.
const OWN: &str = "Parkade";

/// The document as it is sent.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let routes: Vec<_> = DIALECTS.iter().map(|dialect| (dialect, (dialect.routes)())).collect();
    let own = own_routes();
    let of_dialects =
        routes.iter().flat_map(|(of, routes)| routes.iter().map(|route| route.describe(of.name, of.envelope)));
    let all = of_dialects.chain(own.iter().map(|route| route.describe(OWN, DIALECTS[0].envelope)));
    let components: Vec<_> = DIALECTS.iter().map(|dialect| dialect.components).chain([describe::COMPONENTS]).collect();
    document(all, &components).to_string().into()
});

/// A page that reads the document and shows it. Nothing in it comes from elsewhere.
const PAGE: &str = include_str!("docs.html");

/// What the page may do: run and look as it says itself, and ask this server.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.clone()).into_response()
}

pub(super) async fn docs() -> Response {
    let headers: [(HeaderName, &str); 2] =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, PAGE_POLICY)];
    (headers, PAGE).into_response()
}
