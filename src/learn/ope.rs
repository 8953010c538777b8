//! Off-policy evaluation: whether the learned policy is better than the configured one, told from requests that the
//! configured one (and chance) decided.
//!
//! Doubly robust (Dudík, Langford & Li, "Doubly Robust Policy Evaluation and Learning", 2011): what the regression says
//! of the policy's choice, mended by the scores of those requests where that choice was made, each over the probability
//! with which it was. The mending is right because propensities are known; the regression makes it steady.
//!
//! Nothing is judged by what it taught. Rows come in the order in which they were decided, and each is judged by the
//! policy and the regression that all *earlier* rows make, then learnt from. So the terms are a martingale's, whatever
//! policy decided before (Howard & Ramdas, "Time-uniform, nonparametric, nonasymptotic confidence sequences", 2021,
//! has the theory), and early, ignorant policies count against the learned one. The first fifth only teaches.
//!
//! Most requests get no score. They count with what the regression says; a score stands for those of its backend that
//! have none. Assumed: whether a request is scored hangs on the backend and not on how good the answer was. Where it
//! hangs on the request too, the estimate is as right as the regression is.

use super::bandit::{Bandit, Context, Offer, Tuning};

/// A request that was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub context: Context,
    /// Those that were eligible.
    pub offers: Vec<Offer>,
    /// What the configured policy would take of them, and what was taken.
    pub base: usize,
    pub chosen: usize,
    /// Probability with which `chosen` was.
    pub propensity: f64,
    /// 0..1.
    pub score: Option<f64>,
}

/// Fewest requests, in effect, that have to speak for each side: scored, where the two policies differ, and decided
/// as the one or as the other would have. With fewer an interval is no more than a guess.
pub const ENOUGH: f64 = 50.0;

/// Of the rows: these only teach.
const TEACHING: f64 = 0.2;

/// Standard errors on each side of a 95 % interval.
const Z: f64 = 1.96;

/// What has to be above 0 before a policy acts lies so many standard errors below the difference. More than for an
/// interval: the question is asked again and again, and a few rows of great weight make the interval's lower end come out
/// too high more often than its share (docs/economics.md).
const PROVEN: f64 = 3.0;

/// What the learned policy is worth beside the configured one, in qualities: a score less its cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The difference is above 0 by three standard errors, and there is [`ENOUGH`] behind it.
    pub better: bool,
    /// The whole interval is below 0.
    pub worse: bool,
    /// Rows that were judged, and those of them with a score.
    pub n: usize,
    pub scored: usize,
    /// Effective sample size of the side that has less, see [`ENOUGH`].
    pub ess: f64,
    /// Share of rows where the two differ.
    pub differ: f64,
    pub learned: f64,
    pub base: f64,
    /// The first less the second, and its 95 % interval. Weights are not clipped: exploration bounds them.
    pub difference: f64,
    pub ci95: (f64, f64),
}

/// One row as the policies that went before see it.
struct Judged {
    /// What the regression says of both choices, less their costs.
    learned: f64,
    base: f64,
    differ: bool,
    /// Whether the row decided as the one or the other.
    as_learned: bool,
    as_base: bool,
    arm: usize,
    propensity: f64,
    /// Score less what the regression had said of it.
    error: Option<f64>,
}

/// `worth_usd`: of a good answer instead of a bad one. A row that contradicts itself is left out.
pub fn evaluate<'a>(rows: impl IntoIterator<Item = &'a Row>, worth_usd: f64, tuning: Tuning) -> Verdict {
    let mut bandit = Bandit::new(tuning);
    let mut arms: Vec<&str> = Vec::new();
    let mut judged = Vec::new();
    for row in rows.into_iter().filter(|row| row.is_sane()) {
        let Some(best) = bandit.best(&row.context, &row.offers, worth_usd) else { continue };
        let taken = &row.offers[row.chosen];
        let arm = arms.iter().position(|known| *known == taken.arm).unwrap_or_else(|| {
            arms.push(&taken.arm);
            arms.len() - 1
        });
        let value = |at: usize| bandit.value(&row.context, &row.offers[at], worth_usd);
        judged.push(Judged {
            learned: value(best),
            base: value(row.base),
            differ: best != row.base,
            as_learned: row.chosen == best,
            as_base: row.chosen == row.base,
            arm,
            propensity: row.propensity,
            error: row.score.map(|score| score - bandit.quality(&row.context, &taken.arm, taken.predicted)),
        });
        if let Some(score) = row.score {
            bandit.update(&row.context, &taken.arm, taken.predicted, score, 1.0);
        }
    }
    let teaching = (judged.len() as f64 * TEACHING) as usize;
    conclude(&judged[teaching..], arms.len())
}

impl Row {
    fn is_sane(&self) -> bool {
        let within = self.base < self.offers.len() && self.chosen < self.offers.len();
        within && self.propensity > 0.0 && self.propensity <= 1.0
    }
}

fn conclude(rows: &[Judged], arms: usize) -> Verdict {
    let n = rows.len() as f64;
    let scored = rows.iter().filter(|row| row.error.is_some()).count();
    if scored == 0 {
        return Verdict { n: rows.len(), ..Verdict::default() };
    }
    // How often an answer of each backend is scored.
    let mut seen = vec![[0.0_f64; 2]; arms];
    for row in rows {
        seen[row.arm][0] += 1.0;
        seen[row.arm][1] += f64::from(u8::from(row.error.is_some()));
    }
    let weight = |row: &Judged| seen[row.arm][0] / seen[row.arm][1] / row.propensity;
    let mended = |row: &Judged, is_its: bool| match row.error {
        Some(error) if is_its => weight(row) * error,
        _ => 0.0,
    };
    let learned = |row: &Judged| row.learned + mended(row, row.as_learned);
    let base = |row: &Judged| row.base + mended(row, row.as_base);
    let mean = |of: &dyn Fn(&Judged) -> f64| rows.iter().map(of).sum::<f64>() / n;
    let difference = mean(&|row| learned(row) - base(row));
    let variance = mean(&|row| (learned(row) - base(row) - difference).powi(2));
    let error = (variance / n).sqrt();
    let margin = Z * error;
    let ci95 = (difference - margin, difference + margin);
    let side = |is_its: fn(&Judged) -> bool| {
        let speaking = rows.iter().filter(|row| row.differ && row.error.is_some() && is_its(row));
        let (sum, squares) = speaking.map(weight).fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
        if squares > 0.0 { sum * sum / squares } else { 0.0 }
    };
    let ess = side(|row| row.as_learned).min(side(|row| row.as_base));
    Verdict {
        better: difference - PROVEN * error > 0.0 && ess >= ENOUGH,
        worse: ci95.1 < 0.0 && ess >= ENOUGH,
        n: rows.len(),
        scored,
        ess,
        differ: mean(&|row| f64::from(u8::from(row.differ))),
        learned: mean(&learned),
        base: mean(&base),
        difference,
        ci95,
    }
}

#[cfg(test)]
mod tests;
