//! Micro-batching: threads that own a session each serve one bounded queue.
//!
//! A window that was answered before is answered from the cache; one that waits or runs
//! already is shared. No pass waits for company: what is there when a thread is free goes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cache::Cache;
use super::engine::{AWAKE, Forward, Row, finite};
use super::queue::{Asker, Done, PassLimit, Queue, Window};
use crate::telemetry::MindMetrics;

/// What answers the windows of one queue.
pub(super) struct Sessions {
    /// One for each thread.
    pub(super) each: Vec<Box<dyn Forward>>,
    /// Uses all cores for a window that is alone, where that pays.
    pub(super) wide: Option<Box<dyn Forward>>,
}

/// A lone window from this length on is shared among cores even when they sleep: below it,
/// waking them costs more than they save, unless more such windows follow.
const WIDE_FROM: usize = 96;

/// Why windows that are not known were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    /// A thread has ended.
    Dead,
}

/// A job on its way.
#[derive(Debug)]
pub(super) struct Pushed {
    /// Ends when no more answers will come.
    pub(super) answers: mpsc::Receiver<Done>,
    /// Jobs that were waiting when this one had to wait; 0 when it did not.
    pub(super) waiting: usize,
    /// Only what is known will be answered.
    pub(super) refused: Option<Refused>,
}

/// A handle to the threads; dropping it ends them after their current pass.
pub(super) struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    wide: Option<Mutex<Wide>>,
    threads: usize,
    padding: i64,
    limit: PassLimit,
    known: Arc<Cache<Row>>,
    metrics: Arc<MindMetrics>,
}

/// The session over several cores.
struct Wide {
    session: Box<dyn Forward>,
    /// When the last lone window was answered. Its threads look for more work that long; the
    /// second of two in quick succession wakes them for those that are likely to come.
    last: Option<Instant>,
}

impl Wide {
    /// Whether a lone window of so many tokens gains by being shared.
    fn pays(&self, tokens: usize, now: Instant) -> bool {
        tokens >= WIDE_FROM || self.last.is_some_and(|last| now.duration_since(last) < AWAKE)
    }
}

impl Engine {
    pub(super) fn start(
        sessions: Sessions,
        padding: i64,
        limit: PassLimit,
        known: Arc<Cache<Row>>,
        metrics: Arc<MindMetrics>,
    ) -> std::io::Result<Self> {
        let wide = sessions.wide.map(|session| Mutex::new(Wide { session, last: None }));
        let (queue, wake) = (Mutex::default(), Condvar::new());
        let threads = sessions.each.len();
        let shared = Arc::new(Shared { queue, wake, wide, threads, padding, limit, known, metrics });
        let mut engine = Self { shared, threads: Vec::new() };
        for session in sessions.each {
            let theirs = Arc::clone(&engine.shared);
            let thread = std::thread::Builder::new().name("mom-minds".to_owned()).spawn(move || {
                let _closing = CloseOnDrop(Arc::clone(&theirs));
                theirs.serve(session);
            })?;
            engine.threads.push(thread);
        }
        Ok(engine)
    }

    /// Jobs waiting and passes running.
    pub(super) fn waiting(&self) -> usize {
        let queue = self.shared.lock();
        queue.jobs() + queue.running
    }

    pub(super) fn alive(&self) -> bool {
        !self.shared.lock().closed
    }

    /// Asks for windows. What is known is answered at once, what others asked for is shared,
    /// the rest is queued unless `limit` jobs wait already.
    pub(super) fn push(&self, windows: Vec<Window>, deadline: Instant, limit: usize) -> Pushed {
        let (reply, answers) = mpsc::channel(windows.len().max(1));
        let (now, all) = (Instant::now(), windows.len());
        let mut asked = Vec::new();
        for (number, window) in windows.into_iter().enumerate() {
            match self.shared.known.find(&window.key) {
                // There is a slot for each window, and the receiver is right here.
                Some(row) => drop(reply.try_send(Done { window: number, started: now, finished: now, row: Some(row) })),
                None => asked.push((window, Asker { window: number, deadline, reply: reply.clone() })),
            }
        }
        let mut pushed = Pushed { answers, waiting: 0, refused: None };
        let (missing, mut shared) = (asked.len(), 0);
        if missing > 0 {
            let mut queue = self.shared.lock();
            // Who only joins others adds no work, and is not what the limit is about.
            if !queue.holds(asked.iter().map(|(window, _)| &window.key)) {
                pushed.waiting = queue.jobs();
            }
            if queue.closed {
                pushed.refused = Some(Refused::Dead);
            } else if pushed.waiting >= limit {
                pushed.refused = Some(Refused::Full);
            } else {
                shared = queue.push(asked);
                drop(queue);
                self.shared.wake.notify_one();
            }
        }
        let misses = if pushed.refused.is_none() { missing - shared } else { 0 };
        self.shared.metrics.windows(all - missing, shared, misses);
        pushed
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has already reported itself as closed.
            let _ = thread.join();
        }
    }
}

/// Whatever ends a thread, waiting callers are released and new ones refused.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.lock().close();
        self.0.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut session: Box<dyn Forward>) {
        while let Some((windows, alone)) = self.take() {
            let started = Instant::now();
            let (keys, ids): (Vec<_>, Vec<_>) = windows.into_iter().map(|window| (window.key, window.ids)).unzip();
            let mut wide = self.wide.as_ref().filter(|_| alone).and_then(|wide| wide.try_lock().ok());
            let rows = match &mut wide {
                Some(wide) if wide.pays(ids[0].len(), started) => rows(&mut *wide.session, &ids, self.padding),
                _ => rows(&mut *session, &ids, self.padding),
            };
            let finished = Instant::now();
            if let Some(wide) = &mut wide {
                wide.last = Some(finished);
            }
            drop(wide);
            self.metrics.pass(session.provider(), finished.duration_since(started));
            let rows: Vec<_> = keys.into_iter().zip(rows).collect();
            for (key, row) in &rows {
                if let Some(row) = row {
                    self.known.put(*key, Arc::clone(row));
                }
            }
            let mut queue = self.lock();
            queue.running -= 1;
            let landed: Vec<_> = rows.into_iter().map(|(key, row)| (queue.land(&key), row)).collect();
            drop(queue);
            for (askers, row) in landed {
                for Asker { window, reply, .. } in askers {
                    // Full or closed cannot matter: there is a slot per window, and an asker may leave.
                    let _ = reply.try_send(Done { window, started, finished, row: row.clone() });
                }
            }
        }
    }

    /// Waits for work; `None` when the queue is closed. True: a lone window, and no other thread
    /// has anything to do.
    fn take(&self) -> Option<(Vec<Window>, bool)> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            // What waits is shared among the threads that are free, not given to the first.
            let free = self.threads.saturating_sub(queue.running).max(1);
            let share = queue.windows(self.limit.windows * free).div_ceil(free).max(1);
            let limit = PassLimit { windows: self.limit.windows.min(share), ..self.limit };
            let windows = queue.take(Instant::now(), limit);
            if windows.is_empty() {
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let alone = windows.len() == 1 && queue.running == 0 && queue.is_empty();
            queue.running += 1;
            if !queue.is_empty() {
                self.wake.notify_one();
            }
            return Some((windows, alone));
        }
    }
}

/// One answer a window. Where a pass fails its windows run one by one: what one of them breaks
/// is nothing to the others.
fn rows(session: &mut dyn Forward, windows: &[Vec<i64>], padding: i64) -> Vec<Option<Arc<Row>>> {
    match session.run(windows, padding) {
        Ok(rows) => rows.into_iter().map(sound).collect(),
        Err(error) => {
            tracing::error!(%error, windows = windows.len(), "a forward pass failed");
            match windows {
                [_] => vec![None],
                several => several.chunks(1).flat_map(|window| rows(session, window, padding)).collect(),
            }
        }
    }
}

/// What is no number is no answer: every comparison with it would come out as harmless.
fn sound(row: Row) -> Option<Arc<Row>> {
    if finite(&row) {
        return Some(Arc::new(row));
    }
    tracing::error!("a forward pass answered with values that are not numbers");
    None
}

#[cfg(test)]
mod tests;
