//! The ledger: what every request cost, in an SQLite file. Written by a thread of its own, off the request path,
//! several requests a transaction; a process that is killed loses what was not written yet, less than a second.
//!
//! A disk that is full or a file that is locked stops no request. What could not be written is tried again; what has
//! to be given up is counted, and the count stands in the file once it can be written again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

mod budget;
mod lessons;
mod logged;
mod shadow;
mod store;
mod summary;

pub use budget::{Budgets, Now, Over, Reservation, Standing};
pub use lessons::Lesson;
pub use logged::{Logged, Window};
pub use shadow::{Elsewhere, Shadows};
pub use store::{LedgerError, Store};
pub use summary::{By, Line, Summary, csv, jsonl};

use crate::config;
use crate::telemetry::{Backlog, Book, Note};

/// How long a note may wait for company.
const LINGER: Duration = Duration::from_millis(200);

/// Most notes of a transaction, and most that wait while nothing can be written.
const TOGETHER: usize = 512;
const WAITING: usize = 16_384;

/// How often old requests are removed.
const TIDY: Duration = Duration::from_secs(3600);

/// How long a failed write waits before it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A ledger that is written to, until it is closed.
#[derive(Debug)]
pub struct Ledger {
    book: Book,
    ending: Arc<AtomicBool>,
    writer: JoinHandle<()>,
}

impl Ledger {
    /// Opens the file, makes it where it is not there, and starts the thread that writes.
    pub fn open(config: &config::Ledger) -> Result<Self, LedgerError> {
        let store = Store::open(&config.path)?;
        let (notes, arriving) = sync_channel(WAITING);
        let backlog = Arc::<Backlog>::default();
        let book = Book { notes, backlog: Arc::clone(&backlog) };
        let ending = Arc::new(AtomicBool::new(false));
        let (keep, end) = (config.keep, Arc::clone(&ending));
        let work = move || write(store, &arriving, &backlog, &end, keep);
        let writer = thread::Builder::new().name("mom-ledger".to_owned()).spawn(work).map_err(LedgerError::Thread)?;
        Ok(Self { book, ending, writer })
    }

    /// Where requests write themselves down.
    pub fn book(&self) -> Book {
        self.book.clone()
    }

    /// Writes what is left. Blocks until it is written.
    pub fn close(self) {
        self.ending.store(true, Ordering::Relaxed);
        let _ = self.writer.join();
    }
}

/// Writes until the ledger is closed.
fn write(mut store: Store, arriving: &Receiver<Note>, backlog: &Backlog, ending: &AtomicBool, keep: Duration) {
    let calendar = Calendar::new();
    let (mut waiting, mut open, mut tidied, mut failing): (Vec<Note>, _, Option<SystemTime>, _) =
        (Vec::new(), true, None, false);
    while open || !waiting.is_empty() {
        // Before the last look: what came before the end was asked for is written.
        let last = ending.load(Ordering::Relaxed);
        let more = collect(arriving, &mut waiting);
        // As much as a transaction takes: there may be more of it.
        open &= more && !(last && waiting.len() < TOGETHER);
        let missed = backlog.lost.swap(0, Ordering::Relaxed);
        if waiting.is_empty() && missed == 0 {
            continue;
        }
        let written = store.follow().and_then(|anew| store.write(&waiting, missed).map(|()| anew));
        match written {
            Ok(anew) => {
                if anew {
                    tracing::warn!("the ledger's file was taken away; a new one is written");
                }
                backlog.left(&waiting);
                waiting.clear();
                if failing {
                    tracing::info!("the ledger can be written again");
                }
                failing = false;
            }
            Err(error) => {
                backlog.lost.fetch_add(missed, Ordering::Relaxed);
                if !failing {
                    tracing::error!(%error, waiting = waiting.len(), "the ledger cannot be written; it is tried again");
                }
                failing = true;
                if last || !open {
                    tracing::error!(entries = waiting.len(), "the ledger could not be written before the end");
                    return;
                }
                thread::sleep(RETRY);
            }
        }
        let due = tidied.is_none_or(|at| at.elapsed().map_or(true, |since| since > TIDY));
        if due && !failing {
            tidied = Some(SystemTime::now());
            let then = calendar.now().checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH);
            if let Err(error) = store.remove_before(then) {
                tracing::warn!(%error, "old requests stay in the ledger for now");
            }
        }
    }
}

/// How far a clock may be set forth before it is not believed.
const JUMP: Duration = Duration::from_secs(24 * 3600);

/// The wall's clock, held against one that nobody sets: a clock that jumps forth by years must not take all that was kept.
#[derive(Debug)]
struct Calendar {
    opened: SystemTime,
    since: tokio::time::Instant,
}

impl Calendar {
    fn new() -> Self {
        Self { opened: SystemTime::now(), since: tokio::time::Instant::now() }
    }

    fn now(&self) -> SystemTime {
        self.at(SystemTime::now())
    }

    fn at(&self, wall: SystemTime) -> SystemTime {
        wall.min(self.opened + self.since.elapsed() + JUMP)
    }
}

/// Takes what arrives within [`LINGER`] of the first; false when nothing more will.
fn collect(arriving: &Receiver<Note>, waiting: &mut Vec<Note>) -> bool {
    // What could not be written keeps its place; what arrives waits where the room is bounded.
    if waiting.len() >= TOGETHER {
        return true;
    }
    match arriving.recv_timeout(LINGER) {
        Ok(note) => waiting.push(note),
        Err(RecvTimeoutError::Timeout) => return true,
        Err(RecvTimeoutError::Disconnected) => return false,
    }
    let until = tokio::time::Instant::now() + LINGER;
    while waiting.len() < TOGETHER {
        match arriving.recv_timeout(until.saturating_duration_since(tokio::time::Instant::now())) {
            Ok(note) => waiting.push(note),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests;
