//! `cascade` of a route: ask the cheap backend first, the dear one where that was not good enough.

use std::time::Duration;

use serde::Deserialize;

use super::{BackendName, units};

/// `cascade = { first, then, … }`. Both are candidates of the route.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Cascade {
    /// Asked first; its answer is held back until it is judged.
    pub first: BackendName,
    /// Asked where the first answer is not good enough.
    pub then: BackendName,
    /// Mean log-probability of its tokens that the first answer must reach, where it tells any.
    #[serde(default)]
    pub min_logprob: Option<f64>,
    /// Ask the first backend for log-probabilities; the client then sees them.
    #[serde(default)]
    pub request_logprobs: bool,
    /// A refusal is not good enough.
    #[serde(default = "yes")]
    pub refusals: bool,
    /// What both calls together may cost, USD.
    #[serde(default)]
    pub max_cost: Option<f64>,
    /// How long the first answer may take, all of it.
    #[serde(default = "default_max_wait", with = "units::duration")]
    pub max_wait: Duration,
    /// Predicted quality of the first backend below which it is not asked.
    #[serde(default)]
    pub skip_below: Option<f64>,
}

fn yes() -> bool {
    true
}

fn default_max_wait() -> Duration {
    Duration::from_secs(30)
}
