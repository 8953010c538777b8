//! The listeners, and the two routers behind them. Handlers take a request apart, call one
//! thing, and put an answer together; what to decide is decided elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::gateway::Gateway;

mod admin;
mod budget;
mod cascade;
mod error;
mod headers;
mod intake;
pub(crate) mod listener;
mod own;
mod patience;
mod relay;
mod stream;

use error::ApiError;

/// What clients reach.
pub(crate) fn public(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(relay::chat_completions))
        .route("/v1/completions", post(relay::completions))
        .route("/v1/embeddings", post(relay::embeddings))
        .route("/v1/models", get(own::models))
        .route("/v1/models/{*id}", get(own::model))
        .route("/v1/route", post(own::route))
        .route("/v1/classify", post(own::classify))
        .route("/v1/feedback", post(own::feedback))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&gateway), intake::headers))
        .layer(CatchPanicLayer::custom(error::panicked))
        .with_state(gateway)
}

/// What operators reach.
pub(crate) fn admin(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/healthz", get(admin::healthz))
        .route("/readyz", get(admin::readyz))
        .route("/metrics", get(admin::metrics))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(CatchPanicLayer::custom(error::panicked))
        .with_state(gateway)
}
