//! The figures of the process' named locks in Prometheus' form, read when the metrics are.

use std::fmt;
use std::time::Duration;

use parkade_sync::{BOUNDS, Histogram, LockStats, locks};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::{MetricType, TypedMetric};

#[derive(Debug)]
pub(crate) struct LockMetrics;

impl Collector for LockMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let locks = locks();
        let mut counter = |name, help, count: fn(&LockStats) -> u64| {
            let mut family = encoder.encode_descriptor(name, help, None, ConstCounter::<u64>::TYPE)?;
            locks.iter().try_for_each(|lock| {
                ConstCounter::new(count(lock)).encode(family.encode_family(&[("lock", lock.name)])?)
            })
        };
        counter("lock_acquisitions", "How often a lock was taken", |lock| lock.acquired)?;
        counter("lock_contended", "How often a thread had to wait for a lock", |lock| lock.contended)?;
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
        histogram("lock_wait_seconds", "Time that threads waited for a lock", |lock| &lock.wait)?;
        histogram("lock_hold_seconds", "Time that a lock was held, of one acquisition in 256", |lock| &lock.hold)
    }
}
