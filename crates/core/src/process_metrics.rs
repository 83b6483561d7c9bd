//! What is the process' own and no engine's, in Prometheus' form: its named locks, read when the metrics are, and its version.

use std::fmt;
use std::time::Duration;

use parkade_sync::{BOUNDS, Histogram, LockStats, locks};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

/// Appends the metrics of the process to `out`, as [`EngineMetrics::encode`](crate::EngineMetrics::encode) does those of an engine. A page
/// has them once, however many engines it has.
///
/// # Errors
/// None for a `String`.
pub fn encode_process_metrics(out: &mut String) -> fmt::Result {
    let mut registry = Registry::with_prefix("parkade");
    registry.register_collector(Box::new(LockMetrics));
    let build = Family::<[(&str, &str); 1], Gauge>::default();
    build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
    registry.register("build_info", "The version, always 1", build);
    encode_registry(out, &registry)
}

#[derive(Debug)]
struct LockMetrics;

impl Collector for LockMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let locks = locks();
        let mut counter = |name, help, count: fn(&LockStats) -> u64| {
            let mut family = encoder.encode_descriptor(name, help, None, ConstCounter::<u64>::TYPE)?;
            locks.iter().try_for_each(|lock| {
                ConstCounter::new(count(lock)).encode(family.encode_family(&[("lock", lock.name)])?)
            })
        };
        counter("lock_acquisitions", "How often a lock was taken.", |lock| lock.acquired)?;
        counter("lock_contended", "How often a thread had to wait for a lock.", |lock| lock.contended)?;
        let mut histogram = |name, help, durations: fn(&LockStats) -> &Histogram| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            locks.iter().try_for_each(|lock| {
                let durations = durations(lock);
                let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = bounds.zip(durations.counts).collect();
                let labels = [("lock", lock.name)];
                let mut family = family.encode_family(&labels)?;
                family.encode_histogram::<NoLabelSet>(durations.sum.as_secs_f64(), durations.count(), &buckets, None)
            })
        };
        histogram("lock_wait_seconds", "Time that threads waited for a lock.", |lock| &lock.wait)?;
        histogram("lock_hold_seconds", "Time that a lock was held, of one acquisition in 256.", |lock| &lock.hold)
    }
}
