//! What the policy in the shadow would have done, beside what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::Deserialize;

use super::store::{LedgerError, Store};
use crate::telemetry::millis;

/// Requests that both policies decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shadows {
    /// By the choice of the policy in force and of the one in the shadow; empty: it chose nobody.
    pub pairs: BTreeMap<(String, String), Elsewhere>,
    /// Versions of the policy in the shadow.
    pub versions: BTreeSet<String>,
}

/// One pair of choices. Sums are over the requests of which both policies foresaw it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Elsewhere {
    pub requests: u64,
    /// Foreseen, in force and in the shadow.
    pub cost_usd: [f64; 2],
    pub priced: u64,
    pub quality: [f64; 2],
    pub foreseen: u64,
}

/// Of the kept offers, what is read here.
#[derive(Deserialize)]
struct Offer {
    backend: String,
    quality: Option<f64>,
    cost_usd: f64,
}

const SQL: &str = "
SELECT r.chosen, s.backend, s.policy_version, s.predicted_cost_usd, s.predicted_quality, f.offers
FROM shadows s JOIN requests r ON r.request_id = s.request_id LEFT JOIN features f ON f.request_id = s.request_id
WHERE s.at >= ?1";

impl Store {
    /// What was decided twice since then.
    pub fn shadows(&self, since: SystemTime) -> Result<Shadows, LedgerError> {
        let read = || {
            let mut shadows = Shadows::default();
            let mut query = self.connection.prepare(SQL)?;
            let mut rows = query.query([millis(since)])?;
            while let Some(row) = rows.next()? {
                let (chosen, backend): (String, String) = (row.get(0)?, row.get(1)?);
                let offers: Option<String> = row.get(5)?;
                let offers: Vec<Offer> = offers.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
                let offer = offers.into_iter().find(|offer| offer.backend == chosen);
                let pair = shadows.pairs.entry((chosen, backend)).or_default();
                pair.requests += 1;
                let (cost, quality): (Option<f64>, Option<f64>) = (row.get(3)?, row.get(4)?);
                if let (Some(offer), Some(cost)) = (&offer, cost) {
                    pair.priced += 1;
                    pair.cost_usd = [pair.cost_usd[0] + offer.cost_usd, pair.cost_usd[1] + cost];
                }
                if let (Some(before), Some(quality)) = (offer.and_then(|offer| offer.quality), quality) {
                    pair.foreseen += 1;
                    pair.quality = [pair.quality[0] + before, pair.quality[1] + quality];
                }
                shadows.versions.insert(row.get(2)?);
            }
            Ok(shadows)
        };
        read().map_err(|source| LedgerError::File { path: self.path(), source })
    }
}

impl Elsewhere {
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.priced += other.priced;
        self.foreseen += other.foreseen;
        for at in 0..2 {
            self.cost_usd[at] += other.cost_usd[at];
            self.quality[at] += other.quality[at];
        }
    }

    /// Mean qualities; `None` where nobody foresaw any.
    pub fn mean_quality(&self) -> Option<[f64; 2]> {
        (self.foreseen > 0).then(|| self.quality.map(|sum| sum / self.foreseen as f64))
    }
}
