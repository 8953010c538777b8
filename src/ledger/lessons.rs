//! What is read of past requests: what was heard of them, and their texts where the operator keeps these.

use std::time::SystemTime;

use rusqlite::params;

use super::store::{LedgerError, Store};
use crate::telemetry::millis;

/// One request that a route decided, and what was heard of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    pub request_id: String,
    pub policy_version: String,
    /// Who answered.
    pub backend: String,
    /// Whom the policy chose.
    pub chosen: String,
    pub propensity: f64,
    pub reasons: String,
    /// As [`Seen`](crate::telemetry::Seen) has them.
    pub snapshot: String,
    pub offers: String,
    /// What the client said last, 0..1.
    pub said: Option<f64>,
    /// Something was taken for a sign of a bad answer.
    pub sign: bool,
}

impl Store {
    /// The newest `most` requests of a route that a backend was asked, oldest first.
    pub fn lessons(&self, route: &str, most: usize) -> Result<Vec<Lesson>, LedgerError> {
        let mut query = self.connection.prepare(
            "SELECT r.request_id, r.policy_version, r.backend, r.chosen, r.propensity, r.reasons, f.snapshot, f.offers,
                    (SELECT score FROM feedback WHERE request_id = r.request_id AND source = 'client'
                     ORDER BY rowid DESC LIMIT 1),
                    EXISTS (SELECT 1 FROM feedback WHERE request_id = r.request_id AND source <> 'client')
             FROM requests r JOIN features f ON f.request_id = r.request_id
             WHERE r.route = ?1 AND r.chosen <> '' AND r.backend <> '' AND r.propensity > 0
             ORDER BY r.at DESC, r.request_id DESC LIMIT ?2",
        )?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let lessons = query.query_map(params![route, most], |row| {
            Ok(Lesson {
                request_id: row.get(0)?,
                policy_version: row.get(1)?,
                backend: row.get(2)?,
                chosen: row.get(3)?,
                propensity: row.get(4)?,
                reasons: row.get(5)?,
                snapshot: row.get(6)?,
                offers: row.get(7)?,
                said: row.get(8)?,
                sign: row.get(9)?,
            })
        })?;
        let mut lessons = lessons.collect::<Result<Vec<_>, _>>()?;
        lessons.reverse();
        Ok(lessons)
    }

    /// Bodies of chats since then, oldest first: each with its request's id and route.
    pub fn texts(&self, since: SystemTime) -> Result<Vec<[String; 3]>, LedgerError> {
        let mut query = self.connection.prepare(
            "SELECT t.request_id, r.route, t.body FROM texts t JOIN requests r ON r.request_id = t.request_id
             WHERE t.at >= ?1 AND r.endpoint = 'chat.completions' ORDER BY t.at, t.request_id",
        )?;
        let texts = query.query_map([millis(since)], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?;
        Ok(texts.collect::<Result<_, _>>()?)
    }

    /// Sources of feedback since then: how often, and the mean score.
    pub fn feedback_by_source(&self, since: SystemTime) -> Result<Vec<(String, i64, f64)>, LedgerError> {
        let sql = "SELECT source, count(*), avg(score) FROM feedback WHERE at >= ?1 GROUP BY 1 ORDER BY 1";
        let mut query = self.connection.prepare(sql)?;
        let sources = query.query_map([millis(since)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(sources.collect::<Result<_, _>>()?)
    }

    /// Grows with every piece of feedback.
    pub fn heard(&self) -> Result<i64, LedgerError> {
        Ok(self.connection.query_row("SELECT coalesce(max(rowid), 0) FROM feedback", [], |row| row.get(0))?)
    }
}
