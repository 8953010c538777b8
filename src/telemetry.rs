//! Telling what happened: one record per request, written when the request is over, feeds
//! the log, the metrics and the span alike. Message text is in none of them, but for the words that a
//! decoder's reason quotes, where the operator wants reasons.

mod drift;
mod entry;
mod log;
mod metrics;
mod minds;
mod record;

pub use drift::Scores;
pub(crate) use entry::Backlog;
pub use entry::{Book, Entry, Feedback, Note, Seen, Shadow, millis};
pub use log::{Guard, InitError, init};
pub use metrics::{BackendLabel, BudgetLabels, KeyLabel, Metrics};
pub use minds::MindMetrics;
pub use record::{Discarded, End, Record, Settlement};
