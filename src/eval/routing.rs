//! Two models on the same prompts: who answers which, and what that wins.
//!
//! A score says which prompts need the strong one. Ties are averaged: a few of many prompts with
//! one score win their share of what all of them would.

use super::Report;
use super::stats::ratio;

/// How well each model solved a prompt, 0..1.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub weak: f64,
    pub strong: f64,
}

/// USD per 1M tokens.
#[derive(Clone, Copy, Debug)]
pub struct Prices {
    pub weak: f64,
    pub strong: f64,
}

/// What a choice of prompts for the strong model comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Of the prompts.
    pub share: f64,
    /// Mean over the prompts.
    pub solve_rate: f64,
}

impl Prices {
    /// Mean over the prompts, as if all were equally long.
    pub fn cost(&self, strong_share: f64) -> f64 {
        self.weak + strong_share * (self.strong - self.weak)
    }
}

/// Sends the prompts to the strong model for which `sent` is true.
pub fn point(pairs: &[Pair], sent: impl Fn(usize) -> bool, weights: &[f64]) -> Option<Point> {
    let total: f64 = weights.iter().sum();
    let (mut strong, mut solved) = (0.0, 0.0);
    for (row, (pair, weight)) in pairs.iter().zip(weights).enumerate() {
        let sent = sent(row);
        strong += if sent { *weight } else { 0.0 };
        solved += weight * if sent { pair.strong } else { pair.weak };
    }
    Some(Point { share: ratio(strong, total)?, solve_rate: ratio(solved, total)? })
}

/// A prompt with outcomes of both models.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub pair: Pair,
    /// Higher: needs the strong model.
    pub score: f64,
    /// Characters of the prompt.
    pub length: f64,
}

/// APGR, the share of calls to the strong model that wins back half and 80 % of the gap (CPT), and
/// what length alone, the truth and chance come to.
pub fn report(rows: &[Row]) -> Report {
    let pairs: Vec<Pair> = rows.iter().map(|row| row.pair).collect();
    let order = |score: fn(&Row) -> f64| Order::new(&pairs, &rows.iter().map(score).collect::<Vec<_>>());
    let (ours, length, oracle) =
        (order(|row| row.score), order(|row| row.length), order(|row| row.pair.strong - row.pair.weak));
    let n = rows.len();
    let mut report = Report::default();
    report.set("n", n);
    for (key, strong) in [("weak_quality", false), ("strong_quality", true)] {
        report.metric(key, n, |weights| Some(point(&pairs, |_| strong, weights)?.solve_rate));
    }
    report.metric("apgr", n, |weights| ours.apgr(weights));
    report.metric("cpt50", n, |weights| ours.cpt(0.5, weights));
    report.metric("cpt80", n, |weights| ours.cpt(0.8, weights));
    report.metric("length_apgr", n, |weights| length.apgr(weights));
    report.metric("apgr_minus_length", n, |weights| Some(ours.apgr(weights)? - length.apgr(weights)?));
    report.number("oracle_apgr", oracle.apgr(&vec![1.0; n]));
    report.number("random_apgr", Some(0.5));
    report
}

/// Prompts in the order in which a score sends them to the strong model. Weights count
/// repetitions of a prompt.
#[derive(Debug)]
pub struct Order<'a> {
    pairs: &'a [Pair],
    /// Highest score first; prompts that tie stand together.
    steps: Vec<Vec<usize>>,
}

impl<'a> Order<'a> {
    pub fn new(pairs: &'a [Pair], scores: &[f64]) -> Self {
        let mut rows: Vec<usize> = (0..pairs.len().min(scores.len())).collect();
        rows.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        Self { pairs, steps: rows.chunk_by(|&a, &b| scores[a] == scores[b]).map(<[usize]>::to_vec).collect() }
    }

    /// Prompts of each step, and what the strong model solves more of them.
    fn curve(&self, weights: &[f64]) -> impl Iterator<Item = (f64, f64)> {
        self.steps.iter().map(|step| {
            step.iter().fold((0.0, 0.0), |(width, gain), &row| {
                let Pair { weak, strong } = self.pairs[row];
                (width + weights[row], gain + weights[row] * (strong - weak))
            })
        })
    }

    /// Average performance gap recovered: PGR at k of N prompts is the share of what the strong
    /// model solves more than the weak one; this is its trapezoid mean over k = 0..N. `None` where the
    /// strong one solves no more.
    pub fn apgr(&self, weights: &[f64]) -> Option<f64> {
        let (mut width, mut gain, mut area) = (0.0, 0.0, 0.0);
        for (step, more) in self.curve(weights) {
            area += step * (gain + more / 2.0);
            width += step;
            gain += more;
        }
        ratio(area, width * gain.max(0.0))
    }

    /// Call-performance threshold: the smallest share of prompts for the strong model that recovers `share` of the gap.
    pub fn cpt(&self, share: f64, weights: &[f64]) -> Option<f64> {
        let rate = |strong| Some(point(self.pairs, |_| strong, weights)?.solve_rate);
        let (weak, strong) = (rate(false)?, rate(true)?);
        if strong <= weak {
            return None;
        }
        self.share_to_reach(weak + share * (strong - weak), weights)
    }

    /// Smallest share k/N of prompts, highest scores first, at which the mean solve rate reaches
    /// `solve_rate`; `None` where it never does.
    pub fn share_to_reach(&self, solve_rate: f64, weights: &[f64]) -> Option<f64> {
        /// Sums of the same outcomes in another order differ by less.
        const ROUNDING: f64 = 1e-9;
        let total: f64 = weights.iter().sum();
        let weak: f64 = self.pairs.iter().zip(weights).map(|(pair, weight)| pair.weak * weight).sum();
        let missing = solve_rate * total - weak - ROUNDING * total;
        let (mut sent, mut gain) = (0.0, 0.0);
        if missing <= 0.0 {
            return ratio(sent, total);
        }
        for (step, more) in self.curve(weights) {
            if gain + more >= missing {
                let of_step = (missing - gain) / more * step;
                return ratio(sent + of_step.ceil(), total);
            }
            sent += step;
            gain += more;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: [f64; 4] = [1.0; 4];

    /// Weak solves the first two, strong all but the second: gains 0, -1, 1, 1.
    fn pairs() -> Vec<Pair> {
        [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 1.0)].map(|(weak, strong)| Pair { weak, strong }).to_vec()
    }

    fn close(found: Option<f64>, expected: f64) {
        assert!(found.is_some_and(|found| (found - expected).abs() < 1e-6), "{found:?} is not {expected}");
    }

    #[test]
    fn apgr_of_known_orders() {
        let pairs = pairs();
        let of = |scores: [f64; 4]| Order::new(&pairs, &scores).apgr(&ONCE);
        // PGR 0, 1, 2, 2, 1: trapezoids 0.5 + 1.5 + 2 + 1.5 over 4.
        close(of([0.2, 0.1, 0.9, 0.8]), 5.5 / 4.0);
        // PGR 0, 0, -1, 0, 1.
        close(of([0.9, 0.8, 0.2, 0.1]), -0.5 / 4.0);
        // Ties are averaged: nothing known is a straight line.
        close(of([0.5; 4]), 0.5);
        // 0, then the tie of the two gains as 1 and 2, then 1.5 and 1.
        close(of([0.0, 0.0, 1.0, 1.0]), (0.5 + 1.5 + 1.75 + 1.25) / 4.0);
        let equal = [Pair { weak: 1.0, strong: 1.0 }; 4];
        assert_eq!(Order::new(&equal, &[1.0, 2.0, 3.0, 4.0]).apgr(&ONCE), None);
        let worse = [Pair { weak: 1.0, strong: 0.0 }];
        assert_eq!(Order::new(&worse, &[1.0]).apgr(&[1.0]), None);
    }

    #[test]
    fn weights_stand_for_repeated_prompts() {
        let pairs = pairs();
        let repeated: Vec<Pair> = [0, 2, 2, 3].map(|row| pairs[row]).to_vec();
        let scores = [0.4, 0.3, 0.2, 0.1];
        let again = Order::new(&repeated, &[0.4, 0.2, 0.2, 0.1]).apgr(&ONCE);
        close(Order::new(&pairs, &scores).apgr(&[1.0, 0.0, 2.0, 1.0]), again.unwrap());
    }

    #[test]
    fn the_fewest_prompts_that_reach_a_rate() {
        let pairs = pairs();
        let of = |scores: [f64; 4], rate| Order::new(&pairs, &scores).share_to_reach(rate, &ONCE);
        let best = [0.2, 0.1, 0.9, 0.8];
        close(of(best, 0.5), 0.0);
        close(of(best, 0.75), 0.25);
        close(of(best, 1.0), 0.5);
        // In the tie of two gains one prompt is enough for a quarter, two for less than half more.
        close(of([0.0, 0.0, 1.0, 1.0], 0.75), 0.25);
        close(of([0.0, 0.0, 1.0, 1.0], 0.8), 0.5);
        // Four that tie win 0.25 a prompt: three for 0.6875, four for 0.75.
        close(of([0.5; 4], 0.6875), 0.75);
        close(of([0.5; 4], 0.75), 1.0);
        assert_eq!(of([0.9, 0.8, 0.2, 0.1], 1.0), None);
    }

    #[test]
    fn a_choice_has_a_rate_and_a_cost() {
        let found = point(&pairs(), |row| row >= 2, &ONCE).unwrap();
        assert_eq!(found, Point { share: 0.5, solve_rate: 1.0 });
        assert_eq!(Prices { weak: 1.0, strong: 25.0 }.cost(found.share), 13.0);
        assert_eq!(point(&[], |_| true, &[]), None);
    }
}
