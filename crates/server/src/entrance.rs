//! What each request must pass before it meets a handler: it is meant for this server, and comes from no foreign page.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::{Hosts, origins};
use crate::connection::Ends;
use crate::errors::ApiError;
use crate::state::AppState;

/// What the entrance has to know.
#[derive(Clone)]
pub(crate) struct Entrance {
    state: AppState,
    hosts: Arc<Hosts>,
}

impl Entrance {
    pub fn new(state: AppState, hosts: Hosts) -> Self {
        Self { state, hosts: Arc::new(hosts) }
    }

    fn check(&self, request: &Parts) -> Result<(), ApiError> {
        let keyed = self.state.policy().keys.is_some();
        let local = request.extensions.get::<Ends>().map(|ends| ends.local);
        self.hosts.check(request, keyed, local)?;
        // A page that has a key was given it.
        if keyed { Ok(()) } else { origins::check(request, &self.hosts, &self.state.config().cors_origins) }
    }
}

/// The middleware around all handlers.
pub(crate) async fn enter(State(entrance): State<Entrance>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match entrance.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => error.into_response(),
    }
}
