//! From configuration to running decoders. A base is opened once, however many minds and
//! prompts stand on it, on threads that step back for the encoders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::super::batch::{Engine, Sessions};
use super::super::cache::{Cache, Seed};
use super::super::crew::{Refusal, first_usable};
use super::super::encoder;
use super::super::engine::{EngineError, Forward, Options, Program, Row, Runtime, finite};
use super::super::load::LoadError;
use super::super::manifest::{Folder, Stand, Task};
use super::super::queue::PassLimit;
use super::super::readable::Readable;
use super::super::tokenizer::Tokenizer;
use super::super::{Input, MindStatus, Part};
use super::Decoder;
use super::head::{Answers, Member, Weights};
use super::pass::{Head, Pass};
use super::reader::Reader;
use super::speaker::{Speaker, Voice};
use super::steering::Steering;
use crate::config::{Explain, Mind, Provider};
use crate::telemetry::MindMetrics;

/// How much a decoder's threads step back; the encoders' verdicts are waited for by everyone.
const NICE: i32 = 19;

/// Company is nearly free while the weights are what is waited for, and not beyond.
const PASS: PassLimit = PassLimit { windows: 4, tokens: 320 };

/// More threads than these only wait for memory.
const MOST_THREADS: usize = 4;

const WARM_UP: &str = "What is the difference between a virus and a bacterium?";
const LOAD_DEADLINE: Duration = Duration::from_secs(60);

/// The layers of a base that write.
const SPEAK: &str = "speak.onnx";

/// A decoder mind as configured, its folder read and verified.
pub(in super::super) struct Asked<'a> {
    pub(in super::super) role: &'a str,
    pub(in super::super) mind: &'a Mind,
    pub(in super::super) folder: Folder,
}

/// A base that runs.
struct Open {
    program: Arc<Mutex<Program>>,
    threads: usize,
    refused: Vec<Refusal>,
}

/// What all decoders are built with.
pub(in super::super) struct Means<'a> {
    pub(in super::super) runtime: &'a Runtime,
    pub(in super::super) bases_dir: &'a Path,
    /// The mind that reads every request first, if one does.
    pub(in super::super) brain: Option<&'a Folder>,
    pub(in super::super) known: &'a Arc<Cache<Row>>,
    pub(in super::super) metrics: &'a Arc<MindMetrics>,
}

/// One decoder for each base and prompt, and how its minds stand.
pub(in super::super) fn load(
    asked: &[Asked<'_>],
    means: &Means<'_>,
) -> Result<Vec<(Decoder, Vec<MindStatus>)>, LoadError> {
    let mut families: Vec<Vec<&Asked<'_>>> = Vec::new();
    for one in asked {
        match families.iter_mut().find(|family| family[0].stand() == one.stand()) {
            Some(family) => family.push(one),
            None => families.push(vec![one]),
        }
    }
    families.sort_by_key(|family| family[0].bytes(means.bases_dir));
    let build = || {
        // Threads inherit it, the library's own among them.
        rustix::process::nice(NICE).map_err(|error| LoadError::Thread(error.into()))?;
        let mut bases = BTreeMap::new();
        families.iter().map(|family| decoder(family, means, &mut bases)).collect()
    };
    thread::scope(|scope| match scope.spawn(build).join() {
        Ok(built) => built,
        Err(_) => Err(LoadError::Thread(std::io::Error::other("loading the decoders stopped unexpectedly"))),
    })
}

impl Asked<'_> {
    /// Minds for which these are equal share a pass.
    fn stand(&self) -> (Option<&Stand>, usize, &[String]) {
        let manifest = &self.folder.manifest;
        (manifest.decoder.as_ref(), manifest.max_tokens, &manifest.scripts)
    }

    /// Of the weights of its base: what a pass costs goes by them.
    fn bytes(&self, bases_dir: &Path) -> u64 {
        let base = self.folder.manifest.decoder.as_ref().map(|stand| bases_dir.join(&stand.base));
        base.and_then(|base| base.join("decide.onnx.data").metadata().ok()).map_or(0, |file| file.len())
    }

    fn fault(&self, message: impl Into<String>) -> LoadError {
        LoadError::Role { role: self.role.to_owned(), message: message.into() }
    }
}

fn decoder(
    family: &[&Asked<'_>],
    means: &Means<'_>,
    bases: &mut BTreeMap<PathBuf, Open>,
) -> Result<(Decoder, Vec<MindStatus>), LoadError> {
    let first = family[0];
    let manifest = &first.folder.manifest;
    let stand = manifest.decoder.as_ref().ok_or_else(|| first.fault("its manifest names no base"))?;
    let folder = means.bases_dir.join(&stand.base);
    let tokenizer = folder.join("tokenizer.json");
    let file = |error: &dyn ToString| LoadError::File { path: tokenizer.clone(), message: error.to_string() };
    let loaded = Tokenizer::load(&tokenizer).map_err(|error| file(&error))?;
    let ids = |text: &str| loaded.prompt(text).map_err(|error| file(&error));
    let (before, after) = (ids(&stand.prompt.before)?, ids(&stand.prompt.after)?);
    if before.is_empty() || after.is_empty() {
        return Err(first.fault("the prompt in its manifest needs text before and after the question"));
    }
    let readable = Readable::new(&manifest.scripts, manifest.max_unknown_share)
        .map_err(|_| first.fault(format!("scripts {:?} are not all Unicode scripts", manifest.scripts)))?;
    let reader = Reader { tokenizer: loaded, readable, max_tokens: manifest.max_tokens, suffix: after };
    let base = base(&folder, family, means, bases)?;
    let started = Instant::now();
    let (mut heads, mut members, mut outputs) = (Vec::new(), Vec::new(), 0);
    for asked in family {
        let (head, member) = head(asked, means, &mut outputs)?;
        heads.push(head);
        members.push(member);
    }
    let (steering, finder) = steering(family, means, outputs)?.unzip();
    let mut pass = Pass::new(Arc::clone(&base.program), &before, reader.suffix.len(), heads, finder)?;
    warm_up(&mut pass, &reader, &members, family)?;
    let speaker = speaker(family, &folder, base, means)?;
    let (warm_up, provider) = (started.elapsed(), pass.provider());
    let identity = family.iter().flat_map(|asked| asked.folder.manifest.files.values());
    let prompt = [&stand.prompt.before, &stand.prompt.after];
    let seed = Seed::new(stand.files.values().chain(identity).chain(prompt).map(String::as_str));
    let sessions = Sessions { each: vec![Box::new(pass)], wide: None };
    let (known, metrics) = (Arc::clone(means.known), Arc::clone(means.metrics));
    let engine = Engine::start(sessions, 0, limit(family), known, metrics).map_err(LoadError::Thread)?;
    let status = |member: &Member| MindStatus {
        role: member.role.to_string(),
        name: Arc::clone(&member.name),
        provider,
        refused: base.refused.clone(),
        ready: true,
        warm_up,
    };
    let status = members.iter().map(status).collect();
    Ok((Decoder { reader, engine, seed, members, steering, speaker }, status))
}

fn limit(family: &[&Asked<'_>]) -> PassLimit {
    let asked = family.iter().filter_map(|asked| asked.mind.batch).min();
    PassLimit { windows: asked.unwrap_or(PASS.windows), ..PASS }
}

/// The base in `folder`, opened if no earlier prompt has done so.
fn base<'a>(
    folder: &Path,
    family: &[&Asked<'_>],
    means: &Means<'_>,
    bases: &'a mut BTreeMap<PathBuf, Open>,
) -> Result<&'a Open, LoadError> {
    if !bases.contains_key(folder) {
        let cores = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let threads = match family.iter().map(|asked| asked.mind.threads).max() {
            None | Some(0) => cores,
            Some(threads) => threads,
        };
        let graph = folder.join("decide.onnx");
        let open = |provider: Provider| {
            let largest = [PASS.windows, PASS.tokens];
            let options = Options { provider, helpers: Vec::new(), threads, largest, outputs: Vec::new() };
            Program::open(means.runtime, &graph, &options)
        };
        let (program, refused) = first_usable(&family[0].mind.execution_providers, open)?;
        bases.insert(folder.to_owned(), Open { program: Arc::new(Mutex::new(program)), threads, refused });
    }
    bases.get(folder).ok_or_else(|| family[0].fault("its base is not open"))
}

/// The mind's head, and how to read its outputs; `before` of them are other minds'.
fn head(asked: &Asked<'_>, means: &Means<'_>, before: &mut usize) -> Result<(Head, Member), LoadError> {
    let manifest = &asked.folder.manifest;
    let mut outputs = Vec::new();
    let mut output = |name: &str| {
        let output = manifest.graph.outputs.get(name)?;
        outputs.push(output.clone());
        Some(encoder::Head { index: *before + outputs.len() - 1, temperature: manifest.temperature(name) })
    };
    let labels: Arc<[String]> = manifest.labels.clone().into();
    let lacks = |name: &str| asked.fault(format!("its manifest names no output for `{name}`"));
    let answers = match manifest.task {
        Task::Intent => Answers::Intent {
            labels,
            category: output("category").ok_or_else(|| lacks("category"))?,
            complexity: output("complexity"),
            beside: weights(asked, means.brain)?,
        },
        Task::Expert => Answers::Expert {
            labels,
            domain: output("domain").ok_or_else(|| lacks("domain"))?,
            difficulty: output("difficulty").ok_or_else(|| lacks("difficulty"))?,
            solvers: output("p_solve").map(|head| (head, manifest.solvers.clone().into())),
        },
        task => return Err(asked.fault(format!("{} is a decoder for {task}, which none is made for", manifest.name))),
    };
    *before += outputs.len();
    let program = Program::open(means.runtime, &asked.folder.graph(), &Options::one_core(Vec::new()))?;
    let limits = encoder::Limits { deadline: asked.mind.deadline, queue: asked.mind.queue.max(1) };
    let (role, name, explain) = (asked.role.into(), manifest.name.to_string().into(), asked.mind.explain);
    Ok((Head { program, outputs }, Member { role, name, limits, explain, answers }))
}

/// What finds sentences that steer, if a mind of the family came with it; its output stands behind `outputs` others.
fn steering(
    family: &[&Asked<'_>],
    means: &Means<'_>,
    outputs: usize,
) -> Result<Option<(Steering, Program)>, LoadError> {
    let named = family.iter().find_map(|asked| Some((asked, asked.folder.manifest.steering.as_ref()?)));
    let Some((asked, steering)) = named else { return Ok(None) };
    let program = Program::open(means.runtime, &asked.folder.file(&steering.file), &Options::one_core(Vec::new()))?;
    let threshold = (steering.threshold / (1.0 - steering.threshold)).ln();
    Ok(Some((Steering { index: outputs, threshold }, program)))
}

/// What writes reasons, where a mind of the family is to give some.
fn speaker(family: &[&Asked<'_>], folder: &Path, base: &Open, means: &Means<'_>) -> Result<Option<Speaker>, LoadError> {
    let Some(asked) = family.iter().find(|asked| asked.mind.explain != Explain::Off) else { return Ok(None) };
    let stand = asked.folder.manifest.decoder.as_ref().filter(|stand| stand.files.contains_key(SPEAK));
    let prompt = stand.and_then(|stand| stand.reason.clone());
    let prompt = prompt.ok_or_else(|| asked.fault("`explain`: this mind was made without reasons"))?;
    let tokenizer = folder.join("tokenizer.json");
    let file = |error: &dyn ToString| LoadError::File { path: tokenizer.clone(), message: error.to_string() };
    let options = Options { threads: base.threads, ..Options::one_core(Vec::new()) };
    let voice = Voice {
        base: Arc::clone(&base.program),
        top: Program::open(means.runtime, &folder.join(SPEAK), &options)?,
        tokenizer: Tokenizer::load(&tokenizer).map_err(|error| file(&error))?,
        prompt,
    };
    let queue = family.iter().map(|asked| asked.mind.queue).max().unwrap_or(0);
    Speaker::start(voice, queue).map(Some).map_err(|error| asked.fault(format!("`explain`: {error}")))
}

/// How the mind weighs the flash mind's word with its own; that one must be the one it was fitted to.
fn weights(asked: &Asked<'_>, brain: Option<&Folder>) -> Result<Option<Weights>, LoadError> {
    let manifest = &asked.folder.manifest;
    let Some(beside) = &manifest.beside else { return Ok(None) };
    let fits = brain.is_some_and(|brain| {
        let theirs = &brain.manifest;
        theirs.name == beside.mind
            && theirs.files.get(&theirs.graph.file) == Some(&beside.sha256)
            && theirs.labels == manifest.labels
    });
    if !fits {
        let (name, other) = (&manifest.name, &beside.mind);
        return Err(asked.fault(format!(
            "{name} weighs its word with that of {other} as it was when {name} was trained; [minds.brain] must be that one"
        )));
    }
    let of = |head: &str| beside.weights.get(head).copied();
    let lacks = || asked.fault("its manifest names no weight for `category`");
    let category = of("category").ok_or_else(lacks)?;
    Ok(Some(Weights { category, complexity: of("complexity").unwrap_or([1.0, 0.0]) }))
}

/// A real question, alone and in company: the heads fit the base and the labels.
fn warm_up(pass: &mut Pass, reader: &Reader, members: &[Member], family: &[&Asked<'_>]) -> Result<(), LoadError> {
    let input = |text: &str| Input { parts: vec![Part::alone(text)], not_text: false };
    let read = |text: &str| reader.question(&input(text), tokio::time::Instant::now() + LOAD_DEADLINE);
    let batch = [WARM_UP, "Hi"].map(|text| {
        read(text).map(|asked| reader.framed(&asked)).map_err(|why| family[0].fault(format!("it cannot read: {why}")))
    });
    let batch = batch.into_iter().collect::<Result<Vec<_>, _>>()?;
    let graph = family[0].folder.graph();
    let misfit = |error: EngineError| EngineError::Graph {
        path: graph.clone(),
        message: format!("it does not fit the base it stands on: {error}"),
    };
    let rows = pass.run(&batch, 0).map_err(misfit)?;
    for (row, member) in rows.iter().flat_map(|row| members.iter().map(move |member| (row, member))) {
        let fault = |message: String| LoadError::Role { role: member.role.to_string(), message };
        member.check(row).map_err(fault)?;
        if !finite(row) {
            return Err(fault("it answers with values that are not numbers".to_owned()));
        }
    }
    Ok(())
}
