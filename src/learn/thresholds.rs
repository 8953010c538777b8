//! A guard's threshold from benign traffic: how many requests may be flagged by mistake, and
//! from which score that holds. Counts requests, not windows.
//!
//! Asymmetric on purpose. A file that shows too many false alarms raises the threshold at
//! once; one that shows few lowers it only as far as it proves that the budget holds, with
//! 95 % confidence, on traffic like it.

use std::str::FromStr;

use crate::eval::binomial;

/// Decimals a threshold is rounded up to; more only where scores crowd below 1.
const DECIMALS: [i32; 3] = [4, 5, 6];

/// The share of benign requests that may be flagged, above 0 and below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget(f64);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    #[error("write it as a percentage, for example 0.5%")]
    NotAPercentage,
    #[error("a budget is above 0% and below 100%")]
    OutOfRange,
}

/// A threshold and what it does to the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub threshold: f32,
    /// Requests that reach it, of all.
    pub flagged: usize,
    pub requests: usize,
    /// The exact 95 % interval of the share behind that count. For a threshold that was found
    /// on the file its upper end still holds: it is the tolerance limit of an order statistic.
    pub ci95: (f64, f64),
}

/// What to do with the present threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The file breaks the budget at the present threshold.
    Raise,
    /// The file proves that a lower one keeps it.
    Lower,
    Keep,
}

/// What a file of benign requests says about a threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    pub present: Point,
    /// The lowest threshold at which the file keeps the budget. `None`: too many requests have
    /// the highest score there is.
    pub within: Option<Point>,
    /// The lowest at which it proves the budget. `None`: there are too few requests, or too many
    /// with the highest score.
    pub proven: Option<Point>,
    pub change: Change,
    /// The threshold to use. `None`: none keeps the budget.
    pub advised: Option<Point>,
    /// Requests it takes to prove the budget when none of them is flagged.
    pub requests_needed: f64,
}

impl Budget {
    pub fn share(self) -> f64 {
        self.0
    }

    /// The most of `requests` that may be flagged.
    pub fn allows(self, requests: usize) -> usize {
        // 0.7 % of 1000 is 7, whatever floating point makes of it.
        (self.0 * requests as f64 + 1e-9) as usize
    }

    /// The most of `requests` that may be flagged for the interval's upper end to keep the budget.
    fn proves(self, requests: usize) -> Option<usize> {
        let proves = |flagged: usize| binomial::shows(flagged, requests, self.0);
        let (mut yes, mut no) = (proves(0).then_some(0)?, self.allows(requests) + 1);
        while yes + 1 < no {
            let middle = yes.midpoint(no);
            if proves(middle) { yes = middle } else { no = middle }
        }
        Some(yes)
    }
}

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let percent = text.trim().strip_suffix('%').ok_or(BudgetError::NotAPercentage)?;
        let percent: f64 = percent.trim().parse().map_err(|_| BudgetError::NotAPercentage)?;
        let inside = percent > 0.0 && percent < 100.0;
        if inside { Ok(Self(percent / 100.0)) } else { Err(BudgetError::OutOfRange) }
    }
}

impl Point {
    /// `scores`: one a request; `None` for no requests.
    fn at(threshold: f32, scores: &[f32]) -> Option<Self> {
        Self::new(threshold, scores.iter().filter(|score| **score >= threshold).count(), scores.len())
    }

    /// `None` for no requests.
    pub fn new(threshold: f32, flagged: usize, requests: usize) -> Option<Self> {
        let ci95 = binomial::interval(flagged, requests)?;
        Some(Self { threshold, flagged, requests, ci95 })
    }

    pub fn share(&self) -> f64 {
        self.flagged as f64 / self.requests as f64
    }
}

/// `scores`: the highest score of each benign request; `present`: the threshold in use. `None`
/// for no requests.
pub fn advise(scores: &[f32], present: f32, budget: Budget) -> Option<Advice> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let point = |allowed: usize| Point::at(lowest(&sorted, allowed)?, &sorted);
    let present = Point::at(present, &sorted)?;
    let allowed = budget.allows(sorted.len());
    let within = point(allowed);
    let proven = budget.proves(sorted.len()).and_then(point);
    let (change, advised) = match proven {
        _ if present.flagged > allowed => (Change::Raise, within),
        Some(proven) if proven.threshold < present.threshold => (Change::Lower, Some(proven)),
        _ => (Change::Keep, Some(present)),
    };
    let requests_needed = binomial::trials_to_show(budget.share());
    Some(Advice { present, within, proven, change, advised, requests_needed })
}

/// The lowest threshold, in few decimals, that at most `allowed` scores reach. Scores that tie
/// are flagged together or not at all. `sorted`: highest first.
fn lowest(sorted: &[f32], allowed: usize) -> Option<f32> {
    let score = *sorted.get(allowed)?;
    let above = |decimals: i32| {
        let scale = 10_f64.powi(decimals);
        let step = (f64::from(score) * scale).floor();
        // As it will be read back from the configuration, where the next step may be this very score.
        let mut next = [step + 1.0, step + 2.0].into_iter().map(|step| (step / scale) as f32);
        next.find(|next| *next > score).filter(|next| *next < 1.0)
    };
    DECIMALS.into_iter().find_map(above).or_else(|| (score < 1.0).then_some(1.0))
}

/// Recall at a threshold, as recorded in `[threshold, recall, false_positive_rate]` rows: that of
/// the next listed threshold up, so that it is never flattered. `None` beyond the table.
pub fn recall_at(roc: &[[f32; 3]], threshold: f32) -> Option<f32> {
    let above = roc.iter().filter(|row| row[0] >= threshold);
    above.min_by(|a, b| a[0].total_cmp(&b[0])).map(|row| row[1])
}

#[cfg(test)]
mod tests;
