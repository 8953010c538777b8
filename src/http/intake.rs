//! Before a request is looked at: its key, its size, its time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::ApiError;
use super::headers::GATEWAY_KEY;
use crate::config::{Config, KeyDigest};
use crate::gateway::Gateway;

/// Who calls, and the `Authorization` that is left for a backend.
#[derive(Debug, Default)]
pub(super) struct Caller {
    /// Name of the `[keys.NAME]` section; `None` where no keys are configured.
    pub key: Option<String>,
    /// Absent when it was the gateway's own key.
    pub authorization: Option<HeaderValue>,
}

/// Checks the client's key. Every configured key is compared, each in constant time.
pub(super) fn authenticate(config: &Config, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let authorization = headers.get(AUTHORIZATION).cloned();
    if config.keys.is_empty() {
        return Ok(Caller { key: None, authorization });
    }
    let own = headers.get(GATEWAY_KEY);
    let presented = own.or(authorization.as_ref()).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let digest = KeyDigest::of(strip_bearer(presented));
    let mut found = None;
    for (name, key) in &config.keys {
        if key.sha256.matches(&digest) {
            found = Some(name.clone());
        }
    }
    let key = Some(found.ok_or_else(ApiError::unauthorized)?);
    // Never a gateway key to a backend, whichever header it came in.
    let is_own = |value: &HeaderValue| {
        let digest = KeyDigest::of(strip_bearer(value.to_str().unwrap_or_default()));
        config.keys.values().any(|key| key.sha256.matches(&digest))
    };
    Ok(Caller { key, authorization: authorization.filter(|value| own.is_some() && !is_own(value)) })
}

fn strip_bearer(value: &str) -> &str {
    match value.split_at_checked(7) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer ") => key.trim(),
        _ => value.trim(),
    }
}

/// Most header fields of a request.
const MAX_HEADERS: usize = 100;

/// Refuses absurd headers with an answer a client can read. The parser below allows a few
/// times as much before it hangs up without one.
pub(super) async fn headers(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let limit = gateway.config.server.max_header_bytes;
    if bytes > limit || headers.len() > MAX_HEADERS {
        return ApiError::headers_too_large(limit, MAX_HEADERS).into_response();
    }
    next.run(request).await
}

/// Reads the body, never more of it than the limit, never for longer than allowed.
pub(super) async fn body(config: &Config, request: Request) -> Result<Bytes, ApiError> {
    let limit = config.server.max_body_bytes;
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(ApiError::too_large(limit));
    }
    let collect = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(config.server.read_timeout, collect).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::too_large(limit)),
        Ok(Err(_)) => Err(ApiError::body_cut()),
        Err(_) => Err(ApiError::body_timeout()),
    }
}
