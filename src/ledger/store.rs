//! The file: SQLite with a write-ahead log, so that readers and a killed process do no harm.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, params};

use crate::telemetry::Entry;

/// What the file says that it is; a newer gateway may know a newer one.
const VERSION: i64 = 1;

const SCHEMA: &str = "
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
            connection.busy_timeout(Duration::from_secs(2))?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            // What is committed outlives the process; only a power cut may take the last transactions.
            connection.pragma_update(None, "synchronous", "normal")?;
            connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        };
        match prepared().map_err(fault)? {
            0 => {
                let made = format!("BEGIN;{SCHEMA}PRAGMA user_version = {VERSION};COMMIT;");
                connection.execute_batch(&made).map_err(fault)?;
            }
            VERSION => {}
            found => return Err(LedgerError::Version { path: path.to_owned(), found }),
        }
        Ok(Self { connection })
    }

    /// All or none of them, and how many before them could not be written.
    pub fn write(&mut self, entries: &[Entry], missed: u64) -> Result<(), LedgerError> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare(
                "INSERT OR IGNORE INTO requests VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20)",
            )?;
            for entry in entries {
                let usage = entry.usage;
                insert.execute(params![
                    entry.request_id,
                    millis(entry.at),
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
                ])?;
            }
            if missed > 0 {
                let now = millis(SystemTime::now());
                transaction.execute("INSERT INTO gaps VALUES (?1, ?2)", params![now, whole(missed)])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Removes requests from before the last `keep`.
    pub fn remove_older(&mut self, keep: Duration) -> Result<usize, LedgerError> {
        let before = SystemTime::now().checked_sub(keep).map_or(0, millis);
        let removed = self.connection.execute("DELETE FROM requests WHERE at < ?1", [before])?;
        self.connection.execute("DELETE FROM gaps WHERE at < ?1", [before])?;
        Ok(removed)
    }
}

/// Milliseconds since 1970; a clock from before that counts as 1970.
pub(super) fn millis(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
