//! What graded answers prove so far: how good each model is, how far apart two are on the same prompts, and how many
//! more prompts would settle which is better. Pure.
//!
//! Few prompts prove little even where all of them agree. So the difference of two models is told as Agresti and Min
//! do it for matched pairs: two more prompts are imagined, spread evenly over the four ways that two answers can
//! come out. An interval of "0 to 0" after five prompts cannot happen.

use crate::eval::{binomial, stats};

/// Standard deviations on either side of a 95 % interval.
const Z95: f64 = 1.959_964;

/// The same for a power of 80 %.
const Z80: f64 = 0.841_621;

/// A difference in quality below this is "about zero": worth no settling of its own.
pub const WORTH: f64 = 0.02;

/// One model on all its prompts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    pub n: usize,
    pub mean: f64,
    pub ci95: Option<(f64, f64)>,
}

/// Two models on the prompts that both answered: how much better the second is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    pub n: usize,
    pub mean: f64,
    pub ci95: (f64, f64),
    /// The difference that [`Self::more`] would show: the one seen, or [`WORTH`] where that is about zero and fewer
    /// prompts than that were asked.
    pub planned: f64,
    /// Prompts still to be asked, so that a true difference of that size would be seen four times in five.
    pub more: usize,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The interval leaves zero out.
    Differ,
    /// The interval leaves out every difference that is worth something.
    Same,
    Open,
}

/// The mean of grades from 0 to 1: with the exact interval of a share where all are right or wrong, else by bootstrap.
pub fn quality(grades: &[f64]) -> Quality {
    let n = grades.len();
    let mean = grades.iter().sum::<f64>() / n.max(1) as f64;
    let ci95 = if grades.iter().all(|grade| *grade == 0.0 || *grade == 1.0) {
        binomial::interval(grades.iter().filter(|grade| **grade == 1.0).count(), n)
    } else {
        stats::interval(n, |weights| {
            let sum = grades.iter().zip(weights).map(|(grade, weight)| grade * weight).sum();
            stats::ratio(sum, weights.iter().sum())
        })
    };
    Quality { n, mean, ci95 }
}

/// Compares two models by their grades on the same prompts; `None` for no prompts.
pub fn difference(pairs: &[(f64, f64)]) -> Option<Difference> {
    let n = pairs.len();
    if n == 0 {
        return None;
    }
    let differences = || pairs.iter().map(|(first, second)| second - first);
    let sum: f64 = differences().sum();
    // Of the two imagined prompts half a one differs each way, and one does not differ.
    let (imagined, squares) = (n as f64 + 2.0, differences().map(|one| one * one).sum::<f64>() + 1.0);
    let shrunk = sum / imagined;
    let variance = squares / imagined - shrunk * shrunk;
    let margin = Z95 * (variance / imagined).sqrt();
    let ci95 = ((shrunk - margin).max(-1.0), (shrunk + margin).min(1.0));
    let mean = sum / n as f64;
    let verdict = match ci95 {
        (low, high) if low > 0.0 || high < 0.0 => Verdict::Differ,
        (low, high) if low > -WORTH && high < WORTH => Verdict::Same,
        _ => Verdict::Open,
    };
    let more = |difference: f64| prompts(variance, difference).saturating_sub(n);
    let (planned, more) = match (mean.abs().max(WORTH), verdict) {
        (planned, Verdict::Differ | Verdict::Same) => (planned, 0),
        // As many as would show what is worth it, and still open: what is seen is smaller.
        (planned, Verdict::Open) if more(planned) == 0 => (mean.abs(), more(mean.abs())),
        (planned, Verdict::Open) => (planned, more(planned)),
    };
    Some(Difference { n, mean, ci95, planned, more, verdict })
}

/// Prompts after which a paired difference of this size is told from none with 80 % power at the 5 % level.
fn prompts(variance: f64, difference: f64) -> usize {
    let needed = ((Z95 + Z80) / difference).powi(2) * variance;
    // A float that is too large saturates.
    needed.ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `both` right, `first` only, `second` only, `neither`.
    fn pairs(both: usize, first: usize, second: usize, neither: usize) -> Vec<(f64, f64)> {
        let of = |n: usize, pair: (f64, f64)| std::iter::repeat_n(pair, n);
        of(both, (1.0, 1.0))
            .chain(of(first, (1.0, 0.0)))
            .chain(of(second, (0.0, 1.0)))
            .chain(of(neither, (0.0, 0.0)))
            .collect()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }

    #[test]
    fn a_known_interval() {
        // Agresti and Min's formula by hand, on the approval ratings that textbooks show: 1600 pairs, 150 and 86 differ.
        let found = difference(&pairs(794, 150, 86, 570)).unwrap();
        assert_eq!((found.n, found.verdict, found.more), (1600, Verdict::Differ, 0));
        close(found.mean, -0.04);
        let (imagined, sum) = (1602.0, -64.0_f64);
        let variance: f64 = (237.0 / imagined) - (sum / imagined).powi(2);
        close(found.ci95.0, sum / imagined - 1.959_964 * (variance / imagined).sqrt());
        close(found.ci95.0, -0.058_7);
        close(found.ci95.1, -0.021_2);
    }

    #[test]
    fn few_prompts_that_agree_prove_little() {
        let found = difference(&pairs(5, 0, 0, 0)).unwrap();
        assert_eq!((found.mean, found.verdict, found.planned), (0.0, Verdict::Open, WORTH));
        assert!(found.ci95.0 < -0.2 && found.ci95.1 > 0.2 && found.more > 1000, "{found:?}");
        assert_eq!(difference(&[]), None);
        let alike = difference(&pairs(2000, 5, 5, 1000)).unwrap();
        assert_eq!((alike.verdict, alike.more), (Verdict::Same, 0));
    }

    #[test]
    fn a_small_difference_stays_open_until_it_is_seen() {
        let found = difference(&pairs(2000, 280, 320, 1400)).unwrap();
        assert_eq!((found.n, found.verdict), (4000, Verdict::Open));
        close(found.planned, 0.01);
        assert!((7_000..8_500).contains(&found.more), "{}", found.more);
    }

    #[test]
    fn the_prompts_asked_for_would_settle_it() {
        // Four in a hundred more right, fourteen in a hundred differ.
        let few = pairs(40, 5, 9, 46);
        let found = difference(&few).unwrap();
        assert_eq!(found.verdict, Verdict::Open);
        close(found.planned, 0.04);
        assert!((550..750).contains(&found.more), "{}", found.more);
        // As many as were asked for, of the same kind: the share of such samples that show it is the power.
        let n = found.n + found.more;
        let mut random = stats::SplitMix(7);
        let draws = 400;
        let shown = (0..draws)
            .filter(|_| {
                let drawn: Vec<(f64, f64)> = (0..n).map(|_| few[random.below(few.len())]).collect();
                difference(&drawn).unwrap().verdict == Verdict::Differ
            })
            .count();
        let power = shown as f64 / f64::from(draws);
        assert!((0.74..0.92).contains(&power), "{power}");
    }

    #[test]
    fn grades_between_have_intervals_too() {
        let exact = quality(&[vec![1.0; 8], vec![0.0; 2]].concat());
        assert_eq!((exact.n, exact.mean), (10, 0.8));
        close(exact.ci95.unwrap().0, 0.443_9);
        close(exact.ci95.unwrap().1, 0.974_8);
        let all_right = quality(&[1.0; 10]);
        assert!(all_right.ci95.unwrap().0 < 0.7, "{all_right:?}");
        let (low, high) = quality(&[0.5, 1.0, 0.0, 0.5, 1.0, 0.5]).ci95.unwrap();
        assert!(low > 0.1 && low < 0.5 && high > 0.7 && high < 1.0, "{low} {high}");
        assert_eq!(quality(&[]).ci95, None);
        let halves = difference(&[(0.5, 1.0), (0.5, 0.5), (0.0, 0.5), (1.0, 1.0)]).unwrap();
        close(halves.mean, 0.25);
    }
}
