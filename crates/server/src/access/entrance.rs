//! What each request must pass before it meets a handler: there is a place for it, it is meant for this server, and it
//! comes from no foreign page.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::{AccessState, Hosts, origins};
use crate::http::{Admission, ApiError, Ends, HttpState, is_probe};

/// When a client above the connection limit should come back.
const CONNECTION_RETRY: Duration = Duration::from_secs(1);

/// What the entrance has to know.
#[derive(Clone)]
pub(crate) struct Entrance {
    http: Arc<HttpState>,
    access: Arc<AccessState>,
    hosts: Arc<Hosts>,
}

impl Entrance {
    pub fn new(http: &Arc<HttpState>, access: &Arc<AccessState>, hosts: Hosts) -> Self {
        Self { http: http.clone(), access: access.clone(), hosts: Arc::new(hosts) }
    }

    fn check(&self, request: &Parts) -> Result<(), ApiError> {
        let ends = request.extensions.get::<Ends>();
        if ends.is_some_and(|ends| ends.admission == Admission::Probe) && !is_probe(request.uri.path()) {
            self.http.metrics.refused_connection();
            let limit = self.http.config.max_connections;
            let message = format!("the server has reached its limit of {limit} connections; reuse them");
            return Err(ApiError::overloaded(message, CONNECTION_RETRY));
        }
        let keyed = self.access.policy().keys.is_some();
        self.hosts.check(request, keyed, ends.and_then(|ends| ends.local))?;
        // A page that has a key was given it.
        if keyed { Ok(()) } else { origins::check(request, &self.hosts, &self.http.config.cors_origins) }
    }
}

/// The middleware around all handlers.
pub(crate) async fn check(State(entrance): State<Entrance>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match entrance.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => error.into_response(),
    }
}
