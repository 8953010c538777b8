//! Statistics on weighted rows: resampling, ranks, areas.

/// Resamples behind an interval.
const RESAMPLES: usize = 1000;

/// The 95 % percentile bootstrap interval of a metric over `rows` rows; `None` where the
/// metric is undefined or there are fewer than two rows. The seed is fixed: the same data
/// give the same interval.
pub fn interval(rows: usize, metric: impl Fn(&[f64]) -> Option<f64>) -> Option<(f64, f64)> {
    stratified(&[rows], metric)
}

/// The same where the rows stand in groups, one after another, and each is resampled on its own.
pub fn stratified(groups: &[usize], metric: impl Fn(&[f64]) -> Option<f64>) -> Option<(f64, f64)> {
    let rows = groups.iter().sum();
    if rows < 2 {
        return None;
    }
    let mut random = SplitMix(0x6d6f_6d00);
    let mut weights = vec![0.0; rows];
    let mut values: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            weights.fill(0.0);
            let mut first = 0;
            for &group in groups {
                for _ in 0..group {
                    weights[first + random.below(group)] += 1.0;
                }
                first += group;
            }
            metric(&weights)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((share * values.len().saturating_sub(1) as f64).round() as usize).copied();
    Some((at(0.025)?, at(0.975)?))
}

/// A small, good enough generator with a fixed sequence.
#[derive(Debug)]
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    /// A number from 0 up to `bound`, exclusive.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * bound as u128) >> 64) as usize
    }
}

/// `a / b`, undefined for nothing.
pub fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// Equal-width bins of [`calibration_error`].
const BINS: usize = 15;

/// Expected calibration error: rows of a stated probability, what came true (0..1) and a weight.
pub fn calibration_error(rows: impl IntoIterator<Item = (f64, f64, f64)>) -> Option<f64> {
    let (mut bins, mut total) = ([[0.0_f64; 2]; BINS], 0.0);
    for (stated, truth, weight) in rows {
        let bin = &mut bins[((stated * BINS as f64) as usize).min(BINS - 1)];
        bin[0] += weight * stated;
        bin[1] += weight * truth;
        total += weight;
    }
    ratio(bins.iter().map(|[stated, truth]| (stated - truth).abs()).sum(), total)
}

pub fn f1(true_positive: f64, false_positive: f64, false_negative: f64) -> Option<f64> {
    ratio(2.0 * true_positive, 2.0 * true_positive + false_positive + false_negative)
}

/// Scores of two classes, sorted once, then measured under any weights.
#[derive(Debug)]
pub struct Ranked {
    /// Row index, score, whether positive; lowest score first.
    rows: Vec<(usize, f64, bool)>,
}

impl Ranked {
    pub fn new(scored: impl IntoIterator<Item = (f64, bool)>) -> Self {
        let scored = scored.into_iter().enumerate();
        let mut rows: Vec<_> = scored.map(|(index, (score, positive))| (index, score, positive)).collect();
        rows.sort_by(|a, b| a.1.total_cmp(&b.1));
        Self { rows }
    }

    /// Weight of positives and negatives per distinct score, lowest score first.
    fn steps<'a>(&'a self, weights: &'a [f64]) -> impl DoubleEndedIterator<Item = (f64, f64)> + 'a {
        self.rows.chunk_by(|a, b| a.1 == b.1).map(|ties| {
            let sum = |wanted: bool| {
                ties.iter()
                    .filter(|tie| tie.2 == wanted)
                    .map(|tie| weights.get(tie.0).copied().unwrap_or(0.0))
                    .sum::<f64>()
            };
            (sum(true), sum(false))
        })
    }

    /// Probability that a positive scores above a negative; ties count half.
    pub fn auc(&self, weights: &[f64]) -> Option<f64> {
        let (mut positives, mut negatives, mut area) = (0.0, 0.0, 0.0);
        for (positive, negative) in self.steps(weights) {
            area += positive * (negatives + negative / 2.0);
            positives += positive;
            negatives += negative;
        }
        ratio(area, positives * negatives)
    }

    /// Largest share of positives at a threshold that at most `budget` of the negatives reach.
    pub fn recall_at(&self, budget: f64, weights: &[f64]) -> Option<f64> {
        let (positives, negatives) = self.steps(weights).fold((0.0, 0.0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
        ratio(positives, positives)?;
        let (mut caught, mut flagged) = (0.0, 0.0);
        for (positive, negative) in self.steps(weights).rev() {
            flagged += negative;
            if flagged > budget * negatives {
                break;
            }
            caught += positive;
        }
        ratio(caught, positives)
    }
}

/// Pairs of values with their rank order fixed once.
#[derive(Debug)]
pub struct Pairs {
    left: Vec<f64>,
    right: Vec<f64>,
    by_left: Vec<usize>,
    by_right: Vec<usize>,
}

impl Pairs {
    pub fn new(pairs: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let (left, right): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let order = |values: &[f64]| {
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
            order
        };
        Self { by_left: order(&left), by_right: order(&right), left, right }
    }

    /// Spearman's rank correlation, ties sharing their mean rank.
    pub fn spearman(&self, weights: &[f64]) -> Option<f64> {
        pearson(&ranks(&self.left, &self.by_left, weights), &ranks(&self.right, &self.by_right, weights), weights)
    }
}

fn ranks(values: &[f64], order: &[usize], weights: &[f64]) -> Vec<f64> {
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0.0;
    for ties in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let weight: f64 = ties.iter().map(|&row| weights[row]).sum();
        ties.iter().for_each(|&row| ranks[row] = below + weight / 2.0);
        below += weight;
    }
    ranks
}

fn pearson(left: &[f64], right: &[f64], weights: &[f64]) -> Option<f64> {
    let total: f64 = weights.iter().sum();
    let mean = |values: &[f64]| ratio(values.iter().zip(weights).map(|(v, w)| v * w).sum(), total);
    let (mean_left, mean_right) = (mean(left)?, mean(right)?);
    let (mut both, mut squares_left, mut squares_right) = (0.0, 0.0, 0.0);
    for ((left, right), weight) in left.iter().zip(right).zip(weights) {
        let (left, right) = (left - mean_left, right - mean_right);
        both += weight * left * right;
        squares_left += weight * left * left;
        squares_right += weight * right * right;
    }
    ratio(both, (squares_left * squares_right).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) {
        assert!(found.is_some_and(|found| (found - expected).abs() < 1e-9), "{found:?} is not {expected}");
    }

    #[test]
    fn auc_of_known_orders() {
        let of = |rows: &[(f64, bool)]| Ranked::new(rows.iter().copied()).auc(&vec![1.0; rows.len()]);
        close(of(&[(0.1, false), (0.4, false), (0.35, true), (0.8, true)]), 0.75);
        close(of(&[(0.5, false), (0.5, true)]), 0.5);
        close(of(&[(0.9, false), (0.1, true)]), 0.0);
        assert_eq!(of(&[(0.9, true)]), None);
    }

    #[test]
    fn recall_within_a_budget() {
        let rows =
            (0..100).map(|n| (f64::from(n), false)).chain([(98.5, true), (99.5, true), (50.0, true), (97.5, true)]);
        let ranked = Ranked::new(rows);
        close(ranked.recall_at(0.01, &[1.0; 104]), 0.5);
        close(ranked.recall_at(0.02, &[1.0; 104]), 0.75);
        close(ranked.recall_at(0.0, &[1.0; 104]), 0.25);
        assert_eq!(Ranked::new([(1.0, false)]).recall_at(0.01, &[1.0]), None);
    }

    #[test]
    fn spearman_of_known_ranks() {
        let of = |left: &[f64], right: &[f64]| {
            Pairs::new(left.iter().copied().zip(right.iter().copied())).spearman(&vec![1.0; left.len()])
        };
        close(of(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]), 0.820_782_681_668_123_3);
        close(of(&[1.0, 2.0, 3.0], &[9.0, 4.0, 1.0]), -1.0);
        assert_eq!(of(&[1.0, 1.0], &[1.0, 2.0]), None);
    }

    #[test]
    fn weights_stand_for_repeated_rows() {
        let pairs = [(1.0, 2.0), (2.0, 1.0), (3.0, 3.0)];
        let repeated = Pairs::new([pairs[0], pairs[0], pairs[2], pairs[1]]).spearman(&[1.0; 4]);
        close(Pairs::new(pairs).spearman(&[2.0, 1.0, 1.0]), repeated.unwrap());
        let ranked = Ranked::new([(0.2, false), (0.1, true), (0.3, true)]);
        close(ranked.auc(&[1.0, 3.0, 1.0]), 0.25);
    }

    #[test]
    fn the_interval_of_a_share() {
        // 100 rows, 80 right: the normal approximation gives 0.80 +- 0.078.
        let share = |weights: &[f64]| ratio(weights[..80].iter().sum(), weights.iter().sum());
        let (low, high) = interval(100, share).unwrap();
        assert!((low - 0.72).abs() < 0.02 && (high - 0.88).abs() < 0.02, "{low} {high}");
        assert_eq!(interval(1, share), None);
        // Every resample takes as many rows from each group as it has: what differs between groups only, varies not.
        assert_eq!(stratified(&[80, 20], share), Some((0.8, 0.8)));
        assert_eq!(interval(5, |_| None), None);
    }
}
