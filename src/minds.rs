//! The minds: small routing models that read each request.
//!
//! [`Minds::judge`] is the one crossing from the request path into the inference threads.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Action, Config, DEFAULT_CACHE_BYTES, Exemplar, Explain, Folders, Mind, Provider};
use crate::telemetry::MindMetrics;

mod batch;
mod cache;
mod crew;
mod deadline;
mod decoder;
mod disguise;
mod encoder;
mod engine;
pub mod import;
mod judge;
mod load;
mod manifest;
mod mask;
mod merge;
mod name;
mod normalise;
mod patterns;
pub mod quality;
mod queue;
mod readable;
mod reading;
pub mod registry;
mod render;
mod spans;
mod tags;
mod tokenizer;
mod turns;
mod verdict;
mod window;

pub use crate::openai::judged::{Input, Part, Place, Source};
pub use crew::Refusal;
pub use decoder::faults as base_faults;
pub use engine::{EngineError, library};
pub use load::LoadError;
pub use manifest::{Folder, Kind, Manifest, ManifestError, Task};
pub use name::{MindName, Size};
pub use render::verdicts_json;
pub use verdict::{
    COMPLEXITIES, Embedding, Expert, Given, Harm, Intent, Jailbreak, JudgedPart, Judgement, Later, MindNames, Opined,
    Opinion, Reason, Span, Stretch, Timings, Unavailable, family, spelled,
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
    /// Those that were wanted more and cannot be used.
    pub refused: Vec<Refusal>,
    /// A real inference has run, and the engine is alive.
    pub ready: bool,
    pub warm_up: Duration,
}

impl Minds {
    /// Loads what `config` switches on: verifies every sha256, opens each graph once, runs a
    /// real inference. Blocks for as long as that takes.
    pub fn load(config: &Config) -> Result<Self, LoadError> {
        let minds =
            Self::open_with_cache(&config.folders(), &config.minds, &config.exemplars, config.minds_cache_bytes)?;
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
        let folders = Folders { models_dir: models_dir.to_owned(), ..Folders::default() };
        Self::open_with_cache(&folders, minds, exemplars, DEFAULT_CACHE_BYTES)
    }

    /// As [`Minds::open`], with a bound on what is remembered of earlier requests; 0: nothing.
    pub fn open_with_cache(
        folders: &Folders,
        minds: &BTreeMap<String, Mind>,
        exemplars: &BTreeMap<String, Exemplar>,
        cache_bytes: usize,
    ) -> Result<Self, LoadError> {
        load::load(folders, minds, exemplars, cache_bytes).map(|loaded| Self(Arc::new(loaded)))
    }

    /// Judges every text of one request. Never fails: [`Given::Unavailable`] says why.
    pub async fn judge(&self, input: impl Into<Arc<Input>>) -> Judgement {
        self.0.judge(input.into()).await
    }

    /// Asks the decoder minds that play `roles`, after [`Minds::judge`]. Never fails either.
    pub async fn consult(&self, roles: &[&str], input: &Input, judgement: &Judgement) -> Vec<Opinion> {
        self.0.consult(roles, input, judgement).await
    }

    /// Has those decoder minds say why that are configured to. Waits for the reasons that belong
    /// into the judgement, each within its mind's deadline from `since`; the others are on their way.
    pub async fn explain(&self, input: &Input, judgement: &mut Judgement, since: Instant) -> Vec<Later> {
        self.0.explain(input, judgement, since, &[Explain::Inline, Explain::Log]).await
    }

    /// Judges, and asks every decoder mind as well, with reasons where they are to be waited for.
    pub async fn judge_and_consult(&self, input: impl Into<Arc<Input>>) -> Judgement {
        let (input, started) = (input.into(), Instant::now());
        let mut judgement = self.judge(Arc::clone(&input)).await;
        for roles in self.decoder_roles() {
            let opinions = self.consult(&roles, &input, &judgement).await;
            judgement.opinions.extend(opinions);
        }
        self.0.explain(&input, &mut judgement, started, &[Explain::Inline]).await;
        judgement
    }

    /// The roles that decoder minds play: those that share a pass together, small bases first.
    pub fn decoder_roles(&self) -> impl Iterator<Item = Vec<&str>> {
        self.0.decoders.iter().map(|decoder| decoder.roles().collect())
    }

    /// Tokens of a text by the flash minds' tokenizer; a quarter of its characters where none is loaded.
    pub fn count_tokens(&self, text: &str) -> u64 {
        let counted = self.0.encoders.first().and_then(|encoder| encoder.count_tokens(text));
        counted.unwrap_or_else(|| text.chars().count().div_ceil(4)) as u64
    }

    /// Requests that wait for an inference thread or are being read by one.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// What the minds count.
    pub fn metrics(&self) -> &MindMetrics {
        &self.0.metrics
    }

    /// Brings the gauges among the metrics up to date.
    pub fn gauge(&self) {
        self.0.gauge();
    }

    /// As if an inference thread had broken down.
    #[cfg(test)]
    pub(crate) fn end(&self) {
        self.0.encoders.iter().for_each(|encoder| encoder.engine.end());
    }

    /// One entry per mind that is switched on.
    pub fn status(&self) -> Vec<MindStatus> {
        self.0.status()
    }
}
