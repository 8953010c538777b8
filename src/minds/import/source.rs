//! Which files of a folder from elsewhere make a model. It looks and chooses; it copies
//! nothing and opens no graph.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ImportError;

/// Most wanted first: what was trained, then what was rounded.
const GRAPHS: [&str; 6] = [
    "model.onnx",
    "model_quantized.onnx",
    "model_int8.onnx",
    "model_uint8.onnx",
    "model_fp16.onnx",
    "model_optimized.onnx",
];

/// Where exporters put graphs.
const FOLDERS: [&str; 2] = ["", "onnx"];

/// The files of one model.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) folder: PathBuf,
    pub(super) config: Value,
    pub(super) tokenizer: PathBuf,
    pub(super) graph: PathBuf,
    /// Weights that the graph keeps in files of their own.
    pub(super) weights: Vec<PathBuf>,
    /// Graphs that were not chosen, relative to the folder.
    pub(super) passed_over: Vec<String>,
}

impl Source {
    pub(super) fn find(folder: &Path, graph: Option<&Path>) -> Result<Self, ImportError> {
        if !folder.is_dir() {
            return Err(ImportError::refused(folder, "there is no such folder"));
        }
        let config = json(&folder.join("config.json"))?
            .ok_or_else(|| ImportError::refused(folder.join("config.json"), "missing; an export has one"))?;
        let present = graphs(folder)?;
        let graph = match graph {
            Some(asked) => named(folder, asked)?,
            None => chosen(folder, &present)?,
        };
        let beside = graph.parent().unwrap_or(folder);
        let tokenizer =
            [folder, beside].map(|place| place.join("tokenizer.json")).into_iter().find(|path| path.is_file());
        let tokenizer = tokenizer.ok_or_else(|| {
            let message = "missing; `AutoTokenizer.from_pretrained(…).save_pretrained(…)` writes it";
            ImportError::refused(folder.join("tokenizer.json"), message)
        })?;
        let others = present.iter().filter(|path| **path != graph);
        let passed_over = others.map(|path| relative(folder, path)).collect();
        Ok(Self { folder: folder.to_owned(), config, tokenizer, weights: weights(&graph)?, graph, passed_over })
    }

    /// A path for people: without the folder where it can be.
    pub(super) fn short(&self, path: &Path) -> String {
        relative(&self.folder, path)
    }
}

fn relative(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// A JSON file, `None` where it is missing.
pub(super) fn json(path: &Path) -> Result<Option<Value>, ImportError> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read(path).map_err(|source| ImportError::file(path, source))?;
    let value = serde_json::from_slice(&text);
    value.map(Some).map_err(|error| ImportError::refused(path, format!("not readable as JSON: {error}")))
}

/// Every graph in the folder and its `onnx` folder, by name.
fn graphs(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let mut found = Vec::new();
    for folder in FOLDERS.map(|below| folder.join(below)).iter().filter(|folder| folder.is_dir()) {
        found.extend(files(folder)?.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "onnx")));
    }
    found.sort();
    Ok(found)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let unreadable = |source| ImportError::file(folder, source);
    let entries = fs::read_dir(folder).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}

fn named(folder: &Path, asked: &Path) -> Result<PathBuf, ImportError> {
    let found = [folder.join(asked), asked.to_owned()].into_iter().find(|path| path.is_file());
    found.ok_or_else(|| ImportError::refused(folder.join(asked), "there is no such graph"))
}

fn chosen(folder: &Path, present: &[PathBuf]) -> Result<PathBuf, ImportError> {
    let wanted = GRAPHS.iter().flat_map(|name| FOLDERS.map(|below| folder.join(below).join(name)));
    if let Some(graph) = wanted.into_iter().find(|path| present.contains(path)) {
        return Ok(graph);
    }
    match present {
        [only] => Ok(only.clone()),
        [] => Err(ImportError::refused(folder, "no .onnx file here or in onnx/; `optimum-cli export onnx` makes one")),
        several => {
            let names: Vec<_> = several.iter().map(|path| relative(folder, path)).collect();
            Err(ImportError::refused(folder, format!("choose one with --graph: {}", names.join(", "))))
        }
    }
}

/// `model.onnx_data`, `model.onnx_data_1`, `model.onnx.data`: named after the graph.
fn weights(graph: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let (Some(folder), Some(name)) = (graph.parent(), graph.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = files(folder)?;
    found.retain(|path| {
        let rest = path.file_name().and_then(|file| file.to_str()).and_then(|file| file.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with(['_', '.']))
    });
    found.sort();
    Ok(found)
}
