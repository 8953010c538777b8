//! Asking a backend one question and reading the whole answer, with what it cost.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::config::{Backend, Config};
use crate::openai::usage::{Said, decoded};
use crate::openai::{Endpoint, Usage};
use crate::telemetry::{Metrics, MindMetrics, Record};
use crate::upstream::{Answer, Call, Upstream, UpstreamError};

/// Largest answer that is read.
const MAX_ANSWER: usize = 16 << 20;

/// How often a backend that asks for patience gets it, and for how long at most.
const WAITS: u32 = 5;
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Tokens that templates put around messages.
const AROUND: usize = 64;

/// Bytes of a token, roughly, where a backend does not count.
const BYTES_PER_TOKEN: usize = 4;

/// Characters of a backend's complaint that are shown.
const SHOWN: usize = 200;

/// How every question is asked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) max_tokens: u32,
    pub(super) temperature: Option<f64>,
    pub(super) system: Option<String>,
}

/// Calls backends.
pub(super) struct Desk {
    upstream: Upstream,
    metrics: Arc<Metrics>,
    config: Config,
    settings: Settings,
    /// Backends that know `max_tokens` by its newer name only.
    newer: RefCell<BTreeSet<String>>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) tokens: u64,
    pub(super) usd: f64,
    /// It was as long as it was allowed to be.
    pub(super) cut: bool,
    /// Its tokens were counted here.
    pub(super) estimated: bool,
}

/// No answer.
#[derive(Debug)]
pub(super) struct Missed {
    pub(super) backend: String,
    pub(super) why: String,
    /// What the backend may have billed all the same.
    pub(super) usd: f64,
}

impl Desk {
    pub(super) fn new(config: Config, settings: Settings) -> Result<Self, Failure> {
        let upstream = Upstream::new(&config).map_err(|error| Failure::config(error.to_string()))?;
        let metrics = Metrics::new(&MindMetrics::default());
        Ok(Self { upstream, metrics, config, settings, newer: RefCell::default() })
    }

    fn backend(&self, name: &str) -> Option<&Backend> {
        self.config.backends.get(name)
    }

    /// Calls that a backend takes at once.
    pub(super) fn concurrency(&self, backend: &str) -> usize {
        self.backend(backend).map_or(1, |backend| backend.concurrency)
    }

    /// What an answer to these messages costs at most: no tokenizer makes more tokens of a text than it has bytes.
    pub(super) fn worst(&self, backend: &str, messages: &[Value]) -> f64 {
        let bytes: usize = messages.iter().map(|message| message.to_string().len()).sum();
        let price = self.backend(backend).map(|backend| backend.price).unwrap_or_default();
        price.cost((bytes + AROUND) as u64, 0, u64::from(self.settings.max_tokens))
    }

    /// What a backend takes for reading this many tokens.
    pub(super) fn prompt(&self, backend: &str, tokens: usize) -> f64 {
        self.backend(backend).map_or(0.0, |backend| backend.price.cost(tokens as u64, 0, 0))
    }

    pub(super) async fn ask(&self, backend: &str, messages: &[Value]) -> Result<Reply, Missed> {
        let missed = |why: String, usd: f64| Missed { backend: backend.to_owned(), why, usd };
        let mut waits = 0;
        loop {
            let answer = match self.send(backend, messages).await {
                Ok(answer) => answer,
                Err(UpstreamError::Broken(rest)) if waits == 0 => {
                    waits = WAITS;
                    tokio::time::sleep(rest).await;
                    continue;
                }
                Err(error) => {
                    let billed = if error == UpstreamError::Timeout { self.worst(backend, messages) } else { 0.0 };
                    return Err(missed(error.to_string(), billed));
                }
            };
            let status = answer.status;
            let patience_wanted = match status.as_u16() {
                429 | 529 => true,
                503 => answer.headers.contains_key(RETRY_AFTER),
                _ => false,
            };
            if patience_wanted && waits < WAITS {
                waits += 1;
                tokio::time::sleep(patience(&answer.headers, waits)).await;
                continue;
            }
            let Some(body) = whole(answer).await else {
                return Err(missed("the answer broke off".to_owned(), self.worst(backend, messages)));
            };
            if !status.is_success() {
                let error = serde_json::from_slice::<Value>(&body).unwrap_or_default();
                let parameter = error.pointer("/error/param").and_then(Value::as_str) == Some("max_tokens");
                if parameter && self.newer.borrow_mut().insert(backend.to_owned()) {
                    continue;
                }
                let said = error.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
                let said: String = said.chars().take(SHOWN).collect();
                return Err(missed(format!("{} {said}", status.as_u16()).trim_end().to_owned(), 0.0));
            }
            return self
                .reply(backend, messages, &body)
                .ok_or_else(|| missed("the answer is no chat completion".to_owned(), self.worst(backend, messages)));
        }
    }

    async fn send(&self, backend: &str, messages: &[Value]) -> Result<Answer, UpstreamError> {
        let limit = if self.newer.borrow().contains(backend) { "max_completion_tokens" } else { "max_tokens" };
        let settings = &self.settings;
        let body = |_: &Backend, model: &str| {
            let mut body = json!({"model": model, "messages": messages, limit: settings.max_tokens});
            if let Some(temperature) = settings.temperature {
                body["temperature"] = temperature.into();
            }
            Bytes::from(body.to_string())
        };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let endpoint = Endpoint::ChatCompletions;
        let call = Call { path: endpoint.path(), query: None, headers: &headers, authorization: None, body: &body };
        let mut record = Record::new(Arc::clone(&self.metrics), endpoint.name(), String::new());
        self.upstream.send(&[backend.to_owned()], &call, &mut record).await
    }

    fn reply(&self, backend: &str, messages: &[Value], body: &[u8]) -> Option<Reply> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let choice = answer.pointer("/choices/0")?;
        let message = choice.get("message")?;
        let text = text(&message["content"]).or_else(|| text(&message["refusal"])).unwrap_or_default();
        let told = Usage::from_json(body);
        let usage = told.unwrap_or_else(|| {
            let mut said = Said::default();
            said.hear(body);
            let tokens = |text: &str| text.len().div_ceil(BYTES_PER_TOKEN) as u64;
            let prompt = tokens(&Value::from(messages).to_string());
            Usage { prompt, completion: said.tokens(tokens), ..Usage::default() }
        });
        let price = self.backend(backend)?.price;
        Some(Reply {
            text,
            tokens: usage.completion,
            usd: price.cost(usage.prompt, usage.cached, usage.completion),
            cut: choice["finish_reason"] == "length",
            estimated: told.is_none(),
        })
    }
}

/// A string, or the texts of a list of parts.
fn text(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(|part| part["text"].as_str()).collect()),
        _ => None,
    }
}

/// A body to its end; `None` where it breaks off, is too long, or cannot be unpacked.
async fn whole(answer: Answer) -> Option<Vec<u8>> {
    let encoding = answer.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = Limited::new(answer.body, MAX_ANSWER).collect().await.ok()?.to_bytes();
    Some(decoded(encoding.as_deref(), &body)?.into_owned())
}

/// As long as a backend that is asked too often wants, else longer each time.
fn patience(headers: &HeaderMap, waits: u32) -> Duration {
    let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse::<f64>().ok());
    let asked = asked.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    asked.unwrap_or_else(|| Duration::from_millis(500) * 2_u32.pow(waits)).min(LONGEST_WAIT)
}
