//! `[ledger]`: where requests and what they cost are kept.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{BackendName, units};

/// `[ledger]`. Without the section nothing is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// An SQLite file; its folder must be there.
    pub path: PathBuf,
    /// The backend that savings are told against. Left out: the one with the dearest output.
    #[serde(default)]
    pub premium: Option<BackendName>,
    /// Requests older than this are removed.
    #[serde(default = "default_keep", with = "units::duration")]
    pub keep: Duration,
    /// Whether what the minds said of a request is kept, so that `mom replay` can decide it again.
    #[serde(default = "yes")]
    pub features: bool,
    /// Whether requests' bodies are kept, and comments in feedback.
    #[serde(default)]
    pub text: bool,
}

fn yes() -> bool {
    true
}

fn default_keep() -> Duration {
    Duration::from_secs(90 * 24 * 60 * 60)
}
