//! A path, what answers there, and what is said of it: the router and the description are made of the same list.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{self, MethodRouter};

use super::headers::DETACH;
use crate::description::{Described, Operation};
use crate::generate::AppState;

/// What OpenAI's paths begin with, which some clients' base URLs lack.
const VERSION: &str = "/v1";

/// One method of a path.
pub(crate) struct Route {
    method: &'static str,
    path: &'static str,
    is_bare_too: bool,
    is_detachable: bool,
    handler: MethodRouter<AppState>,
    operation: Operation,
}

impl Route {
    pub fn get<T: 'static>(path: &'static str, handler: impl Handler<T, AppState>, operation: Operation) -> Self {
        Self {
            method: "get",
            path,
            is_bare_too: false,
            is_detachable: false,
            handler: routing::get(handler),
            operation,
        }
    }

    pub fn post<T: 'static>(path: &'static str, handler: impl Handler<T, AppState>, operation: Operation) -> Self {
        Self {
            method: "post",
            path,
            is_bare_too: false,
            is_detachable: false,
            handler: routing::post(handler),
            operation,
        }
    }

    pub fn delete<T: 'static>(path: &'static str, handler: impl Handler<T, AppState>, operation: Operation) -> Self {
        Self {
            method: "delete",
            path,
            is_bare_too: false,
            is_detachable: false,
            handler: routing::delete(handler),
            operation,
        }
    }

    /// Also without `/v1`.
    #[must_use]
    pub fn bare_too(mut self) -> Self {
        self.is_bare_too = true;
        self
    }

    /// Its client may go away: the answer is kept if the request asks for that.
    #[must_use]
    pub fn detachable(mut self) -> Self {
        self.is_detachable = true;
        self.operation = self.operation.with(DETACH);
        self
    }

    /// Whether it is at this path, and its client may go away.
    pub fn is_detachable_at(&self, path: &str) -> bool {
        self.is_detachable && (path == self.path || self.bare() == Some(path))
    }

    /// The path without `/v1`, if it is one too.
    fn bare(&self) -> Option<&'static str> {
        self.path.strip_prefix(VERSION).filter(|_| self.is_bare_too)
    }

    /// Adds it to a router.
    pub fn add_to(self, router: Router<AppState>) -> Router<AppState> {
        let router = match self.bare() {
            Some(bare) => router.route(bare, self.handler.clone()),
            None => router,
        };
        router.route(self.path, self.handler)
    }

    /// In words, for those who look for a path.
    pub fn in_words(&self) -> String {
        format!("{} {}", self.method.to_uppercase(), self.path.replace("{*", "{"))
    }

    /// What the document says of it. `tag` is the API that it belongs to, and `envelope` how errors are written there.
    pub fn describe(&self, tag: &'static str, envelope: &'static str) -> Described<'_> {
        Described {
            method: self.method,
            path: self.path,
            aliases: self.bare().map(str::to_owned).into_iter().collect(),
            tag,
            envelope,
            operation: &self.operation,
        }
    }
}
