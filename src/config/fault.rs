//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// One fault: `config.toml:12: …; did you mean …?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, or the environment variable, that holds it.
    pub source: String,
    /// 1-based; 0 where no line is to blame.
    pub line: usize,
    pub message: String,
    pub suggestion: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; {suggestion}")?;
        }
        Ok(())
    }
}

/// Every fault found in one configuration; never empty.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigFaults {
    pub path: PathBuf,
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}
