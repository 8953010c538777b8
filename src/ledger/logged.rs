//! Requests as they were logged, one after another, with what another policy needs to decide them again.

use std::path::PathBuf;
use std::time::SystemTime;

use rusqlite::{Row, params};

use super::store::{LedgerError, Store};
use crate::openai::Usage;
use crate::telemetry::{Seen, millis};

/// One request, and what was heard of its answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logged {
    pub request_id: String,
    pub key: String,
    pub route: String,
    /// Who answered; empty: nobody was asked.
    pub backend: String,
    /// Whom the policy chose; empty in a ledger of version 1, too.
    pub chosen: String,
    pub category: String,
    /// Codes, separated by commas.
    pub reasons: String,
    pub usage: Option<Usage>,
    pub cost_usd: Option<f64>,
    pub discarded_usd: Option<f64>,
    /// How likely this choice was; below 1 it was made by lot in part.
    pub propensity: Option<f64>,
    pub seen: Option<Seen>,
    /// Mean of what clients said of the answer, 0..1.
    pub score: Option<f64>,
}

/// Which requests.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub since: SystemTime,
    /// Exclusive. `None`: up to now.
    pub until: Option<SystemTime>,
    /// The newest so many. `None`: all.
    pub limit: Option<usize>,
}

const SQL: &str = "
SELECT r.request_id, coalesce(r.key, ''), r.route, r.backend, r.chosen, r.category, r.reasons,
       r.prompt_tokens, r.cached_tokens, r.completion_tokens, r.reasoning_tokens, r.cost_usd, r.discarded_usd,
       f.snapshot, f.embedding, f.offers,
       (SELECT avg(score) FROM feedback b WHERE b.request_id = r.request_id AND b.source = 'client'),
       r.propensity
FROM requests r LEFT JOIN features f ON f.request_id = r.request_id
WHERE r.at >= ?1 AND r.at < ?2 ORDER BY r.at DESC, r.request_id DESC LIMIT ?3";

impl Store {
    /// Newest first, at most `size` at a time: a ledger may be larger than the memory.
    pub fn logged(&self, window: &Window, size: usize, mut take: impl FnMut(Vec<Logged>)) -> Result<(), LedgerError> {
        let mut read = || {
            let mut query = self.connection.prepare(SQL)?;
            let until = window.until.map_or(i64::MAX, millis);
            let limit = window.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(-1));
            let mut rows = query.query(params![millis(window.since), until, limit])?;
            let mut together = Vec::new();
            while let Some(row) = rows.next()? {
                together.push(Logged::read(row)?);
                if together.len() == size {
                    take(std::mem::take(&mut together));
                }
            }
            if !together.is_empty() {
                take(together);
            }
            Ok(())
        };
        read().map_err(|source| LedgerError::File { path: self.path(), source })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.connection.path().map(PathBuf::from).unwrap_or_default()
    }
}

impl Logged {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(i64::unsigned_abs));
        let usage = match (count(7)?, count(9)?) {
            (Some(prompt), Some(completion)) => {
                let (cached, reasoning) = (count(8)?.unwrap_or(0), count(10)?.unwrap_or(0));
                Some(Usage { prompt, cached, completion, reasoning })
            }
            _ => None,
        };
        let seen = match (row.get(13)?, row.get(15)?) {
            (Some(snapshot), Some(offers)) => Some(Seen { snapshot, embedding: row.get(14)?, offers }),
            _ => None,
        };
        Ok(Self {
            request_id: row.get(0)?,
            key: row.get(1)?,
            route: row.get(2)?,
            backend: row.get(3)?,
            chosen: row.get(4)?,
            category: row.get(5)?,
            reasons: row.get(6)?,
            usage,
            cost_usd: row.get(11)?,
            discarded_usd: row.get(12)?,
            seen,
            score: row.get(16)?,
            propensity: row.get(17)?,
        })
    }

    /// Whom the policy chose; empty where it chose nobody.
    pub fn choice(&self) -> &str {
        if self.chosen.is_empty() { &self.backend } else { &self.chosen }
    }
}
