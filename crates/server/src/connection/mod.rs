//! One connection: where it comes from, and how its requests are answered.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use tower::Service as _;

/// The two ends of a connection. Each of its requests carries them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// By which address of this machine.
    pub local: IpAddr,
}

/// Answers the requests of one connection.
pub(crate) struct Answerer {
    pub router: Router,
    pub ends: Ends,
}

impl hyper::service::Service<Request<Incoming>> for Answerer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.ends);
        // A router is always ready.
        Box::pin(self.router.clone().call(request))
    }
}
