//! `[backends.NAME]`: where requests go, what that costs and how long it may take.

use std::time::Duration;

use serde::Deserialize;

use super::secret::ApiKey;
use super::units;

/// `[backends.NAME]`: an OpenAI-compatible server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Up to and including the version segment, for example `https://host/v1`.
    pub base_url: String,
    /// The model name sent upstream. Defaults to the backend's own name.
    #[serde(default)]
    pub model: Option<String>,
    /// The name under which experts know this model, where it is neither `model` nor the backend's.
    #[serde(default)]
    pub measured_as: Option<String>,
    #[serde(default)]
    pub api_key: Option<ApiKey>,
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Calls in flight at once; beyond it the next candidate is tried, then 503.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// What the model can do. Left out: everything.
    #[serde(default)]
    pub capabilities: Option<Vec<Capability>>,
    /// Tokens, prompt and answer together. Left out: not checked.
    #[serde(default)]
    pub context_window: Option<u64>,
    /// Ask for a usage chunk at the end of streams (`stream_options.include_usage`);
    /// the client then sees that chunk.
    #[serde(default)]
    pub request_usage: bool,
    #[serde(default)]
    pub price: Price,
    #[serde(default)]
    pub prompt_cache: PromptCache,
    #[serde(default)]
    pub retry: Retry,
    #[serde(default)]
    pub breaker: Breaker,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    Tools,
    Images,
    Audio,
    JsonSchema,
}

/// `timeouts = { connect, first_token, idle, total }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    #[serde(with = "units::duration")]
    pub connect: Duration,
    /// From sending the request to the first body byte.
    #[serde(with = "units::duration")]
    pub first_token: Duration,
    /// Between two body reads.
    #[serde(with = "units::duration")]
    pub idle: Duration,
    #[serde(with = "units::duration")]
    pub total: Duration,
}

/// USD per 1M tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub input: f64,
    /// Defaults to `input`.
    #[serde(default)]
    pub cached_input: Option<f64>,
    pub output: f64,
}

/// `prompt_cache = { min_tokens, ttl }`: what a backend keeps of prompts, where `price.cached_input` says that it pays.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromptCache {
    /// Shorter beginnings are not kept.
    pub min_tokens: u64,
    /// How long they are kept.
    #[serde(with = "units::duration")]
    pub ttl: Duration,
}

impl Price {
    pub fn is_free(&self) -> bool {
        self.input <= 0.0 && self.cached_input.is_none_or(|usd| usd <= 0.0) && self.output <= 0.0
    }
}

/// Retries of one backend, before the first byte only.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Tries after the first.
    pub attempts: u32,
    /// Retries allowed as a share of requests, so that an outage is not multiplied.
    pub budget: f64,
    /// Longest Retry-After that is waited for; a longer one is relayed instead.
    #[serde(with = "units::duration")]
    pub max_wait: Duration,
}

/// Passive circuit breaker.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open before one probe request is let through.
    #[serde(with = "units::duration")]
    pub cooldown: Duration,
}

fn default_concurrency() -> usize {
    256
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

impl Default for PromptCache {
    /// As providers document it who charge less for what they have read before.
    fn default() -> Self {
        Self { min_tokens: 1024, ttl: Duration::from_secs(300) }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 2, budget: 0.2, max_wait: Duration::from_secs(2) }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, cooldown: Duration::from_secs(10) }
    }
}
