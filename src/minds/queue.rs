//! What waits for inference, and whose turn it is. Pure: no threads, no clock of its own.
//!
//! Each pass takes windows of similar length from the jobs in turn, so that one huge request
//! delays the others by one pass, not by its whole length. A window runs once for all who ask
//! for it before it is answered. Each of them has a place for it in their own job, and it goes
//! when the first of these has its turn: nobody waits for the length of another's request. It
//! is dropped unread only when all of them have gone or are late.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cache::Key;
use super::engine::Row;

/// How much one forward pass may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassLimit {
    pub(super) windows: usize,
    /// Padding included.
    pub(super) tokens: usize,
}

/// One window's answer.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) window: usize,
    pub(super) started: Instant,
    pub(super) finished: Instant,
    /// `None`: the pass failed.
    pub(super) row: Option<Arc<Row>>,
}

/// One framed window, known by its content.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) key: Key,
    pub(super) ids: Vec<i64>,
}

/// Who waits for a window.
#[derive(Debug)]
pub(super) struct Asker {
    /// Its number among the asker's windows.
    pub(super) window: usize,
    pub(super) deadline: Instant,
    pub(super) reply: mpsc::Sender<Done>,
}

#[derive(Default)]
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    /// Every window that waits or runs.
    flights: HashMap<Key, Flight>,
    /// Passes that run now.
    pub(super) running: usize,
    pub(super) closed: bool,
}

#[derive(Default)]
struct Flight {
    askers: Vec<Asker>,
    /// It runs: other places it has in the queue are void.
    taken: bool,
}

/// The windows of one request. Some may have been taken since, for another job that has them.
struct Job {
    windows: VecDeque<Window>,
    /// Some of them were nobody else's when they came.
    adds_work: bool,
}

impl Queue {
    /// Whether anybody waits for a pass.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Jobs that wait, without those who only joined others.
    pub(super) fn jobs(&self) -> usize {
        self.jobs.iter().filter(|job| job.adds_work).count()
    }

    /// Windows that nobody has taken yet, counted up to `most`.
    pub(super) fn windows(&self, most: usize) -> usize {
        self.flights.values().filter(|flight| !flight.taken).take(most).count()
    }

    /// Whether all of `keys` wait or run already, so that asking for them adds no work.
    pub(super) fn holds<'a>(&self, mut keys: impl Iterator<Item = &'a Key>) -> bool {
        keys.all(|key| self.flights.contains_key(key))
    }

    /// Queues windows; returns how many of them others had asked for already.
    pub(super) fn push(&mut self, asked: impl IntoIterator<Item = (Window, Asker)>) -> usize {
        let (mut windows, mut all, mut shared) = (VecDeque::new(), 0, 0);
        for (window, asker) in asked {
            all += 1;
            let flight = self.flights.entry(window.key).or_default();
            let last = flight.askers.last();
            shared += usize::from(last.is_some());
            let twice = last.is_some_and(|last| last.reply.same_channel(&asker.reply));
            flight.askers.push(asker);
            if !flight.taken && !twice {
                windows.push_back(window);
            }
        }
        if !windows.is_empty() {
            self.jobs.push_back(Job { windows, adds_work: shared < all });
        }
        shared
    }

    /// Takes one pass, if anything waits that somebody still wants: one window of each job a
    /// round, while they fit without much padding. Jobs that gave windows go to the back.
    pub(super) fn take(&mut self, now: Instant, limit: PassLimit) -> Vec<Window> {
        let (mut pass, mut served) = (Pass::default(), vec![false; self.jobs.len()]);
        loop {
            let before = pass.windows.len();
            for (job, served) in self.jobs.iter_mut().zip(&mut served) {
                if job.windows.front().is_some_and(|window| pass.fits(window, limit))
                    && let Some(window) = job.next(now, &mut self.flights)
                    && pass.fits(window, limit)
                    && let Some(window) = job.windows.pop_front()
                {
                    if let Some(flight) = self.flights.get_mut(&window.key) {
                        flight.taken = true;
                    }
                    pass.add(window);
                    *served = true;
                }
            }
            if pass.windows.len() == before {
                break;
            }
        }
        let (mut waiting, mut back) = (VecDeque::new(), VecDeque::new());
        for (mut job, served) in self.jobs.drain(..).zip(served) {
            if job.next(now, &mut self.flights).is_some() {
                if served { back.push_back(job) } else { waiting.push_back(job) }
            }
        }
        waiting.append(&mut back);
        self.jobs = waiting;
        pass.windows
    }

    /// Who waits for a window that has run. Nobody can join them any more.
    pub(super) fn land(&mut self, key: &Key) -> Vec<Asker> {
        self.flights.remove(key).unwrap_or_default().askers
    }

    /// Takes no more work and releases everyone who waits.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.jobs.clear();
        self.flights.clear();
    }
}

impl Job {
    /// Its first window that still has to run for somebody; those before it are dropped.
    fn next(&mut self, now: Instant, flights: &mut HashMap<Key, Flight>) -> Option<&Window> {
        let wanted = |asker: &Asker| asker.deadline > now && !asker.reply.is_closed();
        while let Some(window) = self.windows.front() {
            match flights.get(&window.key) {
                Some(flight) if flight.taken => {}
                Some(flight) if flight.askers.iter().any(wanted) => break,
                Some(_) => drop(flights.remove(&window.key)),
                None => {}
            }
            self.windows.pop_front();
        }
        self.windows.front()
    }
}

/// Windows that run together.
#[derive(Default)]
struct Pass {
    windows: Vec<Window>,
    /// Tokens of the longest, and of all, without padding.
    longest: usize,
    total: usize,
}

impl Pass {
    /// The first one always does.
    fn fits(&self, window: &Window, limit: PassLimit) -> bool {
        let (count, length) = (self.windows.len(), window.ids.len());
        let padded = self.longest.max(length) * (count + 1);
        let little_padding = padded <= (self.total + length) * 5 / 4 + 32;
        count == 0 || (count < limit.windows && padded <= limit.tokens && little_padding)
    }

    fn add(&mut self, window: Window) {
        self.longest = self.longest.max(window.ids.len());
        self.total += window.ids.len();
        self.windows.push(window);
    }
}

#[cfg(test)]
mod tests;
