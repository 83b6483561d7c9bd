//! What the server counts itself: connections, HTTP requests and webhooks. The engine counts the rest.

use std::fmt;
use std::time::Duration;

use axum::http::Method;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// The route of requests that met none.
pub(crate) const NO_ROUTE: &str = "none";

/// Label values: method, route, status.
type RequestLabels = [(&'static str, String); 3];
type RouteLabel = [(&'static str, String); 1];

/// The server's own metrics.
pub(crate) struct HttpMetrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    errors: Family<[(&'static str, &'static str); 1], Counter>,
    in_flight: Gauge,
    connections: Gauge,
    refused_connections: Counter,
    evicted_connections: Counter,
    failed_handshakes: Family<[(&'static str, &'static str); 1], Counter>,
    webhooks: Family<[(&'static str, &'static str); 1], Counter>,
}

fn seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0])
}

fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl HttpMetrics {
    pub fn new(log_lines_dropped: fn() -> u64) -> Self {
        let mut registry = Registry::with_prefix("parkade");
        registry.register_collector(Box::new(DroppedLogLines(log_lines_dropped)));
        let page = &mut registry;
        Self {
            requests: register(
                page,
                "http_requests",
                "HTTP requests that ended, by method, route and status (499: the client left before an answer began; who leaves in the middle has had a status)",
                Family::default(),
            ),
            seconds: register(
                page,
                "http_request_duration_seconds",
                "From a request's head to the end of its response",
                Family::new_with_constructor(seconds as fn() -> Histogram),
            ),
            errors: register(
                page,
                "http_errors",
                "Error answers, by their code, whoever refused: server or engine",
                Family::default(),
            ),
            in_flight: register(
                page,
                "http_requests_in_flight",
                "HTTP requests whose response has not ended",
                Gauge::default(),
            ),
            connections: register(page, "http_connections", "Open connections", Gauge::default()),
            refused_connections: register(
                page,
                "http_connections_refused",
                "Connections above the limit, which were answered with 503",
                Counter::default(),
            ),
            evicted_connections: register(
                page,
                "http_connections_evicted",
                "Idle connections that were closed to make room for others",
                Counter::default(),
            ),
            failed_handshakes: register(
                page,
                "http_tls_handshakes_failed",
                "Connections that came to no TLS, by reason: plain_http, timeout, refused (by either side)",
                Family::default(),
            ),
            webhooks: register(
                page,
                "webhook_attempts",
                "Events sent to webhooks, by what came of it (failed: it is sent again; given_up: it is not)",
                Family::default(),
            ),
            registry,
        }
    }

    /// Appends the metrics in OpenMetrics' text format, without the closing line.
    pub fn encode(&self, out: &mut String) -> fmt::Result {
        encode_registry(out, &self.registry)
    }

    pub fn began(&self) {
        self.in_flight.inc();
    }

    pub fn failed(&self, code: &'static str) {
        self.errors.get_or_create(&[("code", code)]).inc();
    }

    pub fn ended(&self, method: &Method, route: &str, status: u16, elapsed: Duration) {
        self.in_flight.dec();
        // A client can make up methods; only the standard ones may make a time series.
        let method = match *method {
            Method::GET
            | Method::POST
            | Method::HEAD
            | Method::OPTIONS
            | Method::PUT
            | Method::DELETE
            | Method::PATCH => method.as_str(),
            _ => "other",
        };
        self.requests
            .get_or_create(&[
                ("method", method.to_owned()),
                ("route", route.to_owned()),
                ("status", status.to_string()),
            ])
            .inc();
        self.seconds.get_or_create(&[("route", route.to_owned())]).observe(elapsed.as_secs_f64());
    }

    /// A request whose head was not in order, and that no handler saw.
    pub fn refused_head(&self, status: u16, code: &'static str) {
        let labels = [("method", "other".to_owned()), ("route", NO_ROUTE.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
        self.failed(code);
    }

    /// An event was sent to a webhook.
    pub fn webhook(&self, outcome: &'static str) {
        self.webhooks.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub fn connected(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// A connection above the limit was told so, or found not even a place to be told.
    pub fn refused_connection(&self) {
        self.refused_connections.inc();
    }

    /// A connection has come to no TLS.
    pub fn failed_handshake(&self, reason: &'static str) {
        self.failed_handshakes.get_or_create(&[("reason", reason)]).inc();
    }

    /// An idle connection was closed to make room for another one.
    pub fn evicted_connection(&self) {
        self.evicted_connections.inc();
    }
}

/// Asked of whoever writes the log, when the metrics are read.
#[derive(Debug)]
struct DroppedLogLines(fn() -> u64);

impl Collector for DroppedLogLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let dropped = ConstCounter::new((self.0)());
        let help = "Lines of the log that were dropped because standard error did not take them.";
        let place = encoder.encode_descriptor("log_lines_dropped", help, None, dropped.metric_type())?;
        dropped.encode(place)
    }
}

/// An open connection; it is counted until this is dropped.
pub(crate) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}
