//! What an inference gateway reads of `/metrics`, by the names that vLLM has for it.
//!
//! The endpoint picker of the Gateway API's inference extension sends a request to where the line is short, memory is
//! free and the prompt's beginning was computed before. It reads four gauges of each server (the extension's "Model
//! Server Protocol"), and its own settings name vLLM's. The figures are those of `parkade_*`; the first model's stand
//! first, since a picker that is told no labels takes the first samples.

use std::fmt;

use parkade_core::EngineSnapshot;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// How loaded a model is.
#[derive(Debug)]
pub(super) struct Load {
    model: String,
    waiting: usize,
    running: usize,
    kv_cache_usage: f64,
    block_tokens: usize,
    blocks: usize,
    /// Tokens whose keys and values fit.
    tokens: usize,
}

impl Load {
    pub fn new(model: &str, now: &EngineSnapshot) -> Self {
        let blocks = &now.kv_blocks;
        Self {
            model: model.to_owned(),
            // One that was parked is in line again, as a preempted request of vLLM's is.
            waiting: now.requests.waiting + now.requests.parked,
            running: now.requests.running,
            kv_cache_usage: now.kv_cache_usage_perc,
            block_tokens: blocks.tokens_each,
            blocks: blocks.total,
            tokens: blocks.total * blocks.tokens_each / blocks.groups.max(1),
        }
    }
}

/// Appends the metrics in OpenMetrics' text format, without the closing line.
pub(super) fn encode(loads: Vec<Load>, page: &mut String) -> fmt::Result {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Loads(loads)));
    encode_registry(page, &registry)
}

#[derive(Debug)]
struct Loads(Vec<Load>);

impl Loads {
    /// A gauge of all models, with vLLM's labels.
    fn gauge<V: EncodeGaugeValue>(
        &self,
        page: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        value: impl Fn(&Load) -> V,
    ) -> fmt::Result {
        let mut family = page.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (engine, load) in self.0.iter().enumerate() {
            let labels = [("engine", engine.to_string()), ("model_name", load.model.clone())];
            ConstGauge::new(value(load)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// What a cache is like, as labels.
    fn caches(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "KV cache: tokens in a block, blocks, and tokens that fit.";
        let mut family = page.encode_descriptor("vllm:cache_config_info", help, None, MetricType::Gauge)?;
        for (engine, load) in self.0.iter().enumerate() {
            let numbers = [
                ("block_size", load.block_tokens),
                ("engine", engine),
                ("kv_cache_size_tokens", load.tokens),
                ("num_gpu_blocks", load.blocks),
            ];
            let labels = numbers.map(|(name, number)| (name, number.to_string()));
            ConstGauge::new(1_usize).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Loads {
    fn encode(&self, mut page: DescriptorEncoder<'_>) -> fmt::Result {
        let waiting = ("vllm:num_requests_waiting", "Requests in line, parked ones included.");
        self.gauge(&mut page, waiting, |load| load.waiting)?;
        let running = ("vllm:num_requests_running", "Requests that take part in the steps.");
        self.gauge(&mut page, running, |load| load.running)?;
        let usage = ("vllm:kv_cache_usage_perc", "Share of the KV blocks that running requests hold (1 is all).");
        self.gauge(&mut page, usage, |load| load.kv_cache_usage)?;
        self.caches(&mut page)
    }
}
