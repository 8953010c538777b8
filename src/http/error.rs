//! The only place where a fault becomes a status and an OpenAI-shaped body.

use std::any::Any;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode, Uri};
use serde_json::json;

use crate::config::Per;
use crate::gateway::classify::BadLine;
use crate::gateway::feedback::FeedbackError;
use crate::openai::ParseError;
use crate::upstream::{BodyError, UpstreamError};

/// An answer of the gateway's own. The message is for the client: nothing internal is in it.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    code: &'static str,
    message: String,
    param: Option<String>,
    retry_after: Option<Duration>,
    /// Clients that repeat requests by themselves should not repeat this one.
    for_good: bool,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        Self { status, kind, code, message: message.into(), param: None, retry_after: None, for_good: false }
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(super) fn unauthorized() -> Self {
        let message = "Incorrect or missing API key. Send it as `Authorization: Bearer …`.";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
    }

    pub(super) fn overloaded() -> Self {
        let message = "The gateway is at its limit of requests in flight. Try again shortly.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "gateway_overloaded", message).retry_after(Duration::from_secs(1))
    }

    /// `wait`: until there is a new budget; `None` where requests in flight hold what is left of this one.
    pub(super) fn budget(per: Per, wait: Option<Duration>) -> Self {
        let per = per.as_str();
        let message = match wait {
            Some(_) => format!(
                "This request may cost more than is left of your key's budget for this {per}. A smaller `max_tokens` costs less; the next {per} (UTC) brings a new budget."
            ),
            None => format!(
                "Requests in flight hold what is left of your key's budget for this {per}. Try again when they are done."
            ),
        };
        let status = StatusCode::TOO_MANY_REQUESTS;
        let error = Self::new(status, "budget_exceeded", message).retry_after(wait.unwrap_or(Duration::from_secs(1)));
        Self { kind: "insufficient_quota", for_good: wait.is_some(), ..error }
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("The request body is larger than the limit of {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    pub(super) fn headers_too_large(bytes: usize, fields: usize) -> Self {
        let message = format!("The request headers exceed the limit of {bytes} bytes or {fields} fields.");
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message)
    }

    pub(super) fn bad_line(bad: &BadLine) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", format!("We could not read the line: {bad}."))
    }

    pub(super) fn bad_feedback(why: &serde_json::Error) -> Self {
        let message =
            format!("We could not read the feedback: {why}. It is {{\"request_id\", \"score\", \"comment\"}}.");
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(super) fn body_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "The request body did not arrive in time.")
    }

    pub(super) fn body_cut() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "incomplete_body", "The request body broke off.")
    }

    pub(super) fn unknown_model(model: &str) -> Self {
        // A hostile name must not flood the answer.
        let shown: String = model.chars().take(100).collect();
        let message = format!("The model `{shown}` does not exist. GET /v1/models lists those that do.");
        Self::new(StatusCode::NOT_FOUND, "model_not_found", message).param("model")
    }

    pub(super) fn harm() -> Self {
        let message = "This request was blocked: it seems to ask for something harmful.";
        Self::new(StatusCode::BAD_REQUEST, "harm_detected", message)
    }

    pub(super) fn jailbreak() -> Self {
        let message = "This request was blocked: it looks like an attempt to override the model's instructions.";
        Self::new(StatusCode::BAD_REQUEST, "jailbreak_detected", message)
    }

    pub(super) fn pii() -> Self {
        let message = "This request was blocked: it contains personal data or secrets that must not leave.";
        Self::new(StatusCode::BAD_REQUEST, "pii_detected", message)
    }

    pub(super) fn guard_unavailable() -> Self {
        let message = "This request could not be checked for safety, so it was not sent on.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "guard_unavailable", message).retry_after(Duration::from_secs(1))
    }

    pub(super) fn context_length() -> Self {
        let message = "This request is longer than the context window of every backend that could take it.";
        Self::new(StatusCode::BAD_REQUEST, "context_length_exceeded", message).param("messages")
    }

    pub(super) fn not_routable(model: &str) -> Self {
        let message = format!("`{model}` is a virtual model; embeddings need one fixed model. Name a backend.");
        Self::new(StatusCode::BAD_REQUEST, "model_not_routable", message).param("model")
    }

    /// `code` says what rules all backends out.
    pub(super) fn no_able_backend(code: &'static str) -> Self {
        let message = "No backend of the matching route can take this request.";
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The gateway failed on this request.")
    }

    /// As the `{"error": …}` object, for bodies and for events in the middle of a stream.
    pub(super) fn to_json(&self) -> String {
        json!({"error": {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code
        }})
        .to_string()
    }
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        Self { param: error.param, ..Self::new(StatusCode::BAD_REQUEST, "invalid_request", error.message) }
    }
}

impl From<FeedbackError> for ApiError {
    fn from(error: FeedbackError) -> Self {
        let message = format!("No feedback was taken: {error}.");
        match error {
            FeedbackError::Invalid { param, .. } => {
                Self::new(StatusCode::BAD_REQUEST, "invalid_request", message).param(param)
            }
            FeedbackError::NoLedger => Self::new(StatusCode::NOT_IMPLEMENTED, "no_ledger", message),
            FeedbackError::Unknown => Self::new(StatusCode::NOT_FOUND, "unknown_request", message).param("request_id"),
            FeedbackError::Ledger(_) | FeedbackError::Interrupted => {
                tracing::error!(%error, "feedback was not taken");
                let message = "No feedback was taken: the ledger cannot be read now.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable", message)
                    .retry_after(Duration::from_secs(1))
            }
        }
    }
}

impl From<UpstreamError> for ApiError {
    fn from(error: UpstreamError) -> Self {
        let message = format!("No answer: {error}.");
        match error {
            UpstreamError::Unreachable => Self::new(StatusCode::BAD_GATEWAY, "upstream_unavailable", message),
            UpstreamError::Garbled => Self::new(StatusCode::BAD_GATEWAY, "upstream_invalid_response", message),
            UpstreamError::Timeout => Self::new(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message),
            UpstreamError::Busy => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "upstream_busy", message).retry_after(Duration::from_secs(1))
            }
            UpstreamError::Broken(rest) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "upstream_unavailable", message).retry_after(rest)
            }
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::Cut => "upstream_cut",
            BodyError::Idle | BodyError::Total => "upstream_timeout",
        };
        Self::new(StatusCode::BAD_GATEWAY, code, format!("The answer is incomplete: {error}."))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let mut response = (self.status, [(CONTENT_TYPE, json)], self.to_json()).into_response();
        if let Some(wait) = self.retry_after {
            // Rounded up: too early is too early.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
        }
        if self.for_good {
            response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response
    }
}

pub(super) async fn not_found(uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(StatusCode::NOT_FOUND, "unknown_url", format!("Unknown request URL: {path}."))
}

pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let message = format!("{method} is not allowed on {}.", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// A panic is a bug; it costs the request that met it and nothing else.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    ApiError::internal().into_response()
}
