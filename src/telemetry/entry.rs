//! What the ledger is told: requests, and what was heard of them afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::SystemTime;

use crate::openai::Usage;

/// One request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Milliseconds since 1970, UTC.
    pub at: i64,
    pub request_id: String,
    pub endpoint: &'static str,
    pub key: Option<String>,
    pub route: String,
    /// Who answered; empty: nobody was asked.
    pub backend: String,
    pub model: String,
    /// Whom the policy chose; another one than `backend` where that one failed.
    pub chosen: String,
    pub category: String,
    /// Codes, separated by commas.
    pub reasons: String,
    pub policy_version: String,
    /// Probability with which the policy makes this choice.
    pub propensity: Option<f64>,
    pub status: u16,
    pub end: &'static str,
    /// The stable code of an error that the gateway answered with.
    pub code: Option<&'static str>,
    /// `None` where no backend was asked, or it answered with an error.
    pub usage: Option<Usage>,
    /// The usage was counted here: the backend did not tell.
    pub estimated: bool,
    pub cost_usd: Option<f64>,
    /// What the premium backend would have cost for the same tokens.
    pub premium_usd: Option<f64>,
    /// Part of `cost_usd`: for answers that nobody was shown.
    pub discarded_usd: Option<f64>,
    pub seen: Option<Seen>,
    /// The request's body, where the operator wants text.
    pub text: Option<String>,
    pub shadow: Option<Shadow>,
}

/// What another policy needs to decide a request again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// JSON.
    pub snapshot: String,
    /// 16-bit floats, little endian.
    pub embedding: Option<Vec<u8>>,
    /// What could have been chosen, as JSON: `[{"backend", "quality", "cost_usd", "eligible"}]`.
    pub offers: String,
}

/// What a second policy would have done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shadow {
    pub policy_version: String,
    pub route: String,
    /// Empty: it would have asked nobody.
    pub backend: String,
    pub predicted_quality: Option<f64>,
    pub predicted_cost_usd: Option<f64>,
    pub reasons: String,
}

/// How good an answer was, as somebody or something says.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    pub at: i64,
    pub request_id: String,
    /// `client`, or what is taken for a sign: `error`, `regenerated`.
    pub source: &'static str,
    /// 0..1.
    pub score: f64,
    /// Where the operator wants text.
    pub comment: Option<String>,
}

/// Anything that goes into the ledger.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    Request(Box<Entry>),
    Feedback(Feedback),
    /// Something to be known after a restart. The newest of a name counts.
    State {
        name: String,
        json: String,
    },
}

impl Note {
    fn text_bytes(&self) -> usize {
        match self {
            Self::Request(entry) => entry.text.as_ref().map_or(0, String::len),
            Self::Feedback(_) | Self::State { .. } => 0,
        }
    }

    fn forget_text(&mut self) {
        if let Self::Request(entry) = self {
            entry.text = None;
        }
    }
}

/// Where notes go. Never waits: what has no room is counted.
#[derive(Clone, Debug)]
pub struct Book {
    pub(crate) notes: SyncSender<Note>,
    pub(crate) backlog: Arc<Backlog>,
}

/// What waits, and what had to be given up.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    pub(crate) lost: AtomicU64,
    /// Bytes of texts.
    pub(crate) texts: AtomicUsize,
}

/// Most bytes of texts that wait while nothing can be written. A request beyond that is kept without its text.
const TEXTS: usize = 64 << 20;

impl Backlog {
    /// These wait no longer.
    pub(crate) fn left(&self, notes: &[Note]) {
        self.texts.fetch_sub(notes.iter().map(Note::text_bytes).sum(), Ordering::Relaxed);
    }
}

impl Book {
    pub fn enter(&self, mut note: Note) {
        let Backlog { lost, texts } = &*self.backlog;
        let bytes = note.text_bytes();
        if texts.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > TEXTS {
            texts.fetch_sub(bytes, Ordering::Relaxed);
            note.forget_text();
        }
        if let Err(TrySendError::Full(note) | TrySendError::Disconnected(note)) = self.notes.try_send(note) {
            lost.fetch_add(1, Ordering::Relaxed);
            self.backlog.left(&[note]);
        }
    }
}

/// Milliseconds since 1970; a clock from before that counts as 1970.
pub fn millis(at: SystemTime) -> i64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
