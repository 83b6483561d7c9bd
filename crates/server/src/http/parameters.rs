//! What stands in a path or behind its question mark. What cannot be read is 400, as everything else.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::http::ApiError;

/// The one variable part of a path.
pub(crate) struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let name: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let malformed = |error: PathRejection| {
            ApiError::invalid_value("path", format!("the path cannot be read ({}); use UTF-8", error.body_text()))
        };
        name.map(|Path(name)| Name(name)).map_err(malformed)
    }
}

/// The query's parameters.
pub(crate) struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let malformed = |error: QueryRejection| {
            let problem = error.body_text();
            ApiError::invalid_value("query", format!("the query cannot be read ({problem}); give each parameter once"))
        };
        query.map(|Query(parameters)| Parameters(parameters)).map_err(malformed)
    }
}
