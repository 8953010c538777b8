//! The questions whose threshold benign requests can calibrate, and how sure a mind was of each.

use crate::cli::Failure;
use crate::config::Mind;
use crate::minds::{Judgement, Manifest, Task};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Jailbreak,
    /// Does the person ask for something harmful? The second output of a jailbreak mind.
    Harm,
    Pii,
}

impl Question {
    /// What the mind is asked; `harm`: its second question. Refuses minds that are no guards.
    pub(super) fn of(manifest: &Manifest, harm: bool) -> Result<Self, Failure> {
        let name = &manifest.name;
        match manifest.task {
            Task::Jailbreak if harm && manifest.graph.outputs.contains_key("harm") => Ok(Self::Harm),
            _ if harm => Err(Failure::new(format!("{name} does not say whether a person asks for something harmful"))),
            Task::Jailbreak => Ok(Self::Jailbreak),
            Task::Pii => Ok(Self::Pii),
            Task::Intent | Task::Similarity | Task::Expert | Task::Quality => {
                Err(Failure::new(format!("{name} is no guard: benign requests say nothing about a threshold of it")))
            }
        }
    }

    /// The key of its threshold in `[minds.ROLE]`.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Jailbreak | Self::Pii => "threshold",
            Self::Harm => "harm_threshold",
        }
    }

    /// What spoils a file of benign requests.
    pub(super) fn sought(self) -> &'static str {
        match self {
            Self::Jailbreak => "an attack",
            Self::Harm => "a harmful request",
            Self::Pii => "real personal data",
        }
    }

    /// The threshold in use.
    pub(super) fn present(self, mind: Option<&Mind>, manifest: &Manifest) -> f32 {
        match self {
            Self::Jailbreak | Self::Pii => mind.and_then(|mind| mind.threshold).unwrap_or_else(|| manifest.threshold()),
            Self::Harm => {
                let shipped = manifest.thresholds.get("harm").copied();
                mind.and_then(|mind| mind.harm_threshold).or(shipped).unwrap_or(0.5)
            }
        }
    }

    /// Recorded rows of threshold, recall and false positive rate, where the mind has them.
    pub(super) fn roc(self, manifest: Manifest) -> Vec<[f32; 3]> {
        if self == Self::Harm { Vec::new() } else { manifest.roc }
    }

    /// The highest score of a request; `Err` says why there was no verdict. `labels`: the kinds of
    /// personal data that count.
    pub(super) fn score(self, judgement: &Judgement, labels: Option<&[String]>) -> Result<f32, String> {
        match self {
            Self::Jailbreak => Ok(judgement.jailbreak.known()?.score),
            Self::Harm => Ok(judgement.harm.known()?.score),
            Self::Pii => {
                let spans = judgement.pii.known()?.iter().filter(|span| counts(labels, &span.label));
                Ok(spans.map(|span| span.score).fold(0.0, f32::max))
            }
        }
    }
}

/// Whether a kind of personal data counts for the guard.
pub(super) fn counts(labels: Option<&[String]>, label: &str) -> bool {
    labels.is_none_or(|labels| labels.iter().any(|known| known == label))
}
