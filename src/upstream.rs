//! Calling backends: retries and fallback before the first byte, then a body that carries
//! its permit and its timeouts until it ends.
//!
//! An upstream error *response* is an answer, relayed unchanged; [`UpstreamError`] is for
//! backends that gave none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{ApiKey, Backend, BackendName, Config};
use crate::route::Availability;
use crate::telemetry::Record;

mod attempt;
mod body;
mod client;
mod health;
mod retry;

pub use body::{Body, BodyError};
pub use client::{BuildError, install_tls};

use client::Client;
use health::Breaker;
use retry::Budget;

/// All configured backends.
#[derive(Debug)]
pub struct Upstream {
    backends: BTreeMap<BackendName, Target>,
}

/// One backend with the state that outlives a request.
#[derive(Debug)]
struct Target {
    name: BackendName,
    config: Backend,
    client: Client,
    breaker: Arc<Breaker>,
    permits: Arc<Semaphore>,
    budget: Budget,
}

/// What to send. The body depends on the backend: the model's name may differ.
pub struct Call<'a> {
    /// Below the backend's `base_url`.
    pub path: &'static str,
    pub query: Option<&'a str>,
    /// The client's headers, already stripped of hop-by-hop and credential headers.
    pub headers: &'a HeaderMap,
    /// The client's own `Authorization`, for backends with `api_key = "client"`.
    pub authorization: Option<&'a HeaderValue>,
    pub body: &'a (dyn Fn(&Backend, &str) -> Bytes + Sync),
}

/// A backend's answer, from its first body byte on.
#[derive(Debug)]
pub struct Answer {
    pub backend: BackendName,
    /// The model name that was sent.
    pub model: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
}

impl Answer {
    /// It is an error that another backend might better.
    pub fn may_be_bettered(&self) -> bool {
        retry::retryable(self.status)
    }
}

/// Why no backend answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    #[error("the backend could not be reached")]
    Unreachable,
    #[error("the backend did not answer in time")]
    Timeout,
    #[error("the backend gave an answer that is not an API response")]
    Garbled,
    #[error("all backends for this request are busy")]
    Busy,
    #[error("all backends for this request are failing and rest for a moment")]
    Broken(Duration),
}

/// What became of a try. The names are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Answered,
    ErrorStatus,
    Unreachable,
    Timeout,
    Garbled,
    /// A client error without an API answer, such as a proxy's 404 page: the backend is well.
    Rejected,
    Busy,
    Broken,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ErrorStatus => "error_status",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Garbled => "garbled",
            Self::Rejected => "rejected",
            Self::Busy => "busy",
            Self::Broken => "broken",
        }
    }
}

impl Upstream {
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let build = |(name, config): (&BackendName, &Backend)| {
            let backend = Target {
                name: name.clone(),
                client: Client::new(&config.base_url, config.timeouts.connect)?,
                breaker: Arc::new(Breaker::new(config.breaker)),
                permits: Arc::new(Semaphore::new(config.concurrency)),
                budget: Budget::new(config.retry.budget),
                config: config.clone(),
            };
            Ok((name.clone(), backend))
        };
        Ok(Self { backends: config.backends.iter().map(build).collect::<Result<_, BuildError>>()? })
    }

    pub fn availability(&self, backend: &str) -> Availability {
        match self.backends.get(backend) {
            Some(backend) if backend.breaker.is_open() => Availability::Broken,
            Some(backend) if backend.permits.available_permits() == 0 => Availability::Full,
            Some(_) => Availability::Ready,
            None => Availability::Broken,
        }
    }

    /// Tries the backends in order until one answers. The client sees nothing before this
    /// returns, so every failure up to here can still be mended. Every try is recorded as it
    /// happens, for the client may leave in the middle of one.
    pub async fn send(
        &self,
        order: &[BackendName],
        call: &Call<'_>,
        record: &mut Record,
    ) -> Result<Answer, UpstreamError> {
        let mut refused: Option<Answer> = None;
        let mut error = UpstreamError::Unreachable;
        for backend in order.iter().filter_map(|name| self.backends.get(name)) {
            let permit = match backend.admit() {
                Ok(permit) => permit,
                Err((outcome, why)) => {
                    record.attempt(&backend.name, outcome.as_str(), false);
                    error = why;
                    continue;
                }
            };
            match backend.call(call, permit, record).await {
                attempt::Verdict::Final(answer) => return Ok(answer),
                attempt::Verdict::Refused(answer) => refused = Some(answer),
                attempt::Verdict::Failed(why) => error = why,
            }
        }
        refused.ok_or(error)
    }
}

impl Target {
    fn admit(&self) -> Result<OwnedSemaphorePermit, (Outcome, UpstreamError)> {
        // The permit first: asking the breaker may use up its one probe.
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| (Outcome::Busy, UpstreamError::Busy))?;
        self.breaker.admit().map_err(|rest| (Outcome::Broken, UpstreamError::Broken(rest)))?;
        Ok(permit)
    }

    fn authorization(&self, client: Option<&HeaderValue>) -> Option<HeaderValue> {
        match &self.config.api_key {
            Some(ApiKey::Client(_)) => client.cloned(),
            Some(ApiKey::Env { value, .. } | ApiKey::File { value, .. }) => {
                let mut header = HeaderValue::try_from(format!("Bearer {}", value.expose())).ok()?;
                header.set_sensitive(true);
                Some(header)
            }
            None => None,
        }
    }

    fn model(&self) -> &str {
        self.config.model.as_deref().unwrap_or(&self.name)
    }
}
