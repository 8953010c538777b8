//! Minds from elsewhere: a classifier or an encoder as its makers export it becomes a folder
//! with a manifest.
//!
//! What cannot work is refused with the reason, before anything stands under the mind's name:
//! files are gathered in a folder beside it, tried out there, and moved at the end. It trains
//! and converts nothing.

use std::io;
use std::path::PathBuf;

use self::draft::Draft;
use self::labels::Labels;
use self::model::Model;
use self::source::Source;
use self::spelling::Meaning;
use self::staging::Staging;
use self::trial::Shape;
use super::disguise::Disguises;
use super::engine::{EngineError, Runtime};
use super::manifest::Task;
use super::name::{self, MindName, WrongName};
use super::readable::Readable;
use super::reading::Reader;
use super::tokenizer::Tokenizer;

mod draft;
mod graph;
mod labels;
mod model;
mod source;
mod spelling;
mod staging;
mod trial;

pub use trial::Trial;

/// What to import, and what its files leave open.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The export's folder.
    pub folder: PathBuf,
    /// The mind's new name.
    pub name: String,
    pub models_dir: PathBuf,
    /// One of several graphs, relative to `folder` or to the working directory.
    pub graph: Option<PathBuf>,
    pub task: Option<Task>,
    /// Tokens of a window, special ones included.
    pub max_tokens: Option<usize>,
    pub threshold: Option<f32>,
    pub licence: Option<String>,
    /// Unicode script names, or `Any`; guessed from the vocabulary where empty.
    pub scripts: Vec<String>,
    /// Replace a mind of this name.
    pub force: bool,
}

/// What was made.
#[derive(Debug)]
pub struct Report {
    pub name: String,
    pub place: PathBuf,
    pub task: Task,
    pub labels: usize,
    /// The file that named the labels.
    pub labels_from: Option<String>,
    /// Spellings that were changed, theirs first.
    pub renamed: Vec<(String, String)>,
    pub graph: String,
    pub bytes: u64,
    pub passed_over: Vec<String>,
    /// The output in use and its precision.
    pub output: String,
    pub bits: u8,
    pub max_tokens: usize,
    pub overlap_tokens: usize,
    pub positions: Option<usize>,
    pub scripts: Vec<String>,
    pub threshold: Option<f32>,
    pub licence: String,
    pub trial: Trial,
}

/// Why nothing was imported. Names the file or the option at fault.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Name(#[from] WrongName),
    #[error("{0} is there already; --force replaces it")]
    Exists(PathBuf),
    #[error("{path}: {message}")]
    Refused { path: PathBuf, message: String },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Option(String),
    #[error("{path}: the self-test failed {message}")]
    SelfTest { path: PathBuf, message: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("a built-in pattern does not compile: {0}")]
    Pattern(#[from] regex::Error),
}

impl ImportError {
    fn refused(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Refused { path: path.into(), message: message.into() }
    }

    fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}

/// Copies, tries out and registers a model. Blocks for as long as that takes.
pub fn import(request: &Request) -> Result<Report, ImportError> {
    let name: MindName = request.name.parse()?;
    let place = request.models_dir.join(&request.name);
    if place.exists() && !request.force {
        return Err(ImportError::Exists(place));
    }
    let source = Source::find(&request.folder, request.graph.as_deref())?;
    let model = Model::read(&source)?;
    let named = request.task.or_else(|| task_of_name(&name));
    let labels = labels::read(&source, named)?;
    let reader = reader(request, &source, &model)?;

    let runtime = Runtime::load()?;
    runtime.hush();
    let staging = Staging::new(&request.models_dir, &request.name)?;
    let files = staging.take(&source)?;
    let mut session = staging.session(&runtime, &source)?;
    let refused = |message: String| ImportError::refused(&source.graph, message);
    let output = graph::output(&session.outputs(), named == Some(Task::Similarity)).map_err(refused)?;
    session.choose(std::slice::from_ref(&output.name)).map_err(refused)?;
    let shape = graph::shape(&mut session, &reader, &output).map_err(refused)?;
    let task = graph::task(request.task, named, labels.as_ref(), &output, shape).map_err(refused)?;
    let meaning = meaning(task, labels.as_ref(), &source, shape)?;
    let trial = trial::run(&mut session, &reader, shape)
        .map_err(|message| ImportError::SelfTest { path: source.graph.clone(), message })?;
    drop(session);

    let threshold = draft::threshold(task, request.threshold)?;
    let pooling =
        (task == Task::Similarity && shape.per_token).then(|| graph::pooling(&source, shape.width)).transpose()?;
    let draft = Draft { request, source: &source, model: &model, reader: &reader, task, threshold };
    let manifest = draft.manifest(&files, &output, pooling, &trial, &meaning);
    staging.write(&manifest)?;
    trial::judged(staging.models_dir(), &request.name, task)
        .map_err(|message| ImportError::SelfTest { path: source.graph.clone(), message })?;
    staging.publish(&place)?;
    Ok(draft.report(place, labels, meaning, output, trial))
}

fn task_of_name(name: &MindName) -> Option<Task> {
    match &name.kind {
        name::Kind::Category(category) => spelling::task_of_name(category),
        name::Kind::Expert { .. } => None,
    }
}

/// How the mind will read, and whether tokenizer and graph go together.
fn reader(request: &Request, source: &Source, model: &Model) -> Result<Reader, ImportError> {
    let refused = |message: String| ImportError::refused(&source.tokenizer, message);
    let mut tokenizer = Tokenizer::load(&source.tokenizer).map_err(|error| refused(error.to_string()))?;
    if tokenizer.frame() == 0 {
        return Err(refused(
            "it puts no special tokens around a text, as [CLS] and [SEP]; an encoder needs them (`post_processor`)"
                .to_owned(),
        ));
    }
    let largest = u64::from(tokenizer.largest_id());
    if let Some(size) = model.vocabulary.filter(|size| largest >= *size) {
        let message = format!("it gives token ids up to {largest}, but config.json says the model knows {size} tokens");
        return Err(refused(message));
    }
    tokenizer.padding = model.pad_id.unwrap_or(tokenizer.padding);
    let scripts = if request.scripts.is_empty() { model.scripts() } else { request.scripts.clone() };
    let readable = Readable::new(&scripts, MAX_UNKNOWN_SHARE)
        .map_err(|_| ImportError::Option(format!("--scripts: {} are not all Unicode scripts", scripts.join(", "))))?;
    let max_tokens = model.window(request.max_tokens).map_err(ImportError::Option)?;
    let disguises = Disguises::new()?;
    Ok(Reader { tokenizer, readable, disguises, max_tokens, overlap: max_tokens / 4, patterns: None })
}

/// As for the shipped minds.
const MAX_UNKNOWN_SHARE: f32 = 0.3;

fn meaning(task: Task, labels: Option<&Labels>, source: &Source, shape: Shape) -> Result<Meaning, ImportError> {
    if task == Task::Similarity {
        return Ok(Meaning::default());
    }
    let labels = labels.ok_or_else(|| {
        let message = "no mapping file and no id2label in config.json: nothing names its labels";
        ImportError::refused(&source.folder, message)
    })?;
    if labels.names.len() != shape.width {
        let (count, width) = (labels.names.len(), shape.width);
        let message = format!("{count} labels, but the graph {} answers with {width}", source.short(&source.graph));
        return Err(ImportError::refused(&labels.file, message));
    }
    spelling::meaning(task, &labels.names).map_err(|message| ImportError::refused(&labels.file, message))
}

#[cfg(test)]
mod tests;
