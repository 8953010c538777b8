//! Which windows of a request are still to come, and how long they are worth waiting for.

use std::time::Duration;

use tokio::time::Instant;

use super::super::encoder::Heads;
use super::super::reading::Reading;

/// Counted by who reads them: brain and similarity, the guards.
#[derive(Debug)]
pub(super) struct Awaited {
    /// Of each window in stream order.
    readers: Vec<[bool; 2]>,
    left: [usize; 2],
    /// Of the more patient mind of each kind.
    patience: [Option<Duration>; 2],
}

impl Awaited {
    pub(super) fn new(heads: &Heads, reading: &Reading) -> Self {
        let streams = reading.streams.iter();
        let readers: Vec<[bool; 2]> =
            streams.flat_map(|stream| stream.windows.iter().map(|_| [stream.ask, stream.guarded])).collect();
        let left = [0, 1].map(|kind| readers.iter().filter(|readers| readers[kind]).count());
        Self { readers, left, patience: heads.patience() }
    }

    /// A window has been answered.
    pub(super) fn came(&mut self, window: usize) {
        for (left, reads) in self.left.iter_mut().zip(self.readers.get(window).copied().unwrap_or_default()) {
            *left -= usize::from(reads);
        }
    }

    /// How long some mind can still come to a verdict; `None` when all have what they need.
    pub(super) fn until(&self, started: Instant) -> Option<Instant> {
        let waiting = self.patience.iter().zip(self.left).filter(|(_, left)| *left > 0);
        waiting.filter_map(|(patience, _)| Some(started + (*patience)?)).max()
    }
}
