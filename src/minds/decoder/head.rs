//! From what a head answered to what its mind says.

use std::sync::Arc;

use super::super::encoder::{Head, Limits, softmax};
use super::super::engine::Row;
use super::super::{Expert, Intent, Opined};
use crate::config::Explain;

/// One decoder mind.
pub(crate) struct Member {
    pub(super) role: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) limits: Limits,
    pub(super) explain: Explain,
    pub(super) answers: Answers,
}

/// Which outputs of the pass are this mind's, and what they stand for.
pub(super) enum Answers {
    Intent { labels: Arc<[String]>, category: Head, complexity: Option<Head>, beside: Option<Weights> },
    Expert { labels: Arc<[String]>, domain: Head, difficulty: Head, solvers: Option<(Head, Arc<[String]>)> },
}

/// How much the flash mind's word counts: exponents of the decoder's probabilities and of its.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    pub(super) category: [f32; 2],
    pub(super) complexity: [f32; 2],
}

/// Below this a probability of the flash mind says no more than that it is small.
const LEAST: f32 = 1e-4;

impl Member {
    /// `flash`: what the flash mind read, where it read anything.
    pub(super) fn verdict(&self, row: &Row, flash: Option<&Intent>) -> Opined {
        let output = |head: &Head| row.get(head.index).map_or(&[][..], Vec::as_slice);
        let shares = |head: &Head| softmax(output(head), head.temperature);
        let chances = |head: &Head| output(head).iter().map(|logit| sigmoid(logit / head.temperature)).collect();
        match &self.answers {
            Answers::Intent { labels, category, complexity, beside } => {
                let (mut scores, mut depth) = (shares(category), complexity.as_ref().map(shares));
                if let (Some(weights), Some(flash)) = (beside, flash) {
                    scores = product(output(category), &flash.scores, weights.category);
                    depth = complexity
                        .as_ref()
                        .zip(flash.complexity)
                        .map(|(head, theirs)| product(output(head), &theirs, weights.complexity));
                }
                let complexity = depth.and_then(|depth| depth.try_into().ok());
                Opined::Intent(Intent { labels: Arc::clone(labels), scores, complexity })
            }
            Answers::Expert { labels, domain, difficulty, solvers } => {
                let difficulty: Vec<f32> = chances(difficulty);
                let p_solve = solvers.as_ref().map(|(head, names)| (Arc::clone(names), chances(head)));
                let difficulty = difficulty.first().copied().unwrap_or(0.5);
                Opined::Expert(Expert { labels: Arc::clone(labels), scores: shares(domain), difficulty, p_solve })
            }
        }
    }

    /// Whether the head's outputs have the widths that the labels ask for.
    pub(super) fn check(&self, row: &Row) -> Result<(), String> {
        let wanted = match &self.answers {
            Answers::Intent { labels, category, complexity, .. } => {
                vec![("category", Some(category), labels.len()), ("complexity", complexity.as_ref(), 3)]
            }
            Answers::Expert { labels, domain, difficulty, solvers } => vec![
                ("domain", Some(domain), labels.len()),
                ("difficulty", Some(difficulty), 1),
                ("p_solve", solvers.as_ref().map(|(head, _)| head), solvers.as_ref().map_or(0, |(_, all)| all.len())),
            ],
        };
        for (name, head, width) in wanted {
            let Some(head) = head else { continue };
            let found = row.get(head.index).map_or(0, Vec::len);
            if found != width {
                return Err(format!("its output for `{name}` has {found} values where the labels ask for {width}"));
            }
        }
        Ok(())
    }
}

/// The weighted product of two opinions on the same labels, as probabilities.
fn product(logits: &[f32], theirs: &[f32], [mine, other]: [f32; 2]) -> Vec<f32> {
    let own = softmax(logits, 1.0);
    let both = own.iter().zip(theirs);
    let sums: Vec<f32> =
        both.map(|(own, theirs)| mine * own.max(f32::MIN_POSITIVE).ln() + other * (theirs + LEAST).ln()).collect();
    softmax(&sums, 1.0)
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
