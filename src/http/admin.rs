//! What operators and orchestrators ask.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::ledger::Now;
use crate::route::Availability;
use crate::telemetry::{BackendLabel, KeyLabel};

/// The process is up.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether to send traffic: every configured mind has run a real inference, and no drain
/// has begun. Says which execution provider each mind uses, and why not a more wanted one.
pub(super) async fn readyz(State(gateway): State<Arc<Gateway>>) -> Response {
    let minds: serde_json::Map<String, Value> = gateway
        .minds
        .status()
        .into_iter()
        .map(|mind| {
            let mut state = json!({
                "role": mind.role, "ready": mind.ready, "execution_provider": mind.provider,
                "warm_up_ms": mind.warm_up.as_secs_f64() * 1e3
            });
            if !mind.refused.is_empty() {
                state["fell_back_from"] = json!(mind.refused);
            }
            (mind.name.to_string(), state)
        })
        .collect();
    let draining = gateway.draining();
    let ready = !draining && minds.values().all(|mind| mind["ready"] == true);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready, "draining": draining, "minds": minds}))).into_response()
}

pub(super) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    for backend in gateway.config.backends.keys() {
        let open = gateway.upstream.availability(backend) == Availability::Broken;
        let label = BackendLabel { backend: backend.clone() };
        gateway.metrics.breaker_open.get_or_create(&label).set(i64::from(open));
    }
    for standing in gateway.budgets.standings(Now::read()) {
        let label = KeyLabel { key: standing.key.to_owned() };
        gateway.metrics.budget_limit_usd.get_or_create(&label).set(standing.limit_usd);
        gateway.metrics.budget_spent_usd.get_or_create(&label).set(standing.spent_usd);
        gateway.metrics.budget_reserved_usd.get_or_create(&label).set(standing.reserved_usd);
    }
    gateway.metrics.mind_queue_depth.set(i64::try_from(gateway.minds.waiting()).unwrap_or(i64::MAX));
    gateway.minds.gauge();
    let text = gateway.metrics.render();
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}
