//! Micro-batching: a thread owns a session and serves a bounded queue of jobs.
//!
//! Each pass takes windows of similar length from the jobs in turn, so that one huge
//! request delays the others by one pass, not by its whole length. Jobs whose requester has
//! gone or whose deadline has passed are dropped unread.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::engine::{Row, Session};

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
    pub(super) row: Option<Row>,
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    /// The thread has ended.
    Dead,
}

/// A handle to the thread; dropping it ends the thread after its current pass.
pub(super) struct Engine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Job {
    windows: Vec<Vec<i64>>,
    /// First window not yet taken.
    next: usize,
    deadline: Instant,
    reply: mpsc::Sender<Done>,
}

impl Engine {
    pub(super) fn start(session: Session, padding: i64, limit: PassLimit) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("mom-minds".to_owned()).spawn(move || {
            let _closing = CloseOnDrop(Arc::clone(&theirs));
            serve(&theirs, session, padding, limit);
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Jobs waiting or running.
    pub(super) fn waiting(&self) -> usize {
        self.shared.lock().jobs.len()
    }

    pub(super) fn alive(&self) -> bool {
        !self.shared.lock().closed
    }

    /// Queues a job of framed windows. The receiver ends when no more answers will come.
    pub(super) fn push(
        &self,
        windows: Vec<Vec<i64>>,
        deadline: Instant,
        limit: usize,
    ) -> Result<mpsc::Receiver<Done>, Refused> {
        let (reply, answers) = mpsc::channel(windows.len().max(1));
        let mut queue = self.shared.lock();
        if queue.closed {
            return Err(Refused::Dead);
        }
        if queue.jobs.len() >= limit {
            return Err(Refused::Full);
        }
        queue.jobs.push_back(Job { windows, next: 0, deadline, reply });
        drop(queue);
        self.shared.wake.notify_one();
        Ok(answers)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has already reported itself as closed.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whatever ends the thread, waiting callers are released and new ones refused.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        queue.jobs.clear();
    }
}

/// One window of a pass and where its answer goes.
struct Taken {
    window: usize,
    ids: Vec<i64>,
    reply: mpsc::Sender<Done>,
}

fn serve(shared: &Shared, mut session: Session, padding: i64, limit: PassLimit) {
    while let Some(taken) = take(shared, limit) {
        let started = Instant::now();
        let (ids, replies): (Vec<_>, Vec<_>) =
            taken.into_iter().map(|Taken { window, ids, reply }| (ids, (window, reply))).unzip();
        let rows = session.run(&ids, padding).unwrap_or_else(|error| {
            tracing::error!(%error, windows = ids.len(), "a forward pass failed");
            Vec::new()
        });
        let finished = Instant::now();
        let mut rows = rows.into_iter();
        for (window, reply) in replies {
            // Full or closed cannot matter: there is a slot per window, and a requester may leave.
            let _ = reply.try_send(Done { window, started, finished, row: rows.next() });
        }
    }
}

/// Waits for work; `None` when the queue is closed.
fn take(shared: &Shared, limit: PassLimit) -> Option<Vec<Taken>> {
    let mut queue = shared.lock();
    loop {
        if queue.closed {
            return None;
        }
        let now = Instant::now();
        queue.jobs.retain(|job| job.next < job.windows.len() && job.deadline > now && !job.reply.is_closed());
        if !queue.jobs.is_empty() {
            return Some(queue.take_pass(limit));
        }
        queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

impl Queue {
    /// Takes one pass; jobs that gave windows go to the back.
    fn take_pass(&mut self, limit: PassLimit) -> Vec<Taken> {
        let lengths: Vec<Vec<usize>> = (self.jobs.iter())
            .map(|job| job.windows.iter().skip(job.next).take(limit.windows).map(Vec::len).collect())
            .collect();
        let shares = shares(&lengths, limit);
        let mut taken = Vec::new();
        let mut served = VecDeque::new();
        let mut passed_over = VecDeque::new();
        for (mut job, share) in self.jobs.drain(..).zip(shares) {
            for window in job.next..job.next + share {
                let ids = std::mem::take(&mut job.windows[window]);
                taken.push(Taken { window, ids, reply: job.reply.clone() });
            }
            job.next += share;
            if share == 0 { passed_over.push_back(job) } else { served.push_back(job) }
        }
        passed_over.append(&mut served);
        self.jobs = passed_over;
        taken
    }
}

/// How many windows of each job make the next pass. `lengths`: of each job's waiting
/// windows, jobs in turn order. The first job gets at least one; further windows join, one
/// of each job a round, while they fit without much padding.
fn shares(lengths: &[Vec<usize>], limit: PassLimit) -> Vec<usize> {
    let mut shares = vec![0; lengths.len()];
    let (mut count, mut longest, mut total) = (0, 0, 0);
    loop {
        let before = count;
        for (share, lengths) in shares.iter_mut().zip(lengths) {
            let Some(&length) = lengths.get(*share) else { continue };
            let padded = longest.max(length) * (count + 1);
            let little_padding = padded <= (total + length) * 5 / 4 + 32;
            let fits = count < limit.windows && padded <= limit.tokens && little_padding;
            if count == 0 || fits {
                *share += 1;
                count += 1;
                longest = longest.max(length);
                total += length;
            }
        }
        if count == before {
            return shares;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: PassLimit = PassLimit { windows: 8, tokens: 512 };

    #[test]
    fn a_huge_request_shares_each_pass() {
        let huge = vec![256; 40];
        assert_eq!(shares(&[huge.clone(), vec![250], vec![12]], LIMIT), [1, 1, 0]);
        assert_eq!(shares(&[vec![12], huge, vec![12]], LIMIT), [1, 0, 1]);
    }

    #[test]
    fn one_request_fills_a_pass_alone() {
        assert_eq!(shares(&[vec![256; 40]], LIMIT), [2]);
        assert_eq!(shares(&[vec![20; 40]], LIMIT), [8]);
        assert_eq!(shares(&[vec![600]], LIMIT), [1]);
    }

    #[test]
    fn every_job_is_served_in_turn() {
        let mut queue = Queue::default();
        for (windows, length) in [(30, 256), (1, 12), (30, 200), (1, 100)] {
            let (reply, _answers) = mpsc::channel(1);
            let deadline = Instant::now();
            queue.jobs.push_back(Job { windows: vec![vec![0; length]; windows], next: 0, deadline, reply });
        }
        let mut small_done = 0;
        for _ in 0..4 {
            small_done += queue.take_pass(LIMIT).iter().filter(|taken| [12, 100].contains(&taken.ids.len())).count();
        }
        assert_eq!(small_done, 2);
    }

    proptest! {
        #[test]
        fn passes_stay_within_their_limits(lengths in prop::collection::vec(prop::collection::vec(1usize..257, 1..12), 1..12)) {
            let shares = shares(&lengths, LIMIT);
            let taken: Vec<usize> = lengths.iter().zip(&shares).flat_map(|(l, &share)| l[..share].to_vec()).collect();
            prop_assert!(shares[0] >= 1 && taken.len() <= LIMIT.windows);
            prop_assert!(taken.len() == 1 || taken.iter().max().map_or(0, |longest| longest * taken.len()) <= LIMIT.tokens);
        }
    }
}
