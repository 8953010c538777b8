//! How well a predictor foresees prompts that it was not fitted on: five folds, each foreseen from the other four.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use super::{FAR, OutcomesError, Row, difficulty, group};
use crate::eval::stats::{Ranked, SplitMix, calibration_error, ratio};
use crate::minds::quality::{Difficulty, Predictor};

const FOLDS: usize = 5;

/// One model's, over all folds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    pub n: usize,
    /// Mean outcome.
    pub quality: f64,
    /// Of telling good answers (0.5 or more) from others; `None` where all are alike.
    pub auc: Option<f64>,
    pub brier: f64,
    /// Expected calibration error.
    pub ece: f64,
}

/// What was said of held-out prompts and what came true, by model.
type Said = BTreeMap<String, Vec<(f64, f64)>>;

/// By model; beside it the likeness that all but a few held-out prompts reach, see
/// [`Group::near`](crate::minds::quality::Group::near). `base`: a difficulty that is kept. A thread for each fold.
pub fn scores(rows: &[&Row], base: Option<&Difficulty>) -> Result<(BTreeMap<String, Score>, f32), OutcomesError> {
    let mut random = SplitMix(2);
    let folds: Vec<usize> = rows.iter().map(|_| random.below(FOLDS)).collect();
    let folds = &folds;
    let (mut said, mut nearest) = (Said::new(), Vec::new());
    let found: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = (0..FOLDS).map(|out| scope.spawn(move || fold(rows, folds, out, base))).collect();
        started.into_iter().map(|thread| thread.join().unwrap_or(Err(OutcomesError::Singular))).collect()
    });
    for found in found {
        let (of_fold, near) = found?;
        of_fold.into_iter().for_each(|(model, one)| said.entry(model).or_default().extend(one));
        nearest.extend(near);
    }
    nearest.sort_by(f32::total_cmp);
    let near = nearest.get((nearest.len() as f64 * FAR) as usize).copied().unwrap_or(1.0);
    Ok((said.into_iter().filter_map(|(model, said)| Some((model, score(&said)?))).collect(), near))
}

/// The rows of fold `out`, foreseen from the others, and how near the nearest landmark was.
fn fold(
    rows: &[&Row],
    folds: &[usize],
    out: usize,
    base: Option<&Difficulty>,
) -> Result<(Said, Vec<f32>), OutcomesError> {
    let (held, fitted): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|row| folds[*row] == out);
    let fitted: Vec<&Row> = fitted.into_iter().map(|row| rows[row]).collect();
    let difficulty = base.cloned().map_or_else(|| difficulty(&fitted), Ok)?;
    // Everything counts here, however far.
    let group = group(&fitted, &difficulty, f32::MIN_POSITIVE)?;
    let landmarks = group.landmarks.clone();
    let predictor = Predictor { difficulty, groups: vec![group] };
    let (mut said, mut nearest) = (Said::new(), Vec::new());
    for row in held.into_iter().map(|row| rows[row]) {
        let foresight = predictor.foresee(&row.features, Arc::from(""));
        for foreseen in &foresight.models {
            if let Some(outcome) = row.outcomes.get(&*foreseen.model) {
                said.entry(foreseen.model.to_string()).or_default().push((f64::from(foreseen.quality), *outcome));
            }
        }
        let shape = landmarks.standardised(&row.features);
        nearest.push(landmarks.likeness(&shape, &row.features.embedding).fold(0.0, f32::max));
    }
    Ok((said, nearest))
}

fn score(said: &[(f64, f64)]) -> Option<Score> {
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| ratio(said.iter().map(of).sum(), said.len() as f64);
    Some(Score {
        n: said.len(),
        quality: mean(&|(_, outcome)| *outcome)?,
        auc: Ranked::new(said.iter().map(|(p, outcome)| (*p, *outcome >= 0.5))).auc(&vec![1.0; said.len()]),
        brier: mean(&|(p, outcome)| (p - outcome).powi(2))?,
        ece: calibration_error(said.iter().map(|(p, outcome)| (*p, *outcome, 1.0)))?,
    })
}
