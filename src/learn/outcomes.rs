//! Predictors from outcomes: who answered which prompt well. Pure: rows in, numbers out.
//!
//! [`difficulty`] is learnt from how prompts differ *within* a group (a benchmark, a subject), so that it
//! is not a way of telling groups apart. [`group`] adds models to it, one solution of linear equations each;
//! nothing that is known of other models changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use nalgebra::{Cholesky, DMatrix, DVector};

use crate::eval::stats::SplitMix;
use crate::minds::quality::{
    DIGIT_SHARE, Difficulty, Features, Group, Landmarks, QUESTION, SIGNS, STRUCTURE, along, kept,
};

mod score;

pub use score::{Carries, Measured, Score, measure};

/// A prompt and what became of it.
#[derive(Clone, Debug)]
pub struct Row {
    pub features: Features,
    /// By model, 0..1: how well it answered.
    pub outcomes: BTreeMap<String, f64>,
    /// By model: tokens of its answer.
    pub tokens: BTreeMap<String, f64>,
    /// Prompts of one kind. Difficulty is learnt within them.
    pub group: String,
    /// A mind that is read here was trained on how difficult this very prompt is.
    pub seen: bool,
}

/// Why nothing can be learnt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutcomesError {
    #[error(
        "{rows} prompts are too few: at least {ROWS} with outcomes of one model are needed beside the fifth of them that is held out"
    )]
    TooFew { rows: usize },
    #[error("outcomes do not differ within any group of prompts: there is no difficulty to learn")]
    NoDifficulty,
    #[error("the equations have no solution: are prompts or outcomes all the same?")]
    Singular,
}

/// Fewest outcomes of a model that is told about.
pub const ROWS: usize = 100;

/// Most prompts that others are compared with.
const LANDMARKS: usize = 1024;

/// Penalties on weights: of difficulty, of likeness to landmarks, of answer lengths.
const DIFFICULTY_RIDGE: f64 = 30.0;
const LIKENESS_RIDGE: f64 = 10.0;
const LENGTH_RIDGE: f64 = 10.0;

/// Keeps equations solvable where landmarks are the same.
const JITTER: f64 = 1e-3;

/// Prompts that are alike in a count differ by this much of its logarithm all the same: landmarks that happen to have the
/// same number of lines do not make one line more a world apart. Of a share of digits, by this much.
const LEAST_SPREAD: f32 = 0.25;
const LEAST_SHARE_SPREAD: f32 = 0.03;

/// The difficulty that the rows share. Each group weighs as the root of its size.
pub fn difficulty(rows: &[&Row]) -> Result<Difficulty, OutcomesError> {
    let unseen: Vec<&Row> = rows.iter().copied().filter(|row| !row.seen && !row.outcomes.is_empty()).collect();
    let learnt = if unseen.len() >= ROWS { unseen } else { rows.to_vec() };
    if learnt.len() < ROWS {
        return Err(OutcomesError::TooFew { rows: learnt.len() });
    }
    let mut groups: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in &learnt {
        groups.entry(&row.group).or_default().push(row);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut weights = Vec::new();
    for rows in groups.values() {
        let count = rows.len() as f64;
        let mean = |of: &dyn Fn(&Row) -> f64| rows.iter().map(|row| of(row)).sum::<f64>() / count;
        let center: Vec<f64> = (0..SIGNS).map(|at| mean(&|row| f64::from(row.features.signs()[at]))).collect();
        let usual = mean(&failing);
        for row in rows {
            left.extend(row.features.signs().iter().zip(&center).map(|(value, center)| f64::from(*value) - center));
            right.push(failing(row) - usual);
            weights.push(1.0 / count.sqrt());
        }
    }
    if right.iter().all(|failing| failing.abs() < 1e-9) {
        return Err(OutcomesError::NoDifficulty);
    }
    let mut left = DMatrix::from_row_slice(right.len(), SIGNS, &left);
    let mut scale = [1.0; SIGNS];
    for (at, scale) in scale.iter_mut().enumerate() {
        *scale = (left.column(at).norm_squared() / left.nrows() as f64).sqrt() + 1e-9;
        left.column_mut(at).unscale_mut(*scale);
    }
    let mut solution = rising(&left, &DVector::from_vec(right), &weights, DIFFICULTY_RIDGE);
    if solution.iter().all(|weight| *weight == 0.0) {
        // These outcomes say nothing; elsewhere the longer prompt is the harder one.
        solution[0] = 1.0;
    }
    let mut difficulty = Difficulty {
        weights: solution.iter().zip(&scale).map(|(weight, scale)| (weight / scale) as f32).collect(),
        bias: 0.0,
    };
    let values: Vec<f64> = learnt.iter().map(|row| f64::from(difficulty.of(&row.features))).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let spread = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
    if spread.is_nan() || spread <= 0.0 {
        return Err(OutcomesError::NoDifficulty);
    }
    difficulty.weights.iter_mut().for_each(|weight| *weight = (f64::from(*weight) / spread) as f32);
    difficulty.bias = (-mean / spread) as f32;
    Ok(difficulty)
}

/// Share of the row's models that fail.
fn failing(row: &Row) -> f64 {
    1.0 - row.outcomes.values().sum::<f64>() / row.outcomes.len().max(1) as f64
}

/// The models of these rows with [`ROWS`] outcomes or more, and how far what is known of them carries.
pub fn group(rows: &[&Row], difficulty: &Difficulty, carries: &Carries) -> Result<Group, OutcomesError> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    rows.iter().flat_map(|row| row.outcomes.keys()).for_each(|model| *counts.entry(model).or_default() += 1);
    let most = counts.values().copied().max().unwrap_or(0);
    let models: Vec<&str> = counts.into_iter().filter(|(_, count)| *count >= ROWS).map(|(model, _)| model).collect();
    if models.is_empty() {
        return Err(OutcomesError::TooFew { rows: most });
    }
    let landmarks = landmarks(rows);
    let likeness = likeness(rows, &landmarks);
    let marks = marks(&landmarks);
    let difficulties: Vec<f64> = rows.iter().map(|row| f64::from(difficulty.of(&row.features))).collect();
    // Models that answered the same prompts share a matrix.
    let mut shared: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for (index, model) in models.iter().enumerate() {
        let answered = (0..rows.len()).filter(|row| rows[*row].outcomes.contains_key(*model)).collect();
        shared.entry(answered).or_default().push(index);
    }
    let mut weights = vec![0.0_f32; landmarks.len() * models.len()];
    let mut lines = vec![[0.0_f32; 2]; models.len()];
    for (answered, indices) in shared {
        let known = likeness.select_rows(&answered);
        let mut right = DMatrix::zeros(answered.len(), indices.len());
        for (column, index) in indices.iter().enumerate() {
            let outcomes: Vec<f64> = answered.iter().map(|row| rows[*row].outcomes[models[*index]]).collect();
            let hardness: Vec<f64> = answered.iter().map(|row| difficulties[*row]).collect();
            lines[*index] = line(&hardness, &outcomes);
            for (row, (outcome, hardness)) in outcomes.iter().zip(&hardness).enumerate() {
                right[(row, column)] = outcome - f64::from(along(lines[*index], *hardness as f32));
            }
        }
        let mut left = known.tr_mul(&known) + &marks * LIKENESS_RIDGE;
        (0..left.nrows()).for_each(|at| left[(at, at)] += JITTER);
        let solution = Cholesky::new(left).ok_or(OutcomesError::Singular)?.solve(&known.tr_mul(&right));
        for (column, index) in indices.iter().enumerate() {
            let trust = carries.trust.get(models[*index]).copied().unwrap_or(1.0);
            for mark in 0..landmarks.len() {
                weights[mark * models.len() + index] = trust * solution[(mark, column)] as f32;
            }
        }
    }
    let lengths = models.iter().map(|model| length(model, rows, &landmarks, &difficulties));
    Ok(Group {
        lengths: lengths.collect::<Result<_, _>>()?,
        models: models.iter().map(|model| Arc::from(*model)).collect(),
        landmarks,
        weights,
        lines,
        near: carries.near,
    })
}

/// Some of the rows, evenly drawn, rounded as they are kept.
fn landmarks(rows: &[&Row]) -> Landmarks {
    let count = rows.len() as f32;
    let width = rows.first().map_or(0, |row| row.features.shape().count());
    let mut mean = vec![0.0_f32; width];
    let each = |of: &mut dyn FnMut(usize, f32)| {
        rows.iter().for_each(|row| row.features.shape().enumerate().for_each(|(at, value)| of(at, value)));
    };
    each(&mut |at, value| mean[at] += value / count);
    let mut scale = vec![0.0_f32; width];
    each(&mut |at, value| scale[at] += (value - mean[at]).powi(2) / count);
    for (at, scale) in scale.iter_mut().enumerate() {
        let share = at + STRUCTURE + QUESTION == width + DIGIT_SHARE;
        *scale = scale.sqrt().max(if share { LEAST_SHARE_SPREAD } else { LEAST_SPREAD });
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut random = SplitMix(1);
    let drawn = rows.len().min(LANDMARKS);
    (0..drawn).for_each(|at| order.swap(at, at + random.below(rows.len() - at)));
    let mut landmarks = Landmarks { mean, scale, shapes: Vec::new(), embeddings: Vec::new() };
    for row in &order[..drawn] {
        let features = &rows[*row].features;
        landmarks.shapes.extend(landmarks.standardised(features).into_iter().map(kept));
        landmarks.embeddings.extend(features.embedding.iter().copied().map(kept));
    }
    landmarks
}

/// A row for each prompt, a column for each landmark.
fn likeness(rows: &[&Row], landmarks: &Landmarks) -> DMatrix<f64> {
    let all = rows.iter().flat_map(|row| {
        let shape = landmarks.standardised(&row.features);
        landmarks.likeness(&shape, &row.features.embedding).map(f64::from).collect::<Vec<_>>()
    });
    DMatrix::from_row_iterator(rows.len(), landmarks.len(), all)
}

/// How alike the landmarks are to each other.
fn marks(landmarks: &Landmarks) -> DMatrix<f64> {
    let (width, depth) = (landmarks.mean.len(), landmarks.embeddings.len() / landmarks.len().max(1));
    let each = landmarks.shapes.chunks_exact(width).zip(landmarks.embeddings.chunks_exact(depth));
    let all = each.flat_map(|(shape, meaning)| landmarks.likeness(shape, meaning).map(f64::from).collect::<Vec<_>>());
    DMatrix::from_row_iterator(landmarks.len(), landmarks.len(), all)
}

/// Until its outcomes say otherwise, a model's log-odds fall by this much with a standard deviation of difficulty; it
/// takes this many sure outcomes to say so. Without it, slopes learnt from few outcomes are noise that ranks models.
const SLOPE: f64 = 0.5;
const SLOPE_PRIOR: f64 = 40.0;

/// Log-odds of a good answer at mean difficulty and how fast they fall with it: logistic regression by Newton's
/// method, with a little prior so that a model that never fails has finite ones.
fn line(difficulties: &[f64], outcomes: &[f64]) -> [f32; 2] {
    const PRIOR: f64 = 0.01;
    let (mut level, mut slope) = (0.0_f64, SLOPE);
    for _ in 0..50 {
        let mut gradient = [-PRIOR * level, -SLOPE_PRIOR * (slope - SLOPE)];
        let mut curve = [PRIOR, 0.0, SLOPE_PRIOR];
        for (difficulty, outcome) in difficulties.iter().zip(outcomes) {
            let p = 1.0 / (1.0 + (slope * difficulty - level).exp());
            let (error, spread) = (outcome - p, p * (1.0 - p));
            gradient[0] += error;
            gradient[1] -= error * difficulty;
            curve[0] += spread;
            curve[1] -= spread * difficulty;
            curve[2] += spread * difficulty * difficulty;
        }
        let determinant = curve[0] * curve[2] - curve[1] * curve[1];
        let step = [
            (curve[2] * gradient[0] - curve[1] * gradient[1]) / determinant,
            (curve[0] * gradient[1] - curve[1] * gradient[0]) / determinant,
        ];
        level += step[0].clamp(-2.0, 2.0);
        slope += step[1].clamp(-2.0, 2.0);
        if step[0].abs() + step[1].abs() < 1e-9 {
            break;
        }
    }
    [level as f32, slope as f32]
}

/// How long this model's answers are, see [`Group::lengths`]; empty where too few are known. The mean is kept:
/// the exponential of a mean logarithm would be too short.
fn length(model: &str, rows: &[&Row], landmarks: &Landmarks, difficulties: &[f64]) -> Result<Vec<f32>, OutcomesError> {
    let known: Vec<(usize, f64)> = rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| row.tokens.get(model).map(|tokens| (at, tokens.max(1.0))))
        .collect();
    if known.len() < ROWS {
        return Ok(Vec::new());
    }
    let values = known.iter().flat_map(|(at, _)| {
        let shape = landmarks.standardised(&rows[*at].features);
        [1.0, difficulties[*at]].into_iter().chain(shape.into_iter().map(f64::from)).collect::<Vec<_>>()
    });
    let left = DMatrix::from_row_iterator(known.len(), landmarks.mean.len() + 2, values);
    let right = DVector::from_iterator(known.len(), known.iter().map(|(_, tokens)| tokens.ln()));
    let mut solution = ridge(&left, &right, LENGTH_RIDGE)?;
    let foreseen: f64 = (&left * &solution).iter().map(|tokens| tokens.exp()).sum();
    solution[0] += (known.iter().map(|(_, tokens)| tokens).sum::<f64>() / foreseen).ln();
    Ok(solution.iter().map(|weight| *weight as f32).collect())
}

/// Least squares with a penalty.
fn ridge(left: &DMatrix<f64>, right: &DVector<f64>, penalty: f64) -> Result<DVector<f64>, OutcomesError> {
    let mut square = left.tr_mul(left);
    (0..square.nrows()).for_each(|at| square[(at, at)] += penalty);
    Ok(Cholesky::new(square).ok_or(OutcomesError::Singular)?.solve(&left.tr_mul(right)))
}

/// The same with weighted rows and no number below 0, by going round the columns.
fn rising(left: &DMatrix<f64>, right: &DVector<f64>, weights: &[f64], penalty: f64) -> DVector<f64> {
    const ROUNDS: usize = 1000;
    let mut weighted = left.clone();
    weights.iter().enumerate().for_each(|(row, weight)| weighted.row_mut(row).scale_mut(*weight));
    let mut square = weighted.tr_mul(left);
    (0..square.nrows()).for_each(|at| square[(at, at)] += penalty);
    let target = weighted.tr_mul(right);
    let mut solution = DVector::zeros(square.nrows());
    for _ in 0..ROUNDS {
        for at in 0..square.nrows() {
            let missing = target[at] - square.row(at).transpose().dot(&solution) + square[(at, at)] * solution[at];
            solution[at] = (missing / square[(at, at)]).max(0.0);
        }
    }
    solution
}

#[cfg(test)]
mod tests;
