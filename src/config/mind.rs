//! `[minds.ROLE]`, and which mind plays a role unless told otherwise.

use std::time::Duration;

use serde::Deserialize;

use super::{OneOrMany, When, units};

/// `[minds.ROLE]`: which model plays a role and what happens when it cannot answer.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Mind {
    /// A folder below `models_dir`, for example `mom-brain-flash`. Defaults per role.
    #[serde(default)]
    pub model: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Replaces the manifest's threshold. Probability, 0..1.
    #[serde(default)]
    pub threshold: Option<f32>,
    /// `jailbreak` only: replaces the manifest's threshold of its second output. Probability, 0..1.
    #[serde(default)]
    pub harm_threshold: Option<f32>,
    /// Time from arrival to verdict, queueing included.
    #[serde(default = "default_deadline", with = "units::duration")]
    pub deadline: Duration,
    /// Defaults: `closed` for the guards, `default` for the others.
    #[serde(default)]
    pub on_error: Option<OnError>,
    /// Most windows in one forward pass, where the manifest says that company changes no score;
    /// else it is 1. Left out: as many as pays.
    #[serde(default)]
    pub batch: Option<usize>,
    /// Most requests waiting for this mind's engine; beyond it the verdict is unavailable.
    #[serde(default = "default_queue")]
    pub queue: usize,
    /// Cores that inference uses, each with a copy of the weights. 0: all, at most 8.
    #[serde(default)]
    pub threads: usize,
    #[serde(default = "default_providers")]
    pub execution_providers: Vec<Provider>,
    /// Decoders only: the requests it is asked about. Left out: every routed one.
    #[serde(default)]
    pub when: Option<When>,
    /// Decoders only: asked about those requests that would take one of these routes. Left out: all.
    #[serde(default)]
    pub routes: Option<OneOrMany<String>>,
    /// Decoders only: whether it says why, in words.
    #[serde(default)]
    pub explain: Explain,
}

/// Whether a decoder gives its reasons. They quote the request.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Explain {
    /// It only decides.
    #[default]
    Off,
    /// The client is answered first; the reason follows in the log.
    Log,
    /// The request waits for the reason, within the mind's deadline.
    Inline,
}

/// What a mind that gives no verdict means for the request.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// 503 `guard_unavailable`.
    Closed,
    /// Go on, marked.
    Open,
    /// The terminal route.
    Default,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Cpu,
    Cuda,
    Tensorrt,
}

impl Default for Mind {
    fn default() -> Self {
        Self {
            model: String::new(),
            enabled: true,
            threshold: None,
            harm_threshold: None,
            deadline: default_deadline(),
            on_error: None,
            batch: None,
            queue: default_queue(),
            threads: 0,
            execution_providers: default_providers(),
            when: None,
            routes: None,
            explain: Explain::Off,
        }
    }
}

/// The flash mind of a role.
pub fn flash(role: &str) -> String {
    format!("mom-{role}-flash")
}

/// The role of the mind that foresees how well each backend answers. It reads what others said.
pub const FORESEES: &str = "quality";

/// The mind that plays a role unless told otherwise: `mom-brain-flash`, `mom-brain-pro`,
/// `mom-expert-math-flash`.
pub fn shipped(role: &str) -> String {
    let sized = role.ends_with("-pro") || role.ends_with("-max");
    if sized { format!("mom-{role}") } else { flash(role) }
}

fn yes() -> bool {
    true
}

fn default_deadline() -> Duration {
    Duration::from_secs(5)
}

fn default_queue() -> usize {
    256
}

fn default_providers() -> Vec<Provider> {
    vec![Provider::Cpu]
}
