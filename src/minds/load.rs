//! From configuration to running minds: verify, open, warm up.
//!
//! A file whose hash differs is refused here, by name. Minds that are switched off load
//! nothing; with none on, not even the library is opened.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::batch::Engine;
use super::cache::{Cache, Seed};
use super::crew::{Plan, Refusal};
use super::decoder::{self, Decoder, Means};
use super::disguise::Disguises;
use super::encoder::{
    Encoder, Exemplars, HarmHead, Head, Heads, IntentHead, JailbreakHead, Limits, PiiHead, SimilarityHead,
    mean_direction,
};
use super::engine::{EngineError, Row, Runtime, Session, finite};
use super::manifest::{BENIGN, Folder, Kind, ManifestError, Task};
use super::merge::Thresholds;
use super::patterns::Patterns;
use super::quality::{self, Quality};
use super::readable::Readable;
use super::reading::{Reader, Reading};
use super::tags::Tags;
use super::tokenizer::Tokenizer;
use super::turns::Turns;
use super::{Input, Judgement, MindNames, MindStatus, Part};
use crate::config::{Exemplar, Folders, Mind, Provider, ROLES};
use crate::telemetry::{MindMetrics, Scores};

/// What warms a graph up.
const LOAD_DEADLINE: Duration = Duration::from_secs(60);
const WARM_UP: &str = "Is it true that bats are blind, and if not, how do they find their way at night?";

/// Why the minds cannot run. Names the file, the role or the setting at fault.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("{path}: {message}")]
    File { path: PathBuf, message: String },
    #[error("[minds.{role}]: {message}")]
    Role { role: String, message: String },
    #[error("[exemplars.{name}]: {message}")]
    Exemplar { name: String, message: String },
    #[error("cannot start an inference thread: {0}")]
    Thread(#[source] std::io::Error),
    #[error("a built-in pattern does not compile: {0}")]
    Pattern(#[from] regex::Error),
}

/// One mind as configured, its folder read and verified.
struct Chosen<'a> {
    role: &'a str,
    mind: &'a Mind,
    folder: Folder,
}

/// Everything that runs.
pub(super) struct Loaded {
    pub(super) encoders: Vec<Arc<Encoder>>,
    /// Small bases before large ones.
    pub(super) decoders: Vec<Decoder>,
    /// Foresees from what the others say.
    pub(super) quality: Option<Quality>,
    pub(super) names: MindNames,
    /// Whole requests that were judged before, and the keys they are known by.
    pub(super) judged: Cache<Judgement>,
    pub(super) seed: Seed,
    /// Windows that were judged before; the engines fill it.
    known: Arc<Cache<Row>>,
    pub(super) metrics: Arc<MindMetrics>,
    pub(super) scores: Vec<(Task, Scores)>,
    /// As it was after loading: by encoder, then by decoder.
    status: Vec<(usize, MindStatus)>,
}

impl Loaded {
    pub(super) fn waiting(&self) -> usize {
        self.engines().map(Engine::waiting).sum()
    }

    fn engines(&self) -> impl Iterator<Item = &Engine> {
        let encoders = self.encoders.iter().map(|encoder| &encoder.engine);
        encoders.chain(self.decoders.iter().map(|decoder| &decoder.engine))
    }

    /// Whether a guard says how harmful what the person asks for is.
    pub(super) fn sees_harm(&self) -> bool {
        self.encoders.iter().any(|encoder| encoder.heads.jailbreak.as_ref().is_some_and(|mind| mind.harm.is_some()))
    }

    pub(super) fn status(&self) -> Vec<MindStatus> {
        let alive = |index: usize| self.engines().nth(index).is_some_and(Engine::alive);
        self.status.iter().map(|(index, status)| MindStatus { ready: alive(*index), ..status.clone() }).collect()
    }

    pub(super) fn gauge(&self) {
        self.metrics.cache_bytes(self.judged.bytes() + self.known.bytes());
        self.scores.iter().for_each(|(_, scores)| self.metrics.drift(scores));
    }
}

pub(super) fn load(
    folders: &Folders,
    minds: &BTreeMap<String, Mind>,
    exemplars: &BTreeMap<String, Exemplar>,
    cache_bytes: usize,
) -> Result<Loaded, LoadError> {
    let mut names = MindNames::default();
    let mut hashes = BTreeMap::new();
    let (mut families, mut asked): (Vec<Vec<Chosen<'_>>>, _) = (Vec::new(), Vec::new());
    for (role, mind) in minds {
        let name = if mind.model.is_empty() { crate::config::shipped(role) } else { mind.model.clone() };
        if !ROLES.contains(&role.as_str()) {
            if mind.enabled && role != quality::ROLE {
                asked.push(asked_for(role, mind, &name, folders, &mut hashes)?);
            }
            continue;
        }
        let wanted = wanted(role)?;
        *name_of(&mut names, wanted) = name.as_str().into();
        if !mind.enabled {
            continue;
        }
        let folder = Folder::open(&folders.models_dir, &name)?;
        check_role(role, wanted, &folder)?;
        folder.verify(&mut hashes)?;
        let chosen = Chosen { role, mind, folder };
        match families.iter_mut().find(|family| family.first().is_some_and(|first| chosen.reads_like(first))) {
            Some(family) => family.push(chosen),
            None => families.push(vec![chosen]),
        }
    }
    // Whole requests are small and answer at once: a quarter holds thousands of them.
    let of_requests = cache_bytes / 4;
    let mut loaded = Loaded {
        encoders: Vec::new(),
        decoders: Vec::new(),
        quality: None,
        judged: Cache::new(of_requests),
        seed: Seed::new(families.iter().flatten().flat_map(Chosen::identity)),
        names,
        known: Arc::new(Cache::new(cache_bytes - of_requests)),
        metrics: Arc::default(),
        scores: Vec::new(),
        status: Vec::new(),
    };
    if families.is_empty() && asked.is_empty() {
        return Ok(loaded);
    }
    let runtime = Runtime::load()?;
    for family in &families {
        let (encoder, status) = open(&runtime, family, exemplars, &loaded)?;
        loaded.watch(family, &status);
        loaded.status.extend(status.into_iter().map(|status| (loaded.encoders.len(), status)));
        loaded.encoders.push(Arc::new(encoder));
    }
    let brain = families.iter().flatten().find(|chosen| chosen.role == "brain").map(|chosen| &chosen.folder);
    let (bases_dir, known, metrics) = (&folders.bases_dir, &loaded.known, &loaded.metrics);
    let means = Means { runtime: &runtime, bases_dir, brain, known, metrics };
    for (decoder, status) in decoder::load(&asked, &means)? {
        for status in status {
            loaded.metrics.runs_on(&status.name, status.provider);
            status.refused.iter().for_each(|refusal| loaded.metrics.fell_back(&status.name, refusal.provider));
            loaded.status.push((loaded.encoders.len() + loaded.decoders.len(), status));
        }
        loaded.decoders.push(decoder);
    }
    if let Some(mind) = minds.get(quality::ROLE).filter(|mind| mind.enabled) {
        loaded.quality = Some(Quality::load(minds, mind, folders, &mut hashes)?);
    }
    Ok(loaded)
}

/// A role of its own is a decoder's.
fn asked_for<'a>(
    role: &'a str,
    mind: &'a Mind,
    name: &str,
    folders: &Folders,
    hashes: &mut BTreeMap<PathBuf, String>,
) -> Result<decoder::Asked<'a>, LoadError> {
    let folder = Folder::open(&folders.models_dir, name)?;
    let manifest = &folder.manifest;
    if manifest.kind != Kind::Decoder {
        let message = format!("{name} is an encoder; it plays the role {}", manifest.task.role());
        return Err(LoadError::Role { role: role.to_owned(), message });
    }
    folder.verify(hashes)?;
    match decoder::faults(&folder, &folders.bases_dir, hashes).into_iter().next() {
        Some(fault) => Err(fault.into()),
        None => Ok(decoder::Asked { role, mind, folder }),
    }
}

impl Loaded {
    /// Begins to count for a family that runs.
    fn watch(&mut self, family: &[Chosen<'_>], status: &[MindStatus]) {
        for (chosen, status) in family.iter().zip(status) {
            self.metrics.runs_on(&status.name, status.provider);
            status.refused.iter().for_each(|refusal| self.metrics.fell_back(&status.name, refusal.provider));
            let task = chosen.folder.manifest.task;
            if task != Task::Similarity {
                self.scores.push((task, self.metrics.watch(&status.name)));
            }
        }
    }
}

fn wanted(role: &str) -> Result<Task, LoadError> {
    match role {
        "brain" => Ok(Task::Intent),
        "jailbreak" => Ok(Task::Jailbreak),
        "pii" => Ok(Task::Pii),
        "similarity" => Ok(Task::Similarity),
        _ => Err(LoadError::Role {
            role: role.to_owned(),
            message: "no such role; there are brain, jailbreak, pii and similarity".to_owned(),
        }),
    }
}

fn name_of(names: &mut MindNames, task: Task) -> &mut Arc<str> {
    match task {
        Task::Intent => &mut names.intent,
        Task::Jailbreak => &mut names.jailbreak,
        Task::Pii => &mut names.pii,
        Task::Similarity | Task::Expert | Task::Quality => &mut names.embedding,
    }
}

fn check_role(role: &str, wanted: Task, folder: &Folder) -> Result<(), LoadError> {
    let manifest = &folder.manifest;
    let message = if manifest.task != wanted {
        format!("{} is made for the task {}, not {wanted}", manifest.name, manifest.task)
    } else if manifest.kind != Kind::Encoder {
        format!("{} is a decoder: give it a section of its own, [minds.{}]", manifest.name, manifest.name.role())
    } else {
        return Ok(());
    };
    Err(LoadError::Role { role: role.to_owned(), message })
}

impl Chosen<'_> {
    /// Whether one forward pass can serve both: same graph, same windows, same scripts.
    fn reads_like(&self, other: &Self) -> bool {
        let (a, b) = (&self.folder.manifest, &other.folder.manifest);
        self.folder.graph() == other.folder.graph()
            && self.folder.tokenizer() == other.folder.tokenizer()
            && (a.max_tokens, a.overlap_tokens) == (b.max_tokens, b.overlap_tokens)
            && a.scripts == b.scripts
            && a.max_unknown_share.to_bits() == b.max_unknown_share.to_bits()
    }

    fn head(&self, outputs: &mut Vec<String>, name: &str) -> Option<Head> {
        let output = self.folder.manifest.graph.outputs.get(name)?;
        let index = outputs.iter().position(|known| known == output).unwrap_or(outputs.len());
        if index == outputs.len() {
            outputs.push(output.clone());
        }
        Some(Head { index, temperature: self.folder.manifest.temperature(name) })
    }

    fn limits(&self) -> Limits {
        Limits { deadline: self.mind.deadline, queue: self.mind.queue.max(1) }
    }

    /// The operator's, else the manifest's; without either, from where it is more likely than not.
    fn harm_threshold(&self) -> f32 {
        let shipped = self.folder.manifest.thresholds.get("harm").copied();
        self.mind.harm_threshold.or(shipped).unwrap_or(0.5)
    }

    fn threshold(&self) -> f32 {
        self.mind.threshold.unwrap_or_else(|| self.folder.manifest.threshold())
    }
}

fn open(
    runtime: &Runtime,
    family: &[Chosen<'_>],
    exemplars: &BTreeMap<String, Exemplar>,
    loaded: &Loaded,
) -> Result<(Encoder, Vec<MindStatus>), LoadError> {
    let (first, mut outputs) = (&family[0], Vec::new());
    let mut heads = heads(family, &mut outputs)?;
    let reader = reader(first, heads.pii.is_some())?;
    let seed = Seed::new(first.identity().chain(outputs.iter().map(String::as_str)));
    let plan = plan(family, outputs);
    let graph = first.folder.graph();
    let fault = |message: String| EngineError::Graph { path: graph.clone(), message };
    let warming = read(&reader, WARM_UP).map_err(fault)?;
    let proof = |session: &mut Session| {
        let started = Instant::now();
        let (rows, tokens) = run(&reader, session, &warming).map_err(fault)?;
        rows.first().map_or(Ok(()), |row| heads.check(row, tokens)).map_err(fault)?;
        Ok(started.elapsed())
    };
    let (mut session, warm_up, refused) = plan.open(runtime, &graph, proof)?;
    let provider = session.provider;
    if let Some(similarity) = &mut heads.similarity {
        similarity.exemplars = meanings(&reader, &mut session, similarity, exemplars)?;
    }
    let again = |session: &mut Session| run(&reader, session, &warming).map_err(fault);
    let sessions = plan.crew(runtime, &graph, session, again)?;
    let padding = i64::from(reader.tokenizer.padding);
    let (known, metrics) = (Arc::clone(&loaded.known), Arc::clone(&loaded.metrics));
    let engine = Engine::start(sessions, padding, plan.limit(provider), known, metrics).map_err(LoadError::Thread)?;
    let status = family.iter().map(|chosen| chosen.status(provider, &refused, warm_up)).collect();
    Ok((Encoder { reader, turns: Turns::default(), engine, seed, heads }, status))
}

/// The guards' settings win where minds share a graph.
fn plan(family: &[Chosen<'_>], outputs: Vec<String>) -> Plan {
    let guard = family.iter().find(|chosen| chosen.role == "jailbreak").unwrap_or(&family[0]);
    Plan {
        providers: guard.mind.execution_providers.clone(),
        threads: family.iter().map(|chosen| chosen.mind.threads).max().unwrap_or(0),
        batch: family.iter().filter_map(|chosen| chosen.mind.batch).min(),
        batch_invariant: family.iter().all(|chosen| chosen.folder.manifest.batch_invariant),
        max_tokens: guard.folder.manifest.max_tokens,
        outputs,
    }
}

/// The exemplars' directions. One that cannot be read would match whatever cannot be read.
fn meanings(
    reader: &Reader,
    session: &mut Session,
    similarity: &SimilarityHead,
    exemplars: &BTreeMap<String, Exemplar>,
) -> Result<Exemplars, LoadError> {
    let mut meanings = Exemplars::new();
    for (name, exemplar) in exemplars {
        let texts = exemplar.texts.iter().map(|text| {
            let reading = read(reader, text)?;
            if !reading.ask_readable {
                return Err(format!("the mind cannot read {text:?}"));
            }
            let (rows, _) = run(reader, session, &reading)?;
            if !rows.iter().all(finite) {
                return Err(format!("the mind answers to {text:?} with values that are not numbers"));
            }
            let vectors: Vec<_> = rows.iter().map(|row| similarity.vector(row)).collect();
            Ok(mean_direction(vectors.iter().map(Vec::as_slice)))
        });
        let texts: Result<_, String> = texts.collect();
        let fault = |message| LoadError::Exemplar { name: name.clone(), message };
        meanings.push((name.clone(), texts.map_err(fault)?));
    }
    Ok(meanings)
}

/// Guarded, so that the patterns have run before the first request: they build their tables
/// then, for tens of milliseconds.
fn read(reader: &Reader, text: &str) -> Result<Reading, String> {
    let input = Input { parts: vec![Part::alone(text)], not_text: false };
    reader.read(&input, Instant::now() + LOAD_DEADLINE).map_err(|error| error.to_string())
}

/// Runs the ask right here, before the session has a thread: a row per window, and the tokens
/// of the first window. What is hidden in a text is no part of its meaning.
fn run(reader: &Reader, session: &mut Session, reading: &Reading) -> Result<(Vec<Row>, usize), String> {
    let (mut rows, mut tokens) = (Vec::new(), 0);
    for stream in reading.streams.iter().filter(|stream| stream.ask) {
        for window in &stream.windows {
            let framed = reader.framed(&stream.tokens[window.clone()]);
            tokens = if rows.is_empty() { framed.len() } else { tokens };
            rows.append(&mut session.run(&[framed], 0).map_err(|error| error.to_string())?);
        }
    }
    Ok((rows, tokens))
}

impl Chosen<'_> {
    fn status(&self, provider: Provider, refused: &[Refusal], warm_up: Duration) -> MindStatus {
        let name = self.folder.manifest.name.to_string().into();
        MindStatus { role: self.role.to_owned(), name, provider, refused: refused.to_vec(), ready: true, warm_up }
    }

    /// What its answers depend on beside the text: the hashes of its files.
    fn identity(&self) -> impl Iterator<Item = &str> {
        self.folder.manifest.files.values().map(String::as_str)
    }
}

fn reader(chosen: &Chosen<'_>, patterns: bool) -> Result<Reader, LoadError> {
    let manifest = &chosen.folder.manifest;
    let path = chosen.folder.tokenizer().unwrap_or_default();
    let mut tokenizer =
        Tokenizer::load(&path).map_err(|error| LoadError::File { path: path.clone(), message: error.to_string() })?;
    let padding = manifest.tokenizer.as_ref().and_then(|tokenizer| tokenizer.pad_id);
    tokenizer.padding = padding.unwrap_or(tokenizer.padding);
    let manifest_fault = |message: String| LoadError::File { path: chosen.folder.path.join("manifest.json"), message };
    let readable = Readable::new(&manifest.scripts, manifest.max_unknown_share)
        .map_err(|_| manifest_fault(format!("scripts {:?} are not all Unicode scripts", manifest.scripts)))?;
    Ok(Reader {
        tokenizer,
        readable,
        max_tokens: manifest.max_tokens,
        overlap: manifest.overlap_tokens,
        disguises: Disguises::new()?,
        patterns: if patterns { Some(Patterns::new()?) } else { None },
    })
}

fn heads(family: &[Chosen<'_>], outputs: &mut Vec<String>) -> Result<Heads, LoadError> {
    let mut heads = Heads::default();
    for chosen in family {
        let (limits, threshold) = (chosen.limits(), chosen.threshold());
        let labels = &chosen.folder.manifest.labels;
        let mut head = |name: &str| {
            chosen.head(outputs, name).ok_or_else(|| LoadError::Role {
                role: chosen.role.to_owned(),
                message: format!("the manifest names no output for `{name}`"),
            })
        };
        match chosen.folder.manifest.task {
            Task::Intent => {
                let category = head("category")?;
                heads.intent = Some(IntentHead {
                    limits,
                    category,
                    complexity: head("complexity").ok(),
                    labels: labels.clone().into(),
                });
            }
            Task::Jailbreak => {
                let (benign, width) = (labels.iter().position(|label| label == BENIGN).unwrap_or(0), labels.len());
                let jailbreak = head("jailbreak")?;
                let harm = head("harm").ok().map(|head| HarmHead { head, threshold: chosen.harm_threshold() });
                let (evidence, capacity) = (head("evidence").ok(), chosen.folder.manifest.max_tokens);
                heads.jailbreak =
                    Some(JailbreakHead { limits, head: jailbreak, evidence, benign, width, capacity, threshold, harm });
            }
            Task::Pii => {
                let fault = |message| LoadError::Role { role: chosen.role.to_owned(), message };
                let tags = Tags::new(&chosen.folder.manifest.tags, labels).map_err(fault)?;
                let head = head("tags")?;
                let labels = labels.iter().map(|label| Arc::from(label.as_str())).collect();
                // The manifest's threshold is fitted to the model's scores; the operator's counts for both.
                let thresholds = Thresholds { model: threshold, patterns: chosen.mind.threshold.unwrap_or(0.0) };
                heads.pii = Some(PiiHead { limits, head, labels, tags, thresholds });
            }
            Task::Similarity => {
                let (head, exemplars) = (head("embedding")?, Exemplars::default());
                let pooling = chosen.folder.manifest.graph.pooling;
                heads.similarity = Some(SimilarityHead { limits, head, pooling, threshold, exemplars });
            }
            // Decoders have heads of another kind, and no role here.
            Task::Expert | Task::Quality => {}
        }
    }
    Ok(heads)
}
