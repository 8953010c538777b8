//! `[shadow]`: a second configuration whose policy decides beside the live one, for the ledger alone.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::fault::{Key, Problem};
use super::{Config, Mind};

/// `[shadow]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// A whole configuration; what counts is its policy: routes, backends, quality, virtual models.
    pub config: PathBuf,
    /// Read when this one is.
    #[serde(skip)]
    pub policy: Option<Arc<Config>>,
}

/// What keeps a configuration from deciding on what the minds of another one said.
pub(super) fn faults(candidate: &Config, live: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut fail = |key: Key, message: String, suggestion: &str| {
        problems.push(Problem { key, message, suggestion: Some(suggestion.to_owned()) });
    };
    for (name, exemplar) in &candidate.exemplars {
        if live.exemplars.get(name).is_none_or(|known| known.texts != exemplar.texts) {
            let message = "a shadow compares with the texts of the live configuration, and these are others".to_owned();
            fail(Key::of(&["exemplars", name, "texts"]), message, "use the same texts, or try this with `mom replay`");
        }
    }
    let plays =
        |config: &Config, role: &str| -> Option<Mind> { config.minds.get(role).filter(|mind| mind.enabled).cloned() };
    for (role, mind) in candidate.minds.iter().filter(|(_, mind)| mind.enabled) {
        let message = match plays(live, role) {
            Some(other) if other.model == mind.model => continue,
            Some(other) => format!("a shadow hears what the live minds say, and there {} plays this role", other.model),
            None => "a shadow hears what the live minds say, and there none plays this role".to_owned(),
        };
        fail(Key::of(&["minds", role]), message, "write both configurations with the same minds");
    }
    problems
}
