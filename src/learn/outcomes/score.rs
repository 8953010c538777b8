//! How well a predictor foresees prompts that it was not fitted on: five folds, each foreseen from the other four. And
//! how far that carries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use super::{OutcomesError, Row, difficulty, group, landmarks};
use crate::eval::stats::{Ranked, SplitMix, calibration_error, ratio};
use crate::minds::quality::{Difficulty, Predictor};

const FOLDS: usize = 5;

/// Of prompts whose whole group was left out this share is further from all landmarks than
/// [`Group::near`](crate::minds::quality::Group::near).
const FAR: f64 = 0.1;

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

/// How far outcomes carry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Carries {
    /// See [`Group::near`](crate::minds::quality::Group::near).
    pub near: f32,
    /// By model, 0..1: the share of what likeness to known prompts adds that came true of others. 1 where it is not named.
    pub trust: BTreeMap<String, f32>,
}

/// What held-out prompts say, scores by model.
#[derive(Clone, Debug)]
pub struct Measured {
    pub scores: BTreeMap<String, Score>,
    pub carries: Carries,
}

/// What was said of a held-out prompt and what came true.
#[derive(Clone, Copy)]
struct Said {
    fold: usize,
    by_difficulty: f64,
    /// What likeness adds to it.
    added: f64,
    outcome: f64,
}

/// `base`: a difficulty that is kept. A thread for each fold.
pub fn measure(rows: &[&Row], base: Option<&Difficulty>) -> Result<Measured, OutcomesError> {
    let mut random = SplitMix(2);
    let folds: Vec<usize> = rows.iter().map(|_| random.below(FOLDS)).collect();
    let whole = whole(rows, &folds);
    let (folds, whole) = (&folds, &whole);
    let one = &|out| Ok((fold(rows, folds, out, base)?, nearest(rows, whole, out)));
    let found: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = (0..FOLDS).map(|out| scope.spawn(move || one(out))).collect();
        started.into_iter().map(|thread| thread.join().unwrap_or(Err(OutcomesError::Singular))).collect()
    });
    let (mut said, mut nearest) = (BTreeMap::<String, Vec<Said>>::new(), Vec::new());
    for found in found {
        let (of_fold, near) = found?;
        of_fold.into_iter().for_each(|(model, one)| said.entry(model).or_default().push(one));
        nearest.extend(near);
    }
    nearest.sort_by(f32::total_cmp);
    let near = nearest.get((nearest.len() as f64 * FAR) as usize).copied().unwrap_or(1.0);
    let trust = said.iter().map(|(model, said)| (model.clone(), trusted(said.iter()) as f32)).collect();
    let scores = said.into_iter().filter_map(|(model, said)| Some((model, score(&said)?))).collect();
    Ok(Measured { scores, carries: Carries { near, trust } })
}

/// Folds of whole groups; where there are too few of them, those of the rows.
fn whole(rows: &[&Row], folds: &[usize]) -> Vec<usize> {
    let mut groups: BTreeMap<&str, usize> = rows.iter().map(|row| (&*row.group, 0)).collect();
    if groups.len() < FOLDS {
        return folds.to_vec();
    }
    let mut random = SplitMix(3);
    let mut order: Vec<usize> = (0..groups.len()).collect();
    (0..order.len()).for_each(|at| order.swap(at, at + random.below(groups.len() - at)));
    groups.values_mut().zip(order).for_each(|(fold, at)| *fold = at % FOLDS);
    rows.iter().map(|row| groups[&*row.group]).collect()
}

fn split<'a>(rows: &[&'a Row], folds: &[usize], out: usize) -> (Vec<&'a Row>, Vec<&'a Row>) {
    let (held, fitted): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|row| folds[*row] == out);
    let of = |indices: Vec<usize>| indices.into_iter().map(|row| rows[row]).collect();
    (of(held), of(fitted))
}

/// The rows of fold `out`, foreseen from the others, by model.
fn fold(
    rows: &[&Row],
    folds: &[usize],
    out: usize,
    base: Option<&Difficulty>,
) -> Result<Vec<(String, Said)>, OutcomesError> {
    let (held, fitted) = split(rows, folds, out);
    let difficulty = base.cloned().map_or_else(|| difficulty(&fitted), Ok)?;
    // Everything counts here, however far.
    let everywhere = Carries { near: f32::MIN_POSITIVE, trust: BTreeMap::new() };
    let group = group(&fitted, &difficulty, &everywhere)?;
    let predictor = Predictor { difficulty, groups: vec![group] };
    let mut said = Vec::new();
    for row in held {
        for foreseen in &predictor.foresee(&row.features, Arc::from("")).models {
            if let Some(outcome) = row.outcomes.get(&*foreseen.model) {
                let (quality, by_difficulty) = (f64::from(foreseen.quality), f64::from(foreseen.by_difficulty));
                let one = Said { fold: out, by_difficulty, added: quality - by_difficulty, outcome: *outcome };
                said.push((foreseen.model.to_string(), one));
            }
        }
    }
    Ok(said)
}

/// How near the nearest landmark is to each row of fold `out`, when the others have landmarks.
fn nearest(rows: &[&Row], folds: &[usize], out: usize) -> Vec<f32> {
    let (held, fitted) = split(rows, folds, out);
    let landmarks = landmarks(&fitted);
    let near = |row: &&Row| {
        let shape = landmarks.standardised(&row.features);
        landmarks.likeness(&shape, &row.features.embedding).fold(0.0, f32::max)
    };
    held.iter().map(near).collect()
}

/// How much of what likeness adds comes true: the slope of what was missing over what was added, drawn towards 0 by
/// as much as chance may have made of it.
fn trusted<'a>(said: impl Iterator<Item = &'a Said> + Clone) -> f64 {
    let missing = |one: &Said| one.outcome - one.by_difficulty;
    let square: f64 = said.clone().map(|one| one.added * one.added).sum();
    if square <= f64::MIN_POSITIVE {
        return 0.0;
    }
    let slope = said.clone().map(|one| one.added * missing(one)).sum::<f64>() / square;
    let chance: f64 = said.map(|one| (one.added * (missing(one) - slope * one.added)).powi(2)).sum();
    if slope <= 0.0 { 0.0 } else { (slope - chance / (square * square) / slope).clamp(0.0, 1.0) }
}

/// Of each fold with the trust that the others earned.
fn score(said: &[Said]) -> Option<Score> {
    let trust: Vec<f64> = (0..FOLDS).map(|out| trusted(said.iter().filter(|one| one.fold != out))).collect();
    let foreseen = |one: &Said| (one.by_difficulty + trust[one.fold] * one.added, one.outcome);
    let said: Vec<(f64, f64)> = said.iter().map(foreseen).collect();
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| ratio(said.iter().map(of).sum(), said.len() as f64);
    Some(Score {
        n: said.len(),
        quality: mean(&|(_, outcome)| *outcome)?,
        auc: Ranked::new(said.iter().map(|(p, outcome)| (*p, *outcome >= 0.5))).auc(&vec![1.0; said.len()]),
        brier: mean(&|(p, outcome)| (p - outcome).powi(2))?,
        ece: calibration_error(said.iter().map(|(p, outcome)| (*p, *outcome, 1.0)))?,
    })
}
