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
    /// When the last pass ended.
    pub(super) idle_since: Option<Instant>,
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

    /// Tokens of the windows that make the first pass, for jobs of windows of these lengths.
    fn first_pass(jobs: &[Vec<usize>]) -> Vec<usize> {
        let (mut queue, mut number) = (Queue::default(), 0);
        let mut job = |lengths: &Vec<usize>| {
            let windows = lengths.iter().map(|&length| {
                number += 1;
                window(number, length)
            });
            ask(&mut queue, windows.collect(), later()).1
        };
        let waiting: Vec<_> = jobs.iter().map(&mut job).collect();
        let taken = queue.take(Instant::now(), LIMIT).iter().map(|window| window.ids.len()).collect();
        drop(waiting);
        taken
    }

    #[test]
    fn a_huge_request_shares_each_pass() {
        let huge = vec![256; 40];
        assert_eq!(first_pass(&[huge.clone(), vec![250], vec![12]]), [256, 250]);
        assert_eq!(first_pass(&[vec![12], huge, vec![12]]), [12, 12]);
    }

    #[test]
    fn one_request_fills_a_pass_alone() {
        assert_eq!(first_pass(&[vec![256; 40]]), [256; 2]);
        assert_eq!(first_pass(&[vec![20; 40]]), [20; 8]);
        assert_eq!(first_pass(&[vec![600]]), [600]);
        assert_eq!(first_pass(&[]), [0; 0]);
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
    fn who_shares_a_window_with_a_long_request_does_not_wait_for_all_of_it() {
        let mut queue = Queue::default();
        let long: Vec<Window> = (0..40).map(|number| window(number, 256)).collect();
        let (_, _long) = ask(&mut queue, long, later());
        let (shared, _short) = ask(&mut queue, vec![window(39, 256)], later());
        let first: Vec<i64> = queue.take(Instant::now(), LIMIT).iter().map(|window| window.ids[0]).collect();
        assert_eq!((shared, first), (1, vec![0, 39]));
        // It runs once, and the long request still has two windows a pass.
        let mut taken = 2;
        while let windows @ 1.. = queue.take(Instant::now(), LIMIT).len() {
            taken += windows;
        }
        assert_eq!((taken, queue.land(&window(39, 256).key).len()), (40, 2));
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
            let taken = first_pass(&lengths);
            prop_assert!(taken.first() == Some(&lengths[0][0]) && taken.len() <= LIMIT.windows);
            prop_assert!(taken.len() == 1 || taken.iter().max().map_or(0, |longest| longest * taken.len()) <= LIMIT.tokens);
        }
    }
}
