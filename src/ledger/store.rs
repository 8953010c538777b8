//! The file: SQLite with a write-ahead log, so that readers and a killed process do no harm.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use tokio::time::Instant;

use crate::telemetry::{Entry, Feedback, Note, millis};

/// What the file says that it is; a newer gateway may know a newer one.
const VERSION: i64 = 2;

/// Version 1.
pub(super) const REQUESTS: &str = "
CREATE TABLE requests (
    request_id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,            -- milliseconds since 1970, UTC
    endpoint TEXT NOT NULL,
    key TEXT,
    route TEXT NOT NULL,
    backend TEXT NOT NULL,          -- empty: none was asked
    model TEXT NOT NULL,
    category TEXT NOT NULL,
    reasons TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    propensity REAL,
    status INTEGER NOT NULL,
    end TEXT NOT NULL,
    prompt_tokens INTEGER,
    cached_tokens INTEGER,
    completion_tokens INTEGER,
    reasoning_tokens INTEGER,
    estimated INTEGER NOT NULL,     -- 1: the backend told no usage, the gateway counted
    cost_usd REAL,
    premium_usd REAL                -- the same tokens at the premium backend's prices
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_at ON requests (at);
CREATE TABLE gaps (at INTEGER NOT NULL, requests INTEGER NOT NULL) STRICT; -- could not be written before
";

/// What version 2 adds.
const SECOND: &str = "
ALTER TABLE requests ADD COLUMN chosen TEXT NOT NULL DEFAULT '';  -- by the policy; another backend may have answered
ALTER TABLE requests ADD COLUMN code TEXT;                        -- of an error that the gateway answered with
ALTER TABLE requests ADD COLUMN discarded_usd REAL;               -- part of cost_usd: for answers that nobody was shown
CREATE INDEX requests_route ON requests (route, at);
CREATE TABLE features (             -- what another policy needs to decide a request again; no text
    request_id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    snapshot TEXT NOT NULL,
    embedding BLOB,                 -- 16-bit floats, little endian
    offers TEXT NOT NULL            -- what could have been chosen
) STRICT;
CREATE INDEX features_at ON features (at);
CREATE TABLE texts (request_id TEXT PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX texts_at ON texts (at);
CREATE TABLE shadows (              -- what a second policy would have done
    request_id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    policy_version TEXT NOT NULL,
    route TEXT NOT NULL,
    backend TEXT NOT NULL,
    predicted_quality REAL,
    predicted_cost_usd REAL,
    reasons TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX shadows_at ON shadows (at);
CREATE TABLE feedback (
    request_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    source TEXT NOT NULL,           -- client, error, regenerated
    score REAL NOT NULL,            -- 0..1
    comment TEXT
) STRICT;
CREATE INDEX feedback_request ON feedback (request_id);
CREATE INDEX feedback_at ON feedback (at);
CREATE TABLE states (name TEXT PRIMARY KEY, at INTEGER NOT NULL, json TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

/// How long another process may be at it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tables whose rows grow old.
const AGEING: [&str; 6] = ["requests", "gaps", "features", "texts", "shadows", "feedback"];

/// Why the ledger cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: rusqlite::Error },
    #[error("{0}")]
    Sql(#[from] rusqlite::Error),
    #[error("{path}: a ledger of version {found}; this gateway knows {VERSION}")]
    Version { path: PathBuf, found: i64 },
    #[error("{0}: there is no ledger")]
    Absent(PathBuf),
    #[error("cannot start the thread that writes the ledger: {0}")]
    Thread(std::io::Error),
}

/// An open ledger.
#[derive(Debug)]
pub struct Store {
    pub(super) connection: Connection,
    path: PathBuf,
    /// Which file that was when it was opened.
    file: Option<(u64, u64)>,
}

impl Store {
    /// For writing; made where it is not there.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::connect(path, OpenFlags::default())
    }

    /// For reading, also while a gateway writes.
    pub fn open_existing(path: &Path) -> Result<Self, LedgerError> {
        if !path.is_file() {
            return Err(LedgerError::Absent(path.to_owned()));
        }
        Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, LedgerError> {
        let fault = |source| LedgerError::File { path: path.to_owned(), source };
        let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
        let prepared = || {
            connection.busy_timeout(PATIENCE)?;
            keep_a_log(&connection)?;
            // What is committed outlives the process; only a power cut may take the last transactions.
            connection.pragma_update(None, "synchronous", "normal")?;
            match version(&connection)? {
                VERSION => Ok(VERSION),
                _ => bring_up_to_date(&connection),
            }
        };
        match prepared().map_err(fault)? {
            VERSION => Ok(Self { connection, path: path.to_owned(), file: identity(path) }),
            found => Err(LedgerError::Version { path: path.to_owned(), found }),
        }
    }

    /// Opens what is at the path now, where that is another file or none: what is written into a deleted file is lost, and
    /// SQLite says nothing of it. True: it was.
    pub fn follow(&mut self) -> Result<bool, LedgerError> {
        let gone = identity(&self.path) != self.file;
        if gone {
            // First closed: two that have the same name would share the files beside it.
            self.connection = Connection::open_in_memory()?;
            *self = Self::open(&self.path)?;
        }
        Ok(gone)
    }

    /// All or none of them, and how many before them could not be written.
    pub fn write(&mut self, notes: &[Note], missed: u64) -> Result<(), LedgerError> {
        let transaction = self.connection.transaction()?;
        for note in notes {
            match note {
                Note::Request(entry) => insert(&transaction, entry)?,
                Note::Feedback(feedback) => hear(&transaction, feedback)?,
                Note::State { name, json } => {
                    let now = millis(SystemTime::now());
                    let sql =
                        "INSERT INTO states VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET at = ?2, json = ?3";
                    transaction.execute(sql, params![name, now, json])?;
                }
            }
        }
        if missed > 0 {
            let now = millis(SystemTime::now());
            transaction.execute("INSERT INTO gaps VALUES (?1, ?2)", params![now, whole(missed)])?;
        }
        Ok(transaction.commit()?)
    }

    /// What was to be known after a restart.
    pub fn state(&self, name: &str) -> Result<Option<String>, LedgerError> {
        let mut query = self.connection.prepare("SELECT json FROM states WHERE name = ?1")?;
        Ok(query.query_map([name], |row| row.get(0))?.next().transpose()?)
    }

    /// All states whose names begin so.
    pub fn states(&self, prefix: &str) -> Result<Vec<(String, String)>, LedgerError> {
        let mut query = self.connection.prepare("SELECT name, json FROM states ORDER BY name")?;
        let all = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<_>, _>>()?;
        Ok(all.into_iter().filter(|(name, _): &(String, String)| name.starts_with(prefix)).collect())
    }

    /// Whose request this is: a key's name, or nobody's in particular. `None`: there is no such request.
    pub fn asked_by(&self, request_id: &str) -> Result<Option<Option<String>>, LedgerError> {
        let mut query = self.connection.prepare("SELECT key FROM requests WHERE request_id = ?1")?;
        Ok(query.query_map([request_id], |row| row.get(0))?.next().transpose()?)
    }

    /// Removes what is from before then.
    pub fn remove_before(&mut self, then: SystemTime) -> Result<usize, LedgerError> {
        let before = millis(then);
        let mut removed = 0;
        for table in AGEING {
            removed += self.connection.execute(&format!("DELETE FROM {table} WHERE at < ?1"), [before])?;
        }
        Ok(removed)
    }
}

/// A new file is changed to that by one process alone; SQLite lets the others not wait for it.
fn keep_a_log(connection: &Connection) -> rusqlite::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = path.metadata().ok()?;
    Some((file.dev(), file.ino()))
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The version that the file then has.
fn bring_up_to_date(connection: &Connection) -> rusqlite::Result<i64> {
    // Looked at again where nobody else can write: another process may open the same file at the same time.
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let missing = match version(&transaction)? {
        0 => [REQUESTS, SECOND].concat(),
        1 => SECOND.to_owned(),
        found => return Ok(found),
    };
    transaction.execute_batch(&missing)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(VERSION)
}

fn insert(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO requests (request_id, at, endpoint, key, route, backend, model, category, reasons,
        policy_version, propensity, status, end, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens,
        estimated, cost_usd, premium_usd, chosen, code, discarded_usd)
        VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23)";
    let usage = entry.usage;
    transaction.execute(
        sql,
        params![
            entry.request_id,
            entry.at,
            entry.endpoint,
            entry.key,
            entry.route,
            entry.backend,
            entry.model,
            entry.category,
            entry.reasons,
            entry.policy_version,
            entry.propensity,
            entry.status,
            entry.end,
            usage.map(|usage| whole(usage.prompt)),
            usage.map(|usage| whole(usage.cached)),
            usage.map(|usage| whole(usage.completion)),
            usage.map(|usage| whole(usage.reasoning)),
            entry.estimated,
            entry.cost_usd,
            entry.premium_usd,
            entry.chosen,
            entry.code,
            entry.discarded_usd,
        ],
    )?;
    if let Some(seen) = &entry.seen {
        let sql = "INSERT OR IGNORE INTO features VALUES (?1, ?2, ?3, ?4, ?5)";
        let values = params![entry.request_id, entry.at, seen.snapshot, seen.embedding, seen.offers];
        transaction.execute(sql, values)?;
    }
    if let Some(text) = &entry.text {
        let sql = "INSERT OR IGNORE INTO texts VALUES (?1, ?2, ?3)";
        transaction.execute(sql, params![entry.request_id, entry.at, text])?;
    }
    if let Some(shadow) = &entry.shadow {
        let sql = "INSERT OR IGNORE INTO shadows VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        transaction.execute(
            sql,
            params![
                entry.request_id,
                entry.at,
                shadow.policy_version,
                shadow.route,
                shadow.backend,
                shadow.predicted_quality,
                shadow.predicted_cost_usd,
                shadow.reasons,
            ],
        )?;
    }
    Ok(())
}

fn hear(transaction: &Transaction<'_>, feedback: &Feedback) -> rusqlite::Result<()> {
    let Feedback { request_id, at, source, score, comment } = feedback;
    let sql = "INSERT INTO feedback VALUES (?1, ?2, ?3, ?4, ?5)";
    transaction.execute(sql, params![request_id, at, source, score, comment])?;
    Ok(())
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
