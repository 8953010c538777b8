//! What the minds count about themselves: where they run, what they answered from memory,
//! and whether their scores still look as they did.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::drift::{EDGES, Scores};
use crate::config::Provider;

/// Seconds of one forward pass.
const PASS_SECONDS: [f64; 11] = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 1.0];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The minds keep it; the gateway's [`super::Metrics`] show it.
#[derive(Debug)]
pub struct MindMetrics {
    provider: Family<MindProvider, Gauge>,
    fallbacks: Family<MindProvider, Counter>,
    cache: Family<Lookup, Counter>,
    cache_bytes: Gauge,
    pass_seconds: Histograms<ProviderLabel>,
    scores: Histograms<MindLabel>,
    drift: Family<MindLabel, Gauge<f64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MindProvider {
    mind: String,
    provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lookup {
    /// `request` or `window`.
    of: &'static str,
    /// `hit`, `shared` (others were waiting for it) or `miss`.
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MindLabel {
    mind: String,
}

impl Default for MindMetrics {
    fn default() -> Self {
        Self {
            provider: Family::default(),
            fallbacks: Family::default(),
            cache: Family::default(),
            cache_bytes: Gauge::default(),
            pass_seconds: Family::new_with_constructor(|| Histogram::new(PASS_SECONDS)),
            scores: Family::new_with_constructor(|| Histogram::new(EDGES)),
            drift: Family::default(),
        }
    }
}

impl MindMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("minds_provider", "1 for the execution provider that runs a mind", self.provider.clone());
        let help = "Execution providers that were wanted and could not be used";
        registry.register("minds_provider_fallback", help, self.fallbacks.clone());
        registry.register("minds_cache", "Requests and windows by whether they were known", self.cache.clone());
        registry.register("minds_cache_bytes", "Bytes the decision cache holds", self.cache_bytes.clone());
        registry.register("minds_pass_seconds", "One forward pass", self.pass_seconds.clone());
        registry.register("minds_score", "Scores by mind", self.scores.clone());
        registry.register("minds_score_drift", "Population stability index of recent scores", self.drift.clone());
    }

    /// `mind` runs on `provider`.
    pub fn runs_on(&self, mind: &str, provider: Provider) {
        self.provider.get_or_create(&MindProvider::of(mind, provider)).set(1);
    }

    /// `provider` was wanted for `mind` and cannot be used.
    pub fn fell_back(&self, mind: &str, provider: Provider) {
        self.fallbacks.get_or_create(&MindProvider::of(mind, provider)).inc();
    }

    /// A request was answered from the cache, or was not.
    pub fn request(&self, hit: bool) {
        self.count("request", if hit { "hit" } else { "miss" }, 1);
    }

    /// Windows of a request: known, waited for by others already, new.
    pub fn windows(&self, hits: usize, shared: usize, misses: usize) {
        self.count("window", "hit", hits);
        self.count("window", "shared", shared);
        self.count("window", "miss", misses);
    }

    fn count(&self, of: &'static str, outcome: &'static str, number: usize) {
        if number > 0 {
            self.cache.get_or_create(&Lookup { of, outcome }).inc_by(number as u64);
        }
    }

    pub fn cache_bytes(&self, bytes: usize) {
        self.cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// One forward pass.
    pub fn pass(&self, provider: Provider, took: Duration) {
        let label = ProviderLabel { provider: provider.to_string() };
        self.pass_seconds.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// Begins to watch a mind's scores.
    pub fn watch(&self, mind: &Arc<str>) -> Scores {
        let histogram = self.scores.get_or_create(&MindLabel { mind: mind.to_string() }).clone();
        Scores::new(Arc::clone(mind), histogram)
    }

    /// Publishes how far the watched scores have moved, once there are enough of them.
    pub fn drift(&self, scores: &Scores) {
        if let Some(drift) = scores.drift() {
            self.drift.get_or_create(&MindLabel { mind: scores.mind.to_string() }).set(drift);
        }
    }
}

impl MindProvider {
    fn of(mind: &str, provider: Provider) -> Self {
        Self { mind: mind.to_owned(), provider: provider.to_string() }
    }
}
