//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

use super::{Folders, ROLES, flash};

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

/// Every fault found in one configuration; never empty.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigFaults {
    pub path: PathBuf,
    pub faults: Vec<Fault>,
    /// As far as it could be read, so that `mom check` can look at them too.
    pub minds: MindFolders,
}

/// Which minds would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MindFolders {
    pub folders: Folders,
    /// Folders below `models_dir`.
    pub names: Vec<String>,
}

impl Default for MindFolders {
    fn default() -> Self {
        Self { folders: Folders::default(), names: ROLES.map(flash).into() }
    }
}

/// A fault by the key it is about, before its place is looked up.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) key: Key,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

/// Where a value stands: table keys and list indices from the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) Vec<String>);

impl Key {
    pub(super) fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    pub(super) fn and(&self, part: impl fmt::Display) -> Self {
        let mut parts = self.0.clone();
        parts.push(part.to_string());
        Self(parts)
    }

    pub(super) fn parent(&self) -> Self {
        Self(self.0.split_last().map(|(_, rest)| rest.to_vec()).unwrap_or_default())
    }

    /// Whether `self` is `other` or stands around it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether what stands here may be a credential that somebody put in the wrong place.
    pub(super) fn is_secret(&self) -> bool {
        self.0.iter().any(|part| matches!(part.as_str(), "api_key" | "keys" | "sha256" | "file" | "env"))
    }
}

/// As written in prose: `routes[1].policy.min_quality`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            if part.bytes().all(|byte| byte.is_ascii_digit()) && index > 0 {
                write!(f, "[{part}]")?;
            } else {
                write!(f, "{}{part}", if index > 0 { "." } else { "" })?;
            }
        }
        Ok(())
    }
}

/// The known name closest to a misspelt one, or all of them where none is close.
pub(crate) fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    let closeness = |other: &str| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    let nearest = known.iter().map(|other| (closeness(other), *other)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((closeness, other)) if closeness >= 0.8 => Some(format!("did you mean \"{other}\"?")),
        Some(_) if known.len() <= 20 => Some(format!("known: {}", known.join(", "))),
        _ => None,
    }
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
