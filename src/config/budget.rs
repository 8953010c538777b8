//! `[keys.NAME] budget`: what a key may spend.

use serde::Deserialize;

/// `budget = { usd, per, soft_usd, assume_output_tokens }`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// What is refused is what may go beyond it.
    pub usd: f64,
    pub per: Per,
    /// From here on answers are marked.
    #[serde(default)]
    pub soft_usd: Option<f64>,
    /// How long an answer is taken to be, before it is there, where the request does not bound it.
    #[serde(default = "default_output_tokens")]
    pub assume_output_tokens: u64,
}

/// Calendar windows, UTC.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    Day,
    /// From Monday on.
    Week,
    Month,
}

impl Per {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// Of the longest one.
    pub fn days(self) -> u64 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 31,
        }
    }
}

fn default_output_tokens() -> u64 {
    1000
}
