//! The minds: small routing models that read each request.
//!
//! [`Minds::judge`] is the one crossing from the request path into the inference threads.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Action, Config, Exemplar, Mind, Provider};

mod batch;
mod disguise;
mod encoder;
mod engine;
mod judge;
mod load;
mod manifest;
mod merge;
mod name;
mod normalise;
mod patterns;
mod readable;
mod reading;
pub mod registry;
mod render;
mod spans;
mod tokenizer;
mod verdict;
mod window;

pub use crate::openai::judged::{Input, Part, Place, Source};
pub use engine::EngineError;
pub use load::LoadError;
pub use manifest::{Folder, Kind, Manifest, ManifestError, Task};
pub use name::{MindName, Size};
pub use render::verdicts_json;
pub use verdict::{
    COMPLEXITIES, Embedding, Given, Harm, Intent, Jailbreak, JudgedPart, Judgement, MindNames, Span, Timings,
    Unavailable,
};

/// The loaded minds. Cheap to clone; the last clone ends the inference threads.
#[derive(Clone)]
pub struct Minds(Arc<load::Loaded>);

/// How one mind stands, for `/readyz` and `mom models verify`.
#[derive(Clone, Debug)]
pub struct MindStatus {
    pub role: String,
    pub name: Arc<str>,
    /// The execution provider that really runs it.
    pub provider: Provider,
    /// A real inference has run, and the engine is alive.
    pub ready: bool,
    pub warm_up: Duration,
}

impl Minds {
    /// Loads what `config` switches on: verifies every sha256, opens each graph once, runs a
    /// real inference. Blocks for as long as that takes.
    pub fn load(config: &Config) -> Result<Self, LoadError> {
        let minds = Self::open(&config.models_dir, &config.minds, &config.exemplars)?;
        if config.guard.harm.action != Action::Off && !minds.0.sees_harm() {
            return Err(LoadError::Role {
                role: "jailbreak".to_owned(),
                message: "[guard] harm acts on a score that this mind does not give; set its action to \"off\""
                    .to_owned(),
            });
        }
        Ok(minds)
    }

    /// [`Minds::load`] without a whole configuration.
    pub fn open(
        models_dir: &Path,
        minds: &BTreeMap<String, Mind>,
        exemplars: &BTreeMap<String, Exemplar>,
    ) -> Result<Self, LoadError> {
        load::load(models_dir, minds, exemplars).map(|loaded| Self(Arc::new(loaded)))
    }

    /// Judges every text of one request. Never fails: [`Given::Unavailable`] says why.
    pub async fn judge(&self, input: Input) -> Judgement {
        self.0.judge(input).await
    }

    /// Requests that wait for an inference thread or are being read by one.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// One entry per mind that is switched on.
    pub fn status(&self) -> Vec<MindStatus> {
        self.0.status()
    }
}
