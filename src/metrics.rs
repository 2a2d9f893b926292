//! What the process counts of its own work, for Prometheus. Counts only: no ids, no addresses.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// One process's counters. Clones share them; rooms may register further ones in `registry`.
#[derive(Clone)]
pub struct Metrics {
    pub registry: Registry,
    /// Facts that came in, by `outcome`: stored, repeated, dropped, refused.
    pub facts: IntCounterVec,
    /// HTTP requests answered, by `method`, `area` and `status`.
    pub requests: IntCounterVec,
    /// Messages settled by this process, by `outcome`.
    pub messages: IntCounterVec,
    /// Scheduler passes, by `kind`.
    pub passes: IntCounterVec,
    /// Facts handed in and not stored yet.
    pub journal_waiting: IntGauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels).expect("a valid name");
            registry.register(Box::new(made.clone())).expect("a name used once");
            made
        };
        let facts = counters("homing_facts_total", "Facts that came in.", &["outcome"]);
        let requests = counters(
            "homing_http_requests_total",
            "HTTP requests answered.",
            &["method", "area", "status"],
        );
        let messages =
            counters("homing_messages_total", "Messages settled by this process.", &["outcome"]);
        let passes = counters("homing_passes_total", "Scheduler passes.", &["kind"]);
        let journal_waiting =
            IntGauge::new("homing_journal_waiting", "Facts handed in and not stored yet.")
                .expect("a valid name");
        registry.register(Box::new(journal_waiting.clone())).expect("a name used once");
        // Known from the start, so that a rate over them never begins with a gap.
        for outcome in ["stored", "repeated", "dropped", "refused"] {
            facts.with_label_values(&[outcome]);
        }
        Self { registry, facts, requests, messages, passes, journal_waiting }
    }
}

impl Metrics {
    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_show_up_in_the_text() {
        let metrics = Metrics::default();
        metrics.facts.with_label_values(&["stored"]).inc_by(3);
        assert!(metrics.text().contains("homing_facts_total{outcome=\"stored\"} 3"));
    }
}
