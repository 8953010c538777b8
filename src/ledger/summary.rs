//! Spend and savings, added up.

use std::io::{self, Write};
use std::time::SystemTime;

use rusqlite::types::ValueRef;
use serde_json::{Map, Value, json};

use super::store::{LedgerError, Store};
use crate::telemetry::millis;

/// What a line of a summary stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Key,
    Route,
    Backend,
    Category,
    /// UTC.
    Day,
}

impl By {
    fn column(self) -> &'static str {
        match self {
            Self::Key => "coalesce(key, '-')",
            Self::Route => "route",
            Self::Backend => "backend",
            Self::Category => "category",
            Self::Day => "date(at / 1000, 'unixepoch')",
        }
    }
}

/// Requests that have something in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    pub name: String,
    pub requests: u64,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub completion_tokens: u64,
    pub cost_usd: f64,
    /// What the premium backend would have cost for the same tokens.
    pub premium_usd: f64,
    /// Of the requests: their usage was counted here.
    pub estimated: u64,
    /// They went to a backend, and nobody knows what they cost.
    pub unpriced: u64,
}

/// Lines, and what is not among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub lines: Vec<Line>,
    /// Requests that could not be written.
    pub lost: u64,
}

impl Line {
    pub fn saved_usd(&self) -> f64 {
        self.premium_usd - self.cost_usd
    }

    pub fn json(&self) -> Value {
        json!({
            "name": self.name, "requests": self.requests, "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens, "completion_tokens": self.completion_tokens, "cost_usd": self.cost_usd,
            "premium_usd": self.premium_usd, "saved_usd": self.saved_usd(), "estimated": self.estimated,
            "unpriced": self.unpriced,
        })
    }
}

impl Store {
    /// Requests since then, dearest first; days in order.
    pub fn summary(&self, by: Option<By>, since: SystemTime) -> Result<Summary, LedgerError> {
        let name = by.map_or("'all'", By::column);
        let order = if by == Some(By::Day) { "1" } else { "6 DESC, 1" };
        let sql = format!(
            "SELECT {name}, count(*), coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0),
                    coalesce(sum(completion_tokens), 0), coalesce(sum(cost_usd), 0.0), coalesce(sum(premium_usd), 0.0),
                    sum(estimated), sum(backend <> '' AND status < 400 AND cost_usd IS NULL)
             FROM requests WHERE at >= ?1 GROUP BY 1 ORDER BY {order}"
        );
        let mut query = self.connection.prepare(&sql)?;
        let count =
            |row: &rusqlite::Row<'_>, at: usize| Ok::<_, rusqlite::Error>(row.get::<_, i64>(at)?.unsigned_abs());
        let lines = query.query_map([millis(since)], |row| {
            Ok(Line {
                name: row.get(0)?,
                requests: count(row, 1)?,
                prompt_tokens: count(row, 2)?,
                cached_tokens: count(row, 3)?,
                completion_tokens: count(row, 4)?,
                cost_usd: row.get(5)?,
                premium_usd: row.get(6)?,
                estimated: count(row, 7)?,
                unpriced: count(row, 8)?,
            })
        })?;
        let lines = lines.collect::<Result<Vec<_>, _>>()?;
        let gaps = "SELECT coalesce(sum(requests), 0) FROM gaps WHERE at >= ?1";
        let lost = self.connection.query_row(gaps, [millis(since)], |row| count(row, 0))?;
        Ok(Summary { lines, lost })
    }

    /// Every request since then, oldest first, as `row` writes it: names of columns and values.
    pub fn each(
        &self,
        since: SystemTime,
        mut row: impl FnMut(&[&str], Vec<Value>) -> io::Result<()>,
    ) -> Result<io::Result<()>, LedgerError> {
        let mut query = self.connection.prepare("SELECT * FROM requests WHERE at >= ?1 ORDER BY at, request_id")?;
        let names: Vec<String> = query.column_names().map(str::to_owned).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut rows = query.query([millis(since)])?;
        while let Some(found) = rows.next()? {
            let values =
                (0..names.len()).map(|at| Ok(value(found.get_ref(at)?))).collect::<Result<_, LedgerError>>()?;
            if let Err(error) = row(&names, values) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null | ValueRef::Blob(_) => Value::Null,
        ValueRef::Integer(value) => value.into(),
        ValueRef::Real(value) => value.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
    }
}

/// One row as a JSON object.
pub fn jsonl(out: &mut impl Write, names: &[&str], values: Vec<Value>) -> io::Result<()> {
    let row: Map<String, Value> = names.iter().map(|name| (*name).to_owned()).zip(values).collect();
    writeln!(out, "{}", Value::from(row))
}

/// One row as RFC 4180 has it. What a spreadsheet would take for a formula gets an apostrophe.
pub fn csv(out: &mut impl Write, values: &[Value]) -> io::Result<()> {
    let field = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@']) => quoted(&format!("'{text}")),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    };
    write!(out, "{}\r\n", values.iter().map(field).collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
