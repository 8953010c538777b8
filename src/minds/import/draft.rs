//! The manifest of an import, and the report to its user.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::labels::Labels;
use super::model::Model;
use super::source::Source;
use super::spelling::Meaning;
use super::staging::graph_name;
use super::trial::Trial;
use super::{ImportError, MAX_UNKNOWN_SHARE, Report, Request};
use crate::minds::Task;
use crate::minds::engine::Output;
use crate::minds::manifest::{PoolBy, Pooling};
use crate::minds::reading::Reader;

/// Operating points until `mom calibrate` or the user sets better ones.
pub(super) fn threshold(task: Task, asked: Option<f32>) -> Result<Option<f32>, ImportError> {
    let (lowest, usual) = match task {
        Task::Intent | Task::Expert | Task::Quality => return Ok(None),
        Task::Jailbreak | Task::Pii => (0.0, 0.5),
        Task::Similarity => (-1.0, 0.8),
    };
    let threshold = asked.unwrap_or(usual);
    if !(lowest..=1.0).contains(&threshold) {
        return Err(ImportError::Option(format!("--threshold must be between {lowest} and 1")));
    }
    Ok(Some(threshold))
}

/// What goes into the manifest and into the report.
pub(super) struct Draft<'a> {
    pub(super) request: &'a Request,
    pub(super) source: &'a Source,
    pub(super) model: &'a Model,
    pub(super) reader: &'a Reader,
    pub(super) task: Task,
    pub(super) threshold: Option<f32>,
}

impl Draft<'_> {
    fn licence(&self) -> String {
        self.request.licence.clone().unwrap_or_else(|| "unknown".to_owned())
    }

    fn scripts(&self) -> Vec<String> {
        if self.request.scripts.is_empty() { self.model.scripts() } else { self.request.scripts.clone() }
    }

    pub(super) fn manifest(
        &self,
        files: &BTreeMap<String, String>,
        output: &Output,
        pooling: Option<Pooling>,
        trial: &Trial,
        meaning: &Meaning,
    ) -> Value {
        let head = match self.task {
            Task::Intent => "category",
            Task::Jailbreak => "jailbreak",
            Task::Pii => "tags",
            Task::Similarity => "embedding",
            Task::Expert => "domain",
            Task::Quality => "p_solve",
        };
        let mut graph = json!({"file": graph_name(&self.source.graph), "outputs": {head: output.name}});
        if let Some(Pooling { by, width }) = pooling {
            graph["pooling"] = json!({"by": if by == PoolBy::First { "first" } else { "mean" }, "width": width});
        }
        let threshold = self.threshold.map(|threshold| (self.task.to_string(), decimal(threshold)));
        let mut manifest = json!({
            "name": self.request.name,
            "kind": "encoder",
            "task": self.task.to_string(),
            "labels": meaning.labels,
            "tags": meaning.tags,
            "graph": graph,
            "tokenizer": {"file": "tokenizer.json", "pad_id": self.reader.tokenizer.padding},
            "max_tokens": self.reader.max_tokens,
            "overlap_tokens": self.reader.overlap,
            "temperature": {},
            "batch_invariant": trial.batch_invariant(),
            "thresholds": threshold.into_iter().collect::<Map<_, _>>(),
            "scripts": self.scripts(),
            "max_unknown_share": decimal(MAX_UNKNOWN_SHARE),
            "files": files,
            "base": {"name": self.model.base, "architecture": self.model.architecture, "licence": self.licence()},
            "training": {"data": "unknown", "imported_from": file_name(&self.source.folder)},
            "metrics": {},
            "tools": {"mom": env!("CARGO_PKG_VERSION"), "transformers": self.model.exported_by},
        });
        if meaning.tags.is_empty()
            && let Some(manifest) = manifest.as_object_mut()
        {
            manifest.shift_remove("tags");
        }
        manifest
    }

    pub(super) fn report(
        &self,
        place: PathBuf,
        labels: Option<Labels>,
        meaning: Meaning,
        output: Output,
        trial: Trial,
    ) -> Report {
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let source = self.source;
        Report {
            name: self.request.name.clone(),
            place,
            task: self.task,
            labels: meaning.labels.len(),
            labels_from: labels.filter(|_| self.task != Task::Similarity).map(|labels| source.short(&labels.file)),
            renamed: meaning.renamed,
            graph: source.short(&source.graph),
            bytes: std::iter::once(&source.graph).chain(&source.weights).map(size).sum(),
            passed_over: source.passed_over.clone(),
            output: output.name,
            bits: output.bits.unwrap_or_default(),
            max_tokens: self.reader.max_tokens,
            overlap_tokens: self.reader.overlap,
            positions: self.model.positions,
            scripts: self.scripts(),
            threshold: self.threshold,
            licence: self.licence(),
            trial,
        }
    }
}

fn file_name(path: &Path) -> String {
    let whole = path.canonicalize();
    let path = whole.as_deref().unwrap_or(path);
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// 0.3 rather than 0.30000001192092896.
fn decimal(value: f32) -> Value {
    serde_json::from_str(&value.to_string()).unwrap_or_default()
}
