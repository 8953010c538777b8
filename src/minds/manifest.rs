//! `manifest.json`: what a mind is, which files it needs and their hashes.
//!
//! Unknown keys are refused, except inside the free-form records (training, metrics, base,
//! tools). No path leads outside the models folder.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::name::MindName;
use super::tags::Tags;
use super::verdict::COMPLEXITIES;

/// The label that every jailbreak mind has; all its others are attacks.
pub(super) const BENIGN: &str = "benign";

/// The parsed file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: MindName,
    pub kind: Kind,
    pub task: Task,
    /// In output order; for `pii` without the BIO prefixes.
    pub labels: Vec<String>,
    #[serde(default)]
    pub complexity_labels: Vec<String>,
    /// For `pii`: what each column of the graph means, as in `B-PERSON`; where left out the
    /// columns are `O, B-x, I-x, …` in label order.
    #[serde(default)]
    pub tags: Vec<String>,
    /// For `expert` and `quality`: the models whose chance of solving the question it tells, in output order.
    #[serde(default)]
    pub solvers: Vec<String>,
    /// An encoder's graph; a decoder's head; a predictor's weights.
    pub graph: Graph,
    /// For `quality`: the minds whose verdicts it reads, by role.
    #[serde(default)]
    pub reads: BTreeMap<String, MindName>,
    /// Decoders use the one of their base.
    #[serde(default)]
    pub tokenizer: Option<TokenizerFile>,
    /// What a decoder stands on; encoders stand alone.
    #[serde(default)]
    pub decoder: Option<Stand>,
    /// A decoder that weighs another mind's verdict with its own.
    #[serde(default)]
    pub beside: Option<Beside>,
    /// A decoder that finds sentences which steer.
    #[serde(default)]
    pub steering: Option<Steering>,
    /// Longest window, special tokens included; for a decoder, tokens of the question that it reads;
    /// nothing for a predictor.
    #[serde(default)]
    pub max_tokens: usize,
    #[serde(default)]
    pub overlap_tokens: usize,
    /// Logits are divided by it, by head; 1 where left out.
    #[serde(default)]
    pub temperature: BTreeMap<String, f32>,
    /// A window's answer does not depend on the other windows of its pass, so that batching
    /// changes no score: int8 graphs with static activation scales, float graphs.
    #[serde(default)]
    pub batch_invariant: bool,
    /// By task; 0..1, for `similarity` -1..1.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f32>,
    /// Rows of threshold, recall and false positive rate on held-out text, where measured.
    #[serde(default)]
    pub roc: Vec<[f32; 3]>,
    /// Unicode scripts the mind was trained on.
    #[serde(default)]
    pub scripts: Vec<String>,
    /// Share of unknown tokens beyond which a text is unreadable.
    #[serde(default)]
    pub max_unknown_share: f32,
    /// Sha256 by path relative to the mind's folder.
    pub files: BTreeMap<String, String>,
    #[serde(default)]
    pub training: serde_json::Value,
    #[serde(default)]
    pub metrics: serde_json::Value,
    #[serde(default)]
    pub base: serde_json::Value,
    #[serde(default)]
    pub tools: serde_json::Value,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Encoder,
    Decoder,
    /// Reads no text: it reads what other minds said.
    Predictor,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    Intent,
    Jailbreak,
    Pii,
    Similarity,
    /// One field of knowledge: what part of it, how difficult, and who can solve it.
    Expert,
    /// How well each model would answer.
    Quality,
}

/// The language model under a decoder mind, and what it is told around the question.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Stand {
    /// A folder below `bases_dir`.
    pub base: String,
    /// Sha256 by file name.
    pub files: BTreeMap<String, String>,
    pub prompt: Prompt,
    /// Around the question when the decision has to be explained: `{label}` and `{difficulty}`
    /// in `after` stand for it. Left out: the base is not asked for reasons.
    #[serde(default)]
    pub reason: Option<Prompt>,
}

/// Whose verdict is weighed with the decoder's own, and how much.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    pub mind: MindName,
    /// Of that mind's graph: the weights were fitted to what this one says.
    pub sha256: String,
    /// By head: exponents of the decoder's probabilities and of the other's.
    pub weights: BTreeMap<String, [f32; 2]>,
}

/// A graph from `states` of tokens to `steers`: three logits each, to be averaged over a sentence,
/// for the sentence itself, the next one and the one before.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steering {
    pub file: String,
    /// Probability from which a sentence is left out.
    pub threshold: f32,
}

/// Fixed text before and after the question; minds with the same one share a pass.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    pub before: String,
    pub after: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    pub file: String,
    /// Head to the name of the graph's output.
    pub outputs: BTreeMap<String, String>,
    /// For `similarity`: how the vectors of tokens become one, where the graph leaves that open.
    #[serde(default)]
    pub pooling: Option<Pooling>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Pooling {
    pub by: PoolBy,
    /// Of one token's vector.
    pub width: usize,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum PoolBy {
    Mean,
    /// The vector of the first token.
    First,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerFile {
    pub file: String,
    /// Where left out, the tokenizer's `[PAD]` or `<pad>`.
    #[serde(default)]
    pub pad_id: Option<u32>,
}

impl Task {
    /// The role in the configuration that a mind of this task plays.
    pub fn role(self) -> &'static str {
        match self {
            Self::Intent => "brain",
            Self::Jailbreak => "jailbreak",
            Self::Pii => "pii",
            Self::Similarity => "similarity",
            Self::Expert => "expert",
            Self::Quality => "quality",
        }
    }
}

/// What is wrong with a mind's folder. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("there is no mind called `{name}` in {models_dir}; `mom models list` shows those that are")]
    Absent { name: String, models_dir: PathBuf },
    #[error("{path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("{path}: {message}")]
    Invalid { path: PathBuf, message: String },
    #[error("{path}: its sha256 is {found}, the manifest of {mind} says {expected}: not the file it was made for")]
    WrongHash { path: PathBuf, mind: String, found: String, expected: String },
    #[error("{mind} needs the base {base}, which is not in {bases_dir}: run `make models`")]
    NoBase { mind: String, base: String, bases_dir: PathBuf },
    #[error(
        "{path}: its sha256 is {found}, the manifest of {mind} says {expected}: not the base {base} it was made for; \
         run `make models`"
    )]
    WrongBase { path: PathBuf, mind: String, base: String, found: String, expected: String },
}

/// A manifest and the folder it stands in.
#[derive(Clone, Debug)]
pub struct Folder {
    pub path: PathBuf,
    pub manifest: Manifest,
}

impl Folder {
    /// Reads and validates `models_dir/name/manifest.json`; opens no other file.
    pub fn open(models_dir: &Path, name: &str) -> Result<Self, ManifestError> {
        let path = models_dir.join(name);
        let file = path.join("manifest.json");
        let text = std::fs::read(&file).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                ManifestError::Absent { name: name.to_owned(), models_dir: models_dir.to_owned() }
            }
            _ => ManifestError::Unreadable { path: file.clone(), source },
        })?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|source| ManifestError::Malformed { path: file.clone(), source })?;
        let folder = Self { path, manifest };
        match folder.fault(name) {
            Some(message) => Err(ManifestError::Invalid { path: file, message }),
            None => Ok(folder),
        }
    }

    /// Where a file of this mind is.
    pub fn file(&self, relative: &str) -> PathBuf {
        plain(&self.path.join(relative))
    }

    pub fn graph(&self) -> PathBuf {
        self.file(&self.manifest.graph.file)
    }

    /// An encoder's.
    pub fn tokenizer(&self) -> Option<PathBuf> {
        self.manifest.tokenizer.as_ref().map(|tokenizer| self.file(&tokenizer.file))
    }

    /// Hashes every file; the first that differs or cannot be read is the error.
    /// `known` remembers hashes of files that several minds share.
    pub fn verify(&self, known: &mut BTreeMap<PathBuf, String>) -> Result<(), ManifestError> {
        self.faults(known).next().map_or(Ok(()), Err)
    }

    /// As [`Folder::verify`], but every file that differs or cannot be read.
    pub fn faults<'a>(
        &'a self,
        known: &'a mut BTreeMap<PathBuf, String>,
    ) -> impl Iterator<Item = ManifestError> + use<'a> {
        let files = self.manifest.files.iter();
        files.filter_map(|(relative, expected)| self.verify_file(relative, expected, known).err())
    }

    fn verify_file(
        &self,
        relative: &str,
        expected: &str,
        known: &mut BTreeMap<PathBuf, String>,
    ) -> Result<(), ManifestError> {
        let path = self.file(relative);
        let found = match known.get(&path) {
            Some(found) => found.clone(),
            None => sha256(&path).map_err(|source| ManifestError::Unreadable { path: path.clone(), source })?,
        };
        known.insert(path.clone(), found.clone());
        if found.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        let (mind, expected) = (self.manifest.name.to_string(), expected.to_owned());
        Err(ManifestError::WrongHash { path, mind, found, expected })
    }

    /// The first contradiction in the manifest.
    fn fault(&self, name: &str) -> Option<String> {
        let manifest = &self.manifest;
        if manifest.name.to_string() != name {
            return Some(format!("it says `{}` but its folder is called `{name}`", manifest.name));
        }
        if let Some(fault) = manifest.label_fault() {
            return Some(fault);
        }
        let stands = match manifest.kind {
            Kind::Encoder => manifest.tokenizer.is_some() && manifest.decoder.is_none(),
            Kind::Decoder => manifest.tokenizer.is_none() && manifest.decoder.is_some(),
            Kind::Predictor => manifest.tokenizer.is_none() && manifest.decoder.is_none(),
        };
        if !stands {
            return Some("an encoder has a `tokenizer`, a decoder has `decoder`, and neither has both".to_owned());
        }
        if (manifest.kind == Kind::Predictor) != (manifest.task == Task::Quality) {
            return Some("kind `predictor` and task `quality` belong together".to_owned());
        }
        let tokenizer = manifest.tokenizer.as_ref().map(|tokenizer| &tokenizer.file);
        for file in tokenizer.into_iter().chain([&manifest.graph.file]) {
            if !manifest.files.contains_key(file) {
                return Some(format!("`{file}` is used but `files` has no sha256 for it"));
            }
        }
        if let Some(steering) = &manifest.steering {
            if manifest.kind != Kind::Decoder || !manifest.files.contains_key(&steering.file) {
                return Some("steering.file is not among the files of a decoder".to_owned());
            }
            if !(steering.threshold > 0.0 && steering.threshold < 1.0) {
                return Some("steering.threshold must be between 0 and 1".to_owned());
            }
        }
        if let Some(file) = manifest.files.keys().find(|file| !self.inside(file)) {
            return Some(format!("`{file}` leads outside the models folder"));
        }
        let reads_text = manifest.kind != Kind::Predictor;
        if reads_text && manifest.scripts.is_empty() {
            return Some("scripts lacks the scripts that it reads".to_owned());
        }
        if reads_text && manifest.max_tokens < 8 || manifest.overlap_tokens * 2 > manifest.max_tokens {
            return Some("max_tokens must be at least 8 and overlap_tokens at most half of it".to_owned());
        }
        if let Some((head, _)) = manifest.temperature.iter().find(|(_, value)| value.is_nan() || **value <= 0.0) {
            return Some(format!("temperature.{head} must be above 0"));
        }
        if manifest.roc.iter().flatten().any(|value| !(0.0..=1.0).contains(value)) {
            return Some(
                "roc holds rows of threshold, recall and false positive rate, each between 0 and 1".to_owned(),
            );
        }
        let range = if manifest.task == Task::Similarity { -1.0..=1.0 } else { 0.0..=1.0 };
        let wrong = manifest.thresholds.iter().find(|(_, value)| !range.contains(*value));
        wrong.map(|(key, _)| format!("thresholds.{key} must be between {} and {}", range.start(), range.end()))
    }

    fn inside(&self, file: &str) -> bool {
        let Some(models_dir) = self.path.parent() else { return false };
        let relative = Path::new(file).is_relative();
        relative && self.file(file).starts_with(plain(models_dir))
    }
}

impl Manifest {
    fn label_fault(&self) -> Option<String> {
        let (heads, labelled): (&[&str], bool) = match self.task {
            Task::Intent => (&["category"], !self.labels.is_empty()),
            Task::Jailbreak => {
                let benign = self.labels.iter().filter(|label| *label == BENIGN).count();
                (&["jailbreak"], self.labels.len() > 1 && benign == 1)
            }
            Task::Pii => (&["tags"], !self.labels.is_empty()),
            Task::Similarity => (&["embedding"], self.labels.is_empty()),
            Task::Expert => (&["domain", "difficulty"], !self.labels.is_empty()),
            Task::Quality => (&["p_solve"], self.labels.is_empty()),
        };
        if !labelled {
            return Some(format!("the labels do not fit the task {}", self.task));
        }
        if let Err(fault) = Tags::new(&self.tags, &self.labels) {
            return Some(fault);
        }
        if let Some(head) = heads.iter().find(|head| !self.graph.outputs.contains_key(**head)) {
            return Some(format!("graph.outputs lacks `{head}`"));
        }
        let decides = !matches!(self.task, Task::Intent | Task::Expert | Task::Quality);
        if decides && !self.thresholds.contains_key(&self.task.to_string()) {
            return Some(format!("thresholds lacks `{}`", self.task));
        }
        if self.solvers.is_empty() == self.graph.outputs.contains_key("p_solve") {
            return Some("solvers and graph.outputs.p_solve belong together".to_owned());
        }
        let complexity = self.graph.outputs.contains_key("complexity") && self.complexity_labels != COMPLEXITIES;
        complexity.then(|| format!("complexity_labels must be {COMPLEXITIES:?}"))
    }

    /// The section of the configuration that this mind goes into.
    pub fn role(&self) -> String {
        match self.kind {
            Kind::Encoder | Kind::Predictor => self.task.role().to_owned(),
            Kind::Decoder => self.name.role(),
        }
    }

    pub(super) fn temperature(&self, head: &str) -> f32 {
        self.temperature.get(head).copied().unwrap_or(1.0)
    }

    /// The shipped operating point; validated to be there for every task that knows one.
    pub fn threshold(&self) -> f32 {
        self.thresholds.get(&self.task.to_string()).copied().unwrap_or(0.5)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intent => "intent",
            Self::Jailbreak => "jailbreak",
            Self::Pii => "pii",
            Self::Similarity => "similarity",
            Self::Expert => "expert",
            Self::Quality => "quality",
        })
    }
}

/// `a/b/../c` without its detour; the file system is not asked.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests;
