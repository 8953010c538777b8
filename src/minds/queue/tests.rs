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
