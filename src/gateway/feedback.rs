//! What clients say of answers, and what is taken for a sign: both go into the ledger beside the request.

use std::time::SystemTime;

use serde::Deserialize;

use super::Gateway;
use crate::ledger::{LedgerError, Store};
use crate::telemetry::{Feedback, Note, millis};

/// Longest comment, in characters.
const COMMENT: usize = 4096;

/// The body of `POST /v1/feedback`.
#[derive(Debug, Deserialize)]
pub struct Said {
    /// As `x-mom-request-id` had it.
    pub request_id: String,
    /// 0..1: how good the answer was.
    pub score: f64,
    #[serde(default)]
    pub comment: Option<String>,
}

/// Why it was not taken down.
#[derive(Debug, thiserror::Error)]
pub enum FeedbackError {
    #[error("`{param}` {wrong}")]
    Invalid { param: &'static str, wrong: &'static str },
    #[error("this gateway keeps no ledger, so it knows no request to give feedback on")]
    NoLedger,
    #[error("no request of yours has this id")]
    Unknown,
    #[error("the ledger cannot be read: {0}")]
    Ledger(#[from] LedgerError),
    #[error("looking the request up stopped unexpectedly")]
    Interrupted,
}

impl Said {
    fn check(&self) -> Result<(), FeedbackError> {
        let invalid = |param, wrong| Err(FeedbackError::Invalid { param, wrong });
        if !(0.0..=1.0).contains(&self.score) {
            return invalid("score", "must be a number from 0 (bad) to 1 (good)");
        }
        if self.request_id.is_empty() {
            return invalid("request_id", "must be what `x-mom-request-id` said");
        }
        match &self.comment {
            Some(comment) if comment.chars().count() > COMMENT => {
                invalid("comment", "must not be longer than 4,096 characters")
            }
            _ => Ok(()),
        }
    }
}

impl Gateway {
    /// A request that feedback may come on, and who asked it.
    pub(crate) fn expect_feedback(&self, request_id: &str, key: Option<&str>) {
        if self.book.is_some() {
            self.asked.put(request_id.to_owned(), key.map(str::to_owned));
        }
    }

    /// Takes down what a client says of one of its own requests. True: with its comment.
    pub(crate) async fn hear(&self, key: Option<&str>, said: Said) -> Result<bool, FeedbackError> {
        said.check()?;
        let (Some(book), Some(ledger)) = (&self.book, &self.config.ledger) else { return Err(FeedbackError::NoLedger) };
        let asked_by = match self.asked.find(said.request_id.as_str()) {
            Some(known) => Some(known),
            None => {
                // From before, or from before a restart.
                let (path, id) = (ledger.path.clone(), said.request_id.clone());
                let found = tokio::task::spawn_blocking(move || Store::open_existing(&path)?.asked_by(&id));
                found.await.map_err(|_| FeedbackError::Interrupted)??
            }
        };
        if asked_by.as_ref().map(Option::as_deref) != Some(key) {
            return Err(FeedbackError::Unknown);
        }
        let comment = said.comment.filter(|_| ledger.text);
        let kept = comment.is_some();
        let at = millis(SystemTime::now());
        let Said { request_id, score, .. } = said;
        book.enter(Note::Feedback(Feedback { at, request_id, source: "client", score, comment }));
        Ok(kept)
    }

    /// The client asked exactly the same again: the earlier answer did not please.
    pub(crate) fn regenerated(&self, request_id: String) {
        if let Some(book) = &self.book {
            let at = millis(SystemTime::now());
            book.enter(Note::Feedback(Feedback { at, request_id, source: "regenerated", score: 0.0, comment: None }));
        }
    }
}
