//! The gateway's own endpoints: what it offers, and what it thinks.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Path, Request, State};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ApiError, intake};
use crate::gateway::classify::{Answer, Line};
use crate::gateway::consider::Moment;
use crate::gateway::feedback::Said;
use crate::gateway::{Gateway, consider};
use crate::openai::{Endpoint, View};
use crate::route::Trace;

/// 96 random bits, in the shape providers use.
pub(super) fn request_id() -> String {
    format!("mom-{:016x}{:08x}", rand::random::<u64>(), rand::random::<u32>())
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Virtual models first, then backends by their own names.
pub(super) async fn models(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Result<Json<Value>, ApiError> {
    intake::authenticate(&gateway.config, &headers)?;
    let config = &gateway.config;
    let names = config.virtual_models.keys().chain(config.backends.keys());
    let data: Vec<Value> = names.map(|name| describe(name)).collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

pub(super) async fn model(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    intake::authenticate(&gateway.config, &headers)?;
    let known = crate::route::resolve(&gateway.config, &id).is_some();
    if known { Ok(Json(describe(&id))) } else { Err(ApiError::unknown_model(&id)) }
}

fn describe(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 0, "owned_by": "mom"})
}

/// A chat body in, the decision trace out; no backend is called. Without `model` it asks for `auto`.
pub(super) async fn route(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Json<Trace>, ApiError> {
    let _permit = gateway.admit().ok_or_else(ApiError::overloaded)?;
    let config = &gateway.config;
    let caller = intake::authenticate(config, request.headers())?;
    let headers = request.headers().clone();
    let body = intake::body(config, request).await?;
    let body = consider::with_model(&body);
    let mut view = View::parse(&body, Endpoint::ChatCompletions)?;
    let available = |backend: &str| gateway.upstream.availability(backend);
    let thread = gateway.conversations.thread(caller.key.as_deref(), &view);
    let recalled = gateway.conversations.recall(&thread, Instant::now());
    let moment = Moment {
        headers: &headers,
        availability: &available,
        held: recalled.held.as_ref(),
        learning: gateway.learning(1.0),
    };
    let considered = consider::consider(config, &gateway.minds, &mut view, moment).await;
    let mut considered = considered.ok_or_else(|| ApiError::unknown_model(&view.model))?;
    let id = request_id();
    gateway.reasons_follow(&mut considered, &id);
    Ok(Json(considered.trace(config, id)))
}

/// `{"request_id", "score", "comment"}`: how good an answer was.
pub(super) async fn feedback(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Json<Value>, ApiError> {
    let _permit = gateway.admit().ok_or_else(ApiError::overloaded)?;
    let caller = intake::authenticate(&gateway.config, request.headers())?;
    let body = intake::body(&gateway.config, request).await?;
    let said: Said = serde_json::from_slice(&body).map_err(|error| ApiError::bad_feedback(&error))?;
    let id = said.request_id.clone();
    let kept = gateway.hear(caller.key.as_deref(), said).await?;
    Ok(Json(json!({"object": "feedback", "request_id": id, "comment_kept": kept})))
}

/// One `mom classify` line in, one out.
pub(super) async fn classify(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Json<Answer>, ApiError> {
    let _permit = gateway.admit().ok_or_else(ApiError::overloaded)?;
    intake::authenticate(&gateway.config, request.headers())?;
    let body = intake::body(&gateway.config, request).await?;
    let line = Line::parse(&body).map_err(|bad| ApiError::bad_line(&bad))?;
    Ok(Json(line.judge(&gateway.minds).await))
}
