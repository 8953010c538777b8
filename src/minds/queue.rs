//! What waits for inference, and whose turn it is. Pure: no threads, no clock of its own.
//!
//! Each pass takes windows of similar length from the jobs in turn, so that one huge request
//! delays the others by one pass, not by its whole length. A window that is already waiting
//! or running is not queued again: whoever asks for it joins those who wait for its answer,
//! and it is dropped unread only when all of them have gone or are late.

use std::collections::hash_map::Entry;
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
    flights: HashMap<Key, Vec<Asker>>,
    /// Passes that run now.
    pub(super) running: usize,
    /// When the last pass ended.
    pub(super) idle_since: Option<Instant>,
    pub(super) closed: bool,
}

/// The windows of one request that nobody has taken yet.
struct Job {
    windows: VecDeque<Window>,
}

impl Queue {
    pub(super) fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Windows that nobody has taken yet.
    pub(super) fn windows(&self) -> usize {
        self.jobs.iter().map(|job| job.windows.len()).sum()
    }

    /// Whether all of `keys` wait or run already, so that asking for them adds no work.
    pub(super) fn holds<'a>(&self, mut keys: impl Iterator<Item = &'a Key>) -> bool {
        keys.all(|key| self.flights.contains_key(key))
    }

    /// Queues windows; returns how many of them others had asked for already.
    pub(super) fn push(&mut self, asked: impl IntoIterator<Item = (Window, Asker)>) -> usize {
        let (mut windows, mut shared) = (VecDeque::new(), 0);
        for (window, asker) in asked {
            match self.flights.entry(window.key) {
                Entry::Occupied(flight) => {
                    flight.into_mut().push(asker);
                    shared += 1;
                }
                Entry::Vacant(free) => {
                    free.insert(vec![asker]);
                    windows.push_back(window);
                }
            }
        }
        if !windows.is_empty() {
            self.jobs.push_back(Job { windows });
        }
        shared
    }

    /// Takes one pass, if anything waits that somebody still wants. Jobs that gave windows go
    /// to the back.
    pub(super) fn take(&mut self, now: Instant, limit: PassLimit) -> Vec<Window> {
        for job in &mut self.jobs {
            job.drop_unwanted(now, &mut self.flights);
        }
        self.jobs.retain(|job| !job.windows.is_empty());
        let lengths: Vec<Vec<usize>> = (self.jobs.iter())
            .map(|job| job.windows.iter().take(limit.windows).map(|window| window.ids.len()).collect())
            .collect();
        let mut taken = Vec::new();
        let mut served = VecDeque::new();
        let mut passed_over = VecDeque::new();
        for (mut job, share) in self.jobs.drain(..).zip(shares(&lengths, limit)) {
            taken.extend(job.windows.drain(..share));
            match (job.windows.is_empty(), share) {
                (true, _) => {}
                (false, 0) => passed_over.push_back(job),
                (false, _) => served.push_back(job),
            }
        }
        passed_over.append(&mut served);
        self.jobs = passed_over;
        taken
    }

    /// Who waits for a window that has run. Nobody can join them any more.
    pub(super) fn land(&mut self, key: &Key) -> Vec<Asker> {
        self.flights.remove(key).unwrap_or_default()
    }

    /// Takes no more work and releases everyone who waits.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.jobs.clear();
        self.flights.clear();
    }
}

impl Job {
    /// Drops windows from the front that nobody waits for any more.
    fn drop_unwanted(&mut self, now: Instant, flights: &mut HashMap<Key, Vec<Asker>>) {
        let wanted = |asker: &Asker| asker.deadline > now && !asker.reply.is_closed();
        while let Some(window) = self.windows.front() {
            if flights.get(&window.key).is_some_and(|askers| askers.iter().any(wanted)) {
                return;
            }
            flights.remove(&window.key);
            self.windows.pop_front();
        }
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
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::cache::Seed;
    use super::*;

    const LIMIT: PassLimit = PassLimit { windows: 8, tokens: 512 };

    /// `number` makes the content of a window its own.
    fn window(number: usize, length: usize) -> Window {
        let mut ids = vec![0; length];
        ids[0] = number as i64;
        Window { key: Seed::new([]).window(&ids), ids }
    }

    /// Asks for windows on behalf of one request; keep the receiver, or it has gone.
    fn ask(queue: &mut Queue, windows: Vec<Window>, deadline: Instant) -> (usize, mpsc::Receiver<Done>) {
        let (reply, answers) = mpsc::channel(windows.len());
        let asker = |window| Asker { window, deadline, reply: reply.clone() };
        let shared = queue.push(windows.into_iter().enumerate().map(|(number, window)| (window, asker(number))));
        (shared, answers)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

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
        assert_eq!(shares(&[], LIMIT), [0; 0]);
    }

    #[test]
    fn every_job_is_served_in_turn() {
        let mut queue = Queue::default();
        let mut waiting = Vec::new();
        for (job, (windows, length)) in [(30, 256), (1, 12), (30, 200), (1, 100)].into_iter().enumerate() {
            let windows = (0..windows).map(|number| window(job * 100 + number, length)).collect();
            waiting.push(ask(&mut queue, windows, later()));
        }
        let mut small_done = 0;
        for _ in 0..4 {
            let taken = queue.take(Instant::now(), LIMIT);
            small_done += taken.iter().filter(|taken| [12, 100].contains(&taken.ids.len())).count();
        }
        assert_eq!(small_done, 2);
    }

    #[test]
    fn the_same_window_runs_once_for_all_who_ask() {
        let mut queue = Queue::default();
        let (first, _a) = ask(&mut queue, vec![window(1, 12), window(2, 12), window(1, 12)], later());
        let (second, _b) = ask(&mut queue, vec![window(2, 12), window(3, 12)], later());
        assert_eq!((first, second), (1, 1));
        let taken = queue.take(Instant::now(), LIMIT);
        assert_eq!(taken.len(), 3);
        assert!(queue.holds(taken.iter().map(|window| &window.key)), "running ones can still be joined");
        let (third, _c) = ask(&mut queue, vec![window(1, 12)], later());
        let askers: Vec<usize> = taken.iter().map(|window| queue.land(&window.key).len()).collect();
        assert_eq!((third, askers.iter().sum::<usize>()), (1, 6));
        assert!(queue.take(Instant::now(), LIMIT).is_empty() && queue.jobs() == 0 && queue.flights.is_empty());
    }

    #[test]
    fn a_window_is_dropped_when_the_last_asker_has_gone() {
        let mut queue = Queue::default();
        let (_, gone) = ask(&mut queue, vec![window(1, 12), window(2, 12), window(3, 12)], later());
        let (_, late) = ask(&mut queue, vec![window(2, 12), window(3, 12)], Instant::now());
        let (shared, _waits) = ask(&mut queue, vec![window(3, 12), window(4, 12)], later());
        drop(gone);
        assert_eq!(shared, 1);
        let ids: Vec<i64> = queue.take(Instant::now(), LIMIT).iter().map(|window| window.ids[0]).collect();
        assert_eq!((ids, queue.flights.len()), (vec![3, 4], 2));
        drop(late);
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
