//! `learn`: a route that learns from feedback.

use std::time::Duration;

use serde::Deserialize;

use super::units;

/// `[[routes]] learn = { … }`. Needs `[ledger]`, and `policy.worth_usd` to weigh answers against their cost.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Learn {
    /// Share of requests that go to a candidate drawn by lot, 0..0.2: without it nothing can be compared.
    pub explore: f64,
    /// What is taken for a bad answer beside what clients say.
    pub signals: Vec<Signal>,
    /// How often what is new in the ledger is learnt from.
    #[serde(with = "units::duration")]
    pub every: Duration,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// The backend failed, or its answer broke off.
    Errors,
    /// The client asked exactly the same again within ten minutes. Clients that share a key, or have none, are one.
    Regenerated,
}

impl Learn {
    pub fn takes(&self, signal: Signal) -> bool {
        self.signals.contains(&signal)
    }
}

impl Default for Learn {
    fn default() -> Self {
        Self { explore: 0.05, signals: vec![Signal::Errors], every: Duration::from_secs(30) }
    }
}
