//! From what a head answered to what its mind says.

use std::sync::Arc;

use super::super::encoder::{Head, Limits, softmax};
use super::super::engine::Row;
use super::super::{Expert, Intent, Opined};

/// One decoder mind.
pub(crate) struct Member {
    pub(super) role: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) limits: Limits,
    pub(super) answers: Answers,
}

/// Which outputs of the pass are this mind's, and what they stand for.
pub(super) enum Answers {
    Intent { labels: Arc<[String]>, category: Head, complexity: Option<Head> },
    Expert { labels: Arc<[String]>, domain: Head, difficulty: Head, solvers: Option<(Head, Arc<[String]>)> },
}

impl Member {
    pub(super) fn verdict(&self, row: &Row) -> Opined {
        let output = |head: &Head| row.get(head.index).map_or(&[][..], Vec::as_slice);
        let shares = |head: &Head| softmax(output(head), head.temperature);
        let chances = |head: &Head| output(head).iter().map(|logit| sigmoid(logit / head.temperature)).collect();
        match &self.answers {
            Answers::Intent { labels, category, complexity } => Opined::Intent(Intent {
                labels: Arc::clone(labels),
                scores: shares(category),
                complexity: complexity.as_ref().and_then(|head| shares(head).try_into().ok()),
            }),
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
            Answers::Intent { labels, category, complexity } => {
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

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
