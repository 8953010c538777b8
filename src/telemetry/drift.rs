//! Whether a mind's scores still look as they did after the start.
//!
//! A threshold is chosen on some traffic; when scores begin to fall into other buckets, it
//! deserves a second look. Judges no verdict, keeps no text, and remembers nothing across
//! restarts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::histogram::Histogram;

/// Upper edges of the buckets, all but the last: dense where guards put most of their scores.
pub(super) const EDGES: [f64; 10] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.98];

const BUCKETS: usize = EDGES.len() + 1;

/// Scores that make up the present, and the reference.
const RECENT: usize = 1000;

/// Fewer recent scores than this say nothing.
const ENOUGH: usize = 200;

/// One mind's scores.
#[derive(Debug)]
pub struct Scores {
    pub(super) mind: Arc<str>,
    histogram: Histogram,
    watch: Mutex<Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    /// The first scores after the start.
    reference: Counts,
    /// Buckets of the latest scores, oldest first.
    recent: VecDeque<u8>,
    present: Counts,
}

/// Scores by bucket.
#[derive(Clone, Debug, Default)]
struct Counts([f64; BUCKETS]);

impl Scores {
    pub(super) fn new(mind: Arc<str>, histogram: Histogram) -> Self {
        Self { mind, histogram, watch: Mutex::default() }
    }

    pub fn observe(&self, score: f32) {
        let score = f64::from(score);
        self.histogram.observe(score);
        let bucket = EDGES.partition_point(|edge| score > *edge);
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.reference.total() < RECENT as f64 {
            watch.reference.0[bucket] += 1.0;
            return;
        }
        watch.present.0[bucket] += 1.0;
        watch.recent.push_back(bucket as u8);
        if watch.recent.len() > RECENT
            && let Some(oldest) = watch.recent.pop_front()
        {
            watch.present.0[usize::from(oldest)] -= 1.0;
        }
    }

    /// The population stability index: 0 when every bucket has the share it had; up to about
    /// 0.1 is noise, from 0.25 the scores come from somewhere else. `None` while there are few.
    pub(super) fn drift(&self) -> Option<f64> {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        (watch.recent.len() >= ENOUGH).then(|| watch.present.stability_index(&watch.reference))
    }
}

impl Counts {
    fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    fn stability_index(&self, reference: &Self) -> f64 {
        // Half a score in every bucket: an empty one must not make the index infinite.
        let share = |counts: &Self, bucket: usize| (counts.0[bucket] + 0.5) / (counts.total() + 0.5 * BUCKETS as f64);
        let term = |bucket| {
            let (now, then) = (share(self, bucket), share(reference, bucket));
            (now - then) * (now / then).ln()
        };
        (0..BUCKETS).map(term).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores() -> Scores {
        Scores::new("mind".into(), Histogram::new(EDGES))
    }

    /// `attacks` of a hundred scores are high, the others low.
    fn traffic(scores: &Scores, number: usize, attacks: usize) {
        for index in 0..number {
            scores.observe(if index % 100 < attacks { 0.95 } else { 0.001 });
        }
    }

    #[test]
    fn the_same_traffic_does_not_drift() {
        let scores = scores();
        traffic(&scores, RECENT, 2);
        assert_eq!(scores.drift(), None);
        traffic(&scores, RECENT, 2);
        assert!(scores.drift().unwrap() < 1e-9);
    }

    #[test]
    fn other_traffic_does_and_the_past_is_forgotten() {
        let scores = scores();
        traffic(&scores, 2 * RECENT, 2);
        traffic(&scores, RECENT, 30);
        assert!(scores.drift().unwrap() > 0.25);
        traffic(&scores, RECENT, 2);
        assert!(scores.drift().unwrap() < 1e-9);
    }

    #[test]
    fn it_says_something_from_enough_scores_on() {
        let scores = scores();
        traffic(&scores, RECENT + ENOUGH - 1, 2);
        assert_eq!(scores.drift(), None);
        scores.observe(0.001);
        assert!(scores.drift().unwrap() < 0.1);
    }

    #[test]
    fn a_score_on_an_edge_belongs_below_it() {
        let scores = scores();
        [0.0, 0.01, 1.0].into_iter().for_each(|score| scores.observe(score));
        let watch = scores.watch.lock().unwrap();
        assert_eq!((watch.reference.0[0], watch.reference.0[BUCKETS - 1]), (2.0, 1.0));
    }
}
