//! Metrics of the daemon's process (CPU, memory, file descriptors), collected and named by the
//! `prometheus` crate as every client library of Prometheus names them.

use prometheus::{Registry, process_collector::ProcessCollector};

use super::text::encode;

/// Returns the metrics of this process in the text format.
///
/// # Errors
/// The crate refuses its own collector.
pub fn process_metrics() -> prometheus::Result<String> {
    let registry = Registry::new();
    registry.register(Box::new(ProcessCollector::for_self()))?;
    encode(&registry)
}
