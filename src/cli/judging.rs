//! Loading minds for the commands that work through files: no request waits, so neither
//! deadlines nor short queues apply.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::Failure;
use super::progress::{self, LOADING, Progress};
use crate::config::{Config, DEFAULT_CACHE_BYTES, Exemplar, Explain, Folders, Mind, ROLES, flash};
use crate::minds::{Folder, Manifest, Minds};

/// Texts judged at once, so that the minds can batch.
pub(super) const IN_FLIGHT: usize = 64;

const PATIENCE: Duration = Duration::from_secs(3600);

/// What to load.
#[derive(Clone)]
pub(super) struct Choice {
    pub(super) folders: Folders,
    pub(super) minds: BTreeMap<String, Mind>,
    pub(super) exemplars: BTreeMap<String, Exemplar>,
    /// What the minds may remember.
    pub(super) cache_bytes: usize,
    /// The labels that count for the PII guard; `None`: all.
    pub(super) pii_labels: Option<Vec<String>>,
}

impl Choice {
    /// The configured minds, or the four flash minds with the thresholds they ship with. Decoders
    /// give no reasons.
    pub(super) fn new(config: Option<&Path>) -> Result<Self, Failure> {
        let mut choice = Self::with_reasons(config)?;
        choice.explain(|_| Explain::Off);
        Ok(choice)
    }

    /// The same, and decoders explain themselves as they are configured to.
    pub(super) fn with_reasons(config: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = config else {
            let minds = BTreeMap::from(ROLES.map(|role| (role.to_owned(), shipped(role))));
            let folders = Folders::default();
            let (exemplars, cache_bytes) = (BTreeMap::new(), DEFAULT_CACHE_BYTES);
            return Ok(Self { folders, minds, exemplars, cache_bytes, pii_labels: None });
        };
        let config = Config::load(path).map_err(|faults| Failure::config(faults.to_string()))?;
        let folders = config.folders();
        let Config { minds, exemplars, minds_cache_bytes: cache_bytes, guard, .. } = config;
        Ok(Self { folders, minds, exemplars, cache_bytes, pii_labels: guard.pii.labels })
    }

    /// The folders of the minds that are switched on.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.minds.values().filter(|mind| mind.enabled).map(|mind| mind.model.as_str())
    }

    /// Keeps only the minds called `names`, and those whose word they weigh with their own; one
    /// that is not configured runs as it ships.
    pub(super) fn only(&mut self, names: &[String]) -> Result<(), Failure> {
        let mut kept = BTreeMap::new();
        let mut names = names.to_vec();
        while let Some(name) = &names.pop() {
            let folder =
                Folder::open(&self.folders.models_dir, name).map_err(|error| Failure::config(error.to_string()))?;
            let role = folder.manifest.role();
            names.extend(folder.manifest.beside.iter().map(|beside| beside.mind.to_string()));
            names.extend(folder.manifest.reads.values().map(ToString::to_string));
            let mind = match self.minds.get(&role).filter(|mind| mind.model == *name) {
                Some(mind) => Mind { enabled: true, ..mind.clone() },
                None => Mind { model: name.clone(), ..Mind::default() },
            };
            if kept.insert(role.clone(), mind).is_some_and(|other| other.model != *name) {
                return Err(Failure::new(format!("two minds for the role {role}; run the command once for each")));
            }
        }
        self.minds = kept;
        Ok(())
    }

    /// Only the mind that plays `role`, switched on.
    pub(super) fn keep_role(&mut self, role: &str) -> Result<(), Failure> {
        let none = || Failure::config(format!("the configuration has no [minds.{role}]"));
        let mind = self.minds.remove(role).ok_or_else(none)?;
        self.minds = BTreeMap::from([(role.to_owned(), Mind { enabled: true, ..mind })]);
        Ok(())
    }

    /// The manifest of the mind that plays `role`.
    pub(super) fn manifest(&self, role: &str) -> Result<Manifest, Failure> {
        self.named(&self.minds.get(role).map_or_else(|| shipped(role).model, |mind| mind.model.clone()))
    }

    /// The manifest of the mind called `name`.
    pub(super) fn named(&self, name: &str) -> Result<Manifest, Failure> {
        let folder =
            Folder::open(&self.folders.models_dir, name).map_err(|error| Failure::config(error.to_string()))?;
        Ok(folder.manifest)
    }

    /// Only the mind called `name`, with its shipped settings.
    pub(super) fn alone(&self, name: &str) -> Result<Self, Failure> {
        let folders = self.folders.clone();
        let (minds, exemplars) = (BTreeMap::new(), BTreeMap::new());
        let mut choice = Self { folders, minds, exemplars, cache_bytes: self.cache_bytes, pii_labels: None };
        choice.only(&[name.to_owned()])?;
        Ok(choice)
    }

    /// How all decoders explain themselves, from how they would.
    pub(super) fn explain(&mut self, how: impl Fn(Explain) -> Explain) {
        let decoders = self.minds.iter_mut().filter(|(role, _)| !ROLES.contains(&role.as_str()));
        decoders.for_each(|(_, mind)| mind.explain = how(mind.explain));
    }

    /// Lets every text wait for its turn, with this many on their way.
    pub(super) fn be_patient(&mut self, in_flight: usize) {
        for mind in self.minds.values_mut() {
            mind.deadline = PATIENCE;
            mind.queue = mind.queue.max(2 * in_flight);
        }
    }

    pub(super) fn load(mut self) -> Result<Minds, Failure> {
        self.be_patient(IN_FLIGHT);
        let minds = progress::during(LOADING, || {
            Minds::open_with_cache(&self.folders, &self.minds, &self.exemplars, self.cache_bytes)
        });
        minds.map_err(|error| Failure::config(error.to_string()))
    }
}

/// The flash mind of a role.
fn shipped(role: &str) -> Mind {
    Mind { model: flash(role), ..Mind::default() }
}

/// The runtime of a command that judges.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?)
}

/// Does `work` with every item, as many at once as the minds can batch, and tells how far it is.
/// Answers stand in the order of the items.
pub(super) async fn each<T, F: Future>(
    items: impl IntoIterator<Item = T>,
    what: &'static str,
    work: impl Fn(T) -> F,
) -> Vec<F::Output> {
    let mut progress = Progress::new(what);
    let mut done = Vec::new();
    let mut working = std::pin::pin!(stream::iter(items).map(work).buffered(IN_FLIGHT));
    while let Some(one) = working.next().await {
        done.push(one);
        progress.step();
    }
    progress.finish();
    done
}
