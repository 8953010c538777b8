//! Whose text is read when: as many at a time as there are cores, or all would be read slowly
//! and none in time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Unavailable;

/// Longer texts have a line of their own, so that no other waits behind them.
pub(super) const LONG_BYTES: usize = 64 * 1024;

/// Two lines, for long texts and for all others, each with a core's time for every core.
#[derive(Debug)]
pub(super) struct Turns {
    long: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let line = || Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));
        Self { long: line(), others: line() }
    }
}

impl Turns {
    /// Waits for a turn. Hold it until the text is read, also when nobody waits for that any more.
    pub(super) async fn take(&self, bytes: usize, deadline: Instant) -> Result<OwnedSemaphorePermit, Unavailable> {
        let line = if bytes > LONG_BYTES { &self.long } else { &self.others };
        match timeout_at(deadline, Arc::clone(line).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Unavailable::Overloaded),
        }
    }
}
