//! Prometheus metrics. Names and labels are part of the contract with dashboards.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::minds::MindMetrics;

/// Seconds: from a fast decision to a slow answer.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

type Usd = Gauge<f64, AtomicU64>;

type Seconds = Family<BackendLabel, Histogram, fn() -> Histogram>;

/// One gateway's metrics; not global, so that two gateways in one process stay apart.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub requests: Family<RequestLabels, Counter>,
    pub request_seconds: Histogram,
    pub decision_seconds: Histogram,
    pub first_token_seconds: Seconds,
    pub verdicts: Family<VerdictLabels, Counter>,
    pub guard_actions: Family<GuardLabels, Counter>,
    pub unavailable: Family<UnavailableLabels, Counter>,
    pub upstream_requests: Family<UpstreamLabels, Counter>,
    pub upstream_retries: Family<BackendLabel, Counter>,
    pub tokens: Family<TokenLabels, Counter>,
    pub cost_usd: Family<BackendLabel, Counter<f64, AtomicU64>>,
    pub budget_limit_usd: Family<KeyLabel, Usd>,
    pub budget_spent_usd: Family<KeyLabel, Usd>,
    pub budget_reserved_usd: Family<KeyLabel, Usd>,
    pub budget_over: Family<BudgetLabels, Counter>,
    pub cascades: Family<CascadeLabels, Counter>,
    pub shadow_decisions: Family<ShadowLabels, Counter>,
    pub in_flight: Gauge,
    pub breaker_open: Family<BackendLabel, Gauge>,
    pub mind_queue_depth: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    pub backend: String,
    pub route: String,
    pub status: u16,
    /// `complete`, `cut`, `client_left` or `refused`.
    pub end: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BackendLabel {
    pub backend: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KeyLabel {
    pub key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BudgetLabels {
    pub key: String,
    /// `soft`: answered and marked; `hard`: refused.
    pub limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabels {
    pub mind: String,
    pub verdict: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GuardLabels {
    pub guard: String,
    pub action: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UnavailableLabels {
    pub mind: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabels {
    pub backend: String,
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TokenLabels {
    pub backend: String,
    /// `prompt`, `cached`, `completion` or `reasoning`.
    pub kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CascadeLabels {
    pub route: String,
    /// `kept`, `escalated`, `capped` or `failed`.
    pub outcome: &'static str,
    /// What was wrong with the first answer.
    pub why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ShadowLabels {
    /// `agrees`, `differs` or `failed`.
    pub outcome: &'static str,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// `minds`: what the minds count, shown beside what the gateway counts.
    pub fn new(minds: &MindMetrics) -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("mom"),
            requests: Family::default(),
            request_seconds: seconds(),
            decision_seconds: seconds(),
            first_token_seconds: Family::new_with_constructor(seconds),
            verdicts: Family::default(),
            guard_actions: Family::default(),
            unavailable: Family::default(),
            upstream_requests: Family::default(),
            upstream_retries: Family::default(),
            tokens: Family::default(),
            cost_usd: Family::default(),
            budget_limit_usd: Family::default(),
            budget_spent_usd: Family::default(),
            budget_reserved_usd: Family::default(),
            budget_over: Family::default(),
            cascades: Family::default(),
            shadow_decisions: Family::default(),
            in_flight: Gauge::default(),
            breaker_open: Family::default(),
            mind_queue_depth: Gauge::default(),
        };
        metrics.register();
        minds.register(&mut metrics.registry);
        Arc::new(metrics)
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Requests by how they ended", self.requests.clone());
        registry.register("request_duration_seconds", "Arrival to last byte", self.request_seconds.clone());
        registry.register("decision_duration_seconds", "Arrival to decision", self.decision_seconds.clone());
        registry.register("first_token_seconds", "Arrival to first body byte", self.first_token_seconds.clone());
        registry.register("verdicts", "Verdicts by mind", self.verdicts.clone());
        registry.register("guard_actions", "What guards did", self.guard_actions.clone());
        registry.register("minds_unavailable", "Verdicts that could not be given", self.unavailable.clone());
        registry.register("upstream_requests", "Tries by backend and outcome", self.upstream_requests.clone());
        registry.register("upstream_retries", "Repeated tries of a backend", self.upstream_retries.clone());
        registry.register("tokens", "Tokens as backends report them", self.tokens.clone());
        registry.register("cost_usd", "Cost at the configured prices", self.cost_usd.clone());
        registry.register("budget_limit_usd", "What a key may spend in a window", self.budget_limit_usd.clone());
        registry.register("budget_spent_usd", "What it has spent in this one", self.budget_spent_usd.clone());
        registry.register(
            "budget_reserved_usd",
            "Set aside for its requests in flight",
            self.budget_reserved_usd.clone(),
        );
        registry.register("budget_over", "Requests beyond a key's budget", self.budget_over.clone());
        registry.register("cascades", "What became of first answers", self.cascades.clone());
        let shadows = self.shadow_decisions.clone();
        registry.register(
            "shadow_decisions",
            "What the policy in the shadow would have done, beside the live one",
            shadows,
        );
        registry.register("requests_in_flight", "Requests now running, streams included", self.in_flight.clone());
        registry.register("breaker_open", "1 while a backend's circuit breaker is open", self.breaker_open.clone());
        registry.register("mind_queue_depth", "Requests the minds have yet to answer", self.mind_queue_depth.clone());
    }

    /// The Prometheus text exposition.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
