//! How well each model would answer, foreseen from what the flash minds made of a prompt: no
//! pass of its own, a fraction of a millisecond.
//!
//! Two parts. What transfers: one difficulty for all models, a sum of signs that may only make a prompt
//! harder (length, sentences, numbers, conditions, what brain says), and a logistic line per model over it. What does not: near the prompts
//! that outcomes are known of, a kernel regression adds what each model did there. The second
//! fades out with distance, and [`Foresight::near`] says how far it has.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

mod features;
mod file;
mod predictor;
mod publish;

pub use features::{COUNTS, DIGIT_SHARE, Features, QUESTION, SIGNS, STRUCTURE, counts};
pub use file::{WeightsError, kept};
pub use predictor::{Difficulty, Foreseen, Foresight, Group, Landmarks, Predictor, along};
pub use publish::{About, PublishError};

use super::load::LoadError;
use super::manifest::{Folder, Kind};
use super::{Input, Judgement};
use crate::config::{Config, Folders, Mind, shipped};

/// The role of such a mind in the configuration.
pub use crate::config::FORESEES as ROLE;

/// A predictor and the name it goes by.
#[derive(Debug)]
pub struct Quality {
    name: Arc<str>,
    predictor: Predictor,
}

impl Quality {
    /// Verifies and reads the mind that plays [`ROLE`].
    pub(super) fn load(
        minds: &BTreeMap<String, Mind>,
        mind: &Mind,
        folders: &Folders,
        hashes: &mut BTreeMap<PathBuf, String>,
    ) -> Result<Self, LoadError> {
        let model = if mind.model.is_empty() { shipped(ROLE) } else { mind.model.clone() };
        let folder = Folder::open(&folders.models_dir, &model)?;
        let name = folder.manifest.name.to_string();
        let refused = |message| LoadError::Role { role: ROLE.to_owned(), message };
        if folder.manifest.kind != Kind::Predictor {
            return Err(refused(format!("{name} foresees nothing; it plays the role {}", folder.manifest.role())));
        }
        for (role, needs) in &folder.manifest.reads {
            let plays = minds.get(role).filter(|mind| mind.enabled).map(|mind| match mind.model.as_str() {
                "" => shipped(role),
                model => model.to_owned(),
            });
            if plays.as_deref() != Some(&needs.to_string()) {
                let plays = plays.unwrap_or_else(|| "off".to_owned());
                return Err(refused(format!("{name} reads what {needs} says, and [minds.{role}] is {plays}")));
            }
        }
        folder.verify(hashes)?;
        let path = folder.graph();
        let predictor = Predictor::read(&path).map_err(|error| LoadError::File { path, message: error.to_string() })?;
        Ok(Self { name: name.into(), predictor })
    }

    /// The mind that foresees under this configuration, without the others; `None` where none does.
    pub fn open(config: &Config) -> Result<Option<Self>, LoadError> {
        let mind = config.minds.get(ROLE).filter(|mind| mind.enabled);
        mind.map(|mind| Self::load(&config.minds, mind, &config.folders(), &mut BTreeMap::new())).transpose()
    }

    /// The same as when the request came, from what was kept of it.
    pub fn foresee_again(&self, counts: [f32; COUNTS], judgement: &Judgement) -> Option<Foresight> {
        let features = Features::with(&counts, judgement)?;
        Some(self.predictor.foresee(&features, Arc::clone(&self.name)))
    }

    /// What is foreseen for this request; `None` where a mind that it reads gave no verdict.
    pub(super) fn foresee(&self, input: &Input, judgement: &Judgement) -> Option<Foresight> {
        let features = Features::of(input, judgement)?;
        Some(self.predictor.foresee(&features, Arc::clone(&self.name)))
    }
}

#[cfg(test)]
mod tests;
