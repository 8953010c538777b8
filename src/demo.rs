//! A scripted OpenAI-compatible server, so that the gateway can be tried without a provider.
//!
//! It answers every question with a sentence that says it is a demo. It refuses to look
//! intelligent: no model runs here, no credential is checked, nothing is remembered.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;

mod answer;
mod embedding;

use answer::Answer;

const MAX_BODY: usize = 64 * 1024 * 1024;

/// What one demo backend is called and how fast it pretends to be.
#[derive(Clone, Debug)]
pub struct Demo {
    pub name: String,
    /// Before the first byte of every answer.
    pub delay: Duration,
    /// Before every streamed token after the first.
    pub token_delay: Duration,
}

impl Demo {
    /// Serves on `listener` until `stop` resolves, then lets running answers finish.
    pub async fn serve<F>(self, listener: TcpListener, stop: F) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Without TCP_NODELAY a small write on a kept-alive connection waits for a delayed
        // acknowledgement: 40 ms that would be blamed on the gateway.
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY could not be set");
            }
        });
        axum::serve(listener, self.router()).with_graceful_shutdown(stop).await
    }

    fn router(self) -> Router {
        Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/completions", post(completions))
            .route("/v1/embeddings", post(embeddings))
            .route("/v1/models", get(models))
            .route("/v1/models/{id}", get(model))
            .route("/health", get(async || "ok"))
            .fallback(async || Refusal::not_found("no such path"))
            .method_not_allowed_fallback(async || Refusal::method())
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(Arc::new(self))
    }
}

async fn chat(State(demo): State<Arc<Demo>>, body: Bytes) -> Result<Response, Refusal> {
    let request = parse(&body)?;
    let messages = request.get("messages").and_then(Value::as_array).filter(|messages| !messages.is_empty());
    let messages = messages.ok_or_else(|| Refusal::invalid("'messages' must be a non-empty array", "messages"))?;
    Ok(demo.reply(&request, Answer::to_chat(&demo.name, &request, messages)).await)
}

async fn completions(State(demo): State<Arc<Demo>>, body: Bytes) -> Result<Response, Refusal> {
    let request = parse(&body)?;
    let prompt = request.get("prompt").ok_or_else(|| Refusal::invalid("'prompt' is required", "prompt"))?;
    Ok(demo.reply(&request, Answer::to_prompt(&demo.name, &request, prompt)).await)
}

async fn embeddings(State(demo): State<Arc<Demo>>, body: Bytes) -> Result<Response, Refusal> {
    let request = parse(&body)?;
    let input = request.get("input").ok_or_else(|| Refusal::invalid("'input' is required", "input"))?;
    tokio::time::sleep(demo.delay).await;
    let base64 = request.get("encoding_format").and_then(Value::as_str) == Some("base64");
    Ok(answer::json_response(&embedding::list(input, &answer::model_of(&request, &demo.name), base64)))
}

async fn models(State(demo): State<Arc<Demo>>) -> Response {
    answer::json_response(&json!({"object": "list", "data": [demo.card()]}))
}

async fn model(State(demo): State<Arc<Demo>>, Path(id): Path<String>) -> Result<Response, Refusal> {
    if id != demo.name {
        return Err(Refusal::not_found("no such model"));
    }
    Ok(answer::json_response(&demo.card()))
}

impl Demo {
    fn card(&self) -> Value {
        json!({"id": self.name, "object": "model", "created": 0, "owned_by": "mom-demo"})
    }

    async fn reply(&self, request: &Value, answer: Answer) -> Response {
        tokio::time::sleep(self.delay).await;
        if request.get("stream").and_then(Value::as_bool) != Some(true) {
            return answer::json_response(&answer.whole());
        }
        let usage = request.pointer("/stream_options/include_usage").and_then(Value::as_bool) == Some(true);
        let delay = self.token_delay;
        let events =
            stream::iter(answer.events(usage).into_iter().enumerate()).then(move |(index, event)| async move {
                if index > 0 && !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                Ok::<_, Infallible>(Bytes::from(event))
            });
        ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], Body::from_stream(events)).into_response()
    }
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice::<Value>(body)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| Refusal::invalid("the body is not a JSON object", ""))
}

/// An OpenAI-shaped error of the demo itself.
struct Refusal {
    status: StatusCode,
    message: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Refusal {
    fn invalid(message: &'static str, param: &'static str) -> Self {
        let param = (!param.is_empty()).then_some(param);
        Self { status: StatusCode::BAD_REQUEST, message, param, code: None }
    }

    fn not_found(message: &'static str) -> Self {
        Self { status: StatusCode::NOT_FOUND, message, param: None, code: Some("not_found") }
    }

    fn method() -> Self {
        Self { status: StatusCode::METHOD_NOT_ALLOWED, message: "wrong method for this path", param: None, code: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = json!({"error": {
            "message": format!("[demo backend] {}", self.message),
            "type": "invalid_request_error",
            "param": self.param,
            "code": self.code,
        }});
        (self.status, answer::json_response(&error)).into_response()
    }
}

#[cfg(test)]
mod tests;
