//! Whether a route's cascade is run for a request, and who is asked first.

use serde::Serialize;

use crate::config::{BackendName, Cascade};

use super::Candidate;

/// A cascade that shall be run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cascading {
    #[serde(flatten, serialize_with = "names")]
    pub options: Cascade,
    /// What the second call is predicted to cost.
    #[serde(skip)]
    pub then_usd: f64,
}

/// What becomes of a route's cascade.
#[derive(Debug, PartialEq)]
pub(super) enum Course {
    /// The first is asked, and the second where that is not good enough.
    Run(Cascading),
    /// Both calls may cost more than the cascade has: the first is asked alone.
    Capped(BackendName),
    /// The first is not expected to do: the second is asked alone.
    Skipped(BackendName),
    /// One of the two cannot take the request: the policy chooses.
    Unable,
}

impl Course {
    pub(super) fn of(options: &Cascade, candidates: &[Candidate]) -> Self {
        let able = |name: &BackendName| candidates.iter().find(|one| one.backend == *name && one.eligible);
        let (Some(first), Some(then)) = (able(&options.first), able(&options.then)) else { return Self::Unable };
        let hopeless = |least: f64| first.predicted_quality.is_some_and(|quality| quality < least);
        if options.skip_below.is_some_and(hopeless) {
            return Self::Skipped(options.then.clone());
        }
        let both = first.predicted_cost_usd + then.predicted_cost_usd;
        if options.max_cost.is_some_and(|most| both > most) {
            return Self::Capped(options.first.clone());
        }
        Self::Run(Cascading { options: options.clone(), then_usd: then.predicted_cost_usd })
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Run(_) => "cascade",
            Self::Capped(_) => "cascade_capped",
            Self::Skipped(_) => "cascade_skipped",
            Self::Unable => "cascade_unable",
        }
    }

    /// Who comes before the policy's order.
    pub(super) fn lead(&self) -> Vec<BackendName> {
        match self {
            Self::Run(Cascading { options, .. }) => vec![options.first.clone(), options.then.clone()],
            Self::Capped(one) | Self::Skipped(one) => vec![one.clone()],
            Self::Unable => Vec::new(),
        }
    }

    /// What is said of the one that is asked, and after that; `None` where the policy chooses.
    pub(super) fn words(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Run(Cascading { options, .. }) => {
                Some(("is asked first", format!(", and {} where its answer is not good enough", options.then)))
            }
            Self::Capped(_) => Some(("is asked alone", ", for both calls of the cascade may cost too much".to_owned())),
            Self::Skipped(_) => {
                Some(("is asked at once", ", for the cascade's first is not expected to do".to_owned()))
            }
            Self::Unable => None,
        }
    }
}

fn names<S: serde::Serializer>(options: &Cascade, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Names<'a> {
        first: &'a str,
        then: &'a str,
    }
    Names { first: &options.first, then: &options.then }.serialize(serializer)
}
