//! One request as the ledger keeps it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::SystemTime;

use crate::openai::Usage;

/// What is kept of a request: no text.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub at: SystemTime,
    pub request_id: String,
    pub endpoint: &'static str,
    pub key: Option<String>,
    pub route: String,
    pub backend: String,
    pub model: String,
    pub category: String,
    /// Codes, separated by commas.
    pub reasons: String,
    pub policy_version: String,
    /// Probability with which the policy makes this choice.
    pub propensity: Option<f64>,
    pub status: u16,
    pub end: &'static str,
    /// `None` where no backend was asked, or it answered with an error.
    pub usage: Option<Usage>,
    /// The usage was counted here: the backend did not tell.
    pub estimated: bool,
    pub cost_usd: Option<f64>,
    /// What the premium backend would have cost for the same tokens.
    pub premium_usd: Option<f64>,
}

/// Where entries go. Never waits: what has no room is counted.
#[derive(Clone, Debug)]
pub struct Book {
    pub(crate) entries: SyncSender<Entry>,
    pub(crate) lost: Arc<AtomicU64>,
}

impl Book {
    pub fn enter(&self, entry: Entry) {
        if self.entries.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
