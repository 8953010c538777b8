//! The folder in which an import comes together: a models folder of its own beside the other
//! minds, gone again unless it is published.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ImportError;
use super::source::Source;
use crate::minds::engine::{EngineError, Options, Runtime, Session};
use crate::minds::manifest::sha256;

/// Removed with all that is in it when dropped. No mind's name begins with a dot.
pub(super) struct Staging {
    root: PathBuf,
    mind: PathBuf,
}

impl Staging {
    pub(super) fn new(models_dir: &Path, name: &str) -> Result<Self, ImportError> {
        let root = models_dir.join(format!(".import-{}", std::process::id()));
        let mind = root.join(name);
        fs::create_dir_all(&mind).map_err(|source| ImportError::file(&mind, source))?;
        Ok(Self { root, mind })
    }

    /// The staged mind as its only one.
    pub(super) fn models_dir(&self) -> &Path {
        &self.root
    }

    /// Copies every file that the mind needs; returns their hashes by name.
    pub(super) fn take(&self, source: &Source) -> Result<BTreeMap<String, String>, ImportError> {
        let graphs = std::iter::once(&source.graph).chain(&source.weights).map(|path| (path, graph_name(path)));
        let files = graphs.chain([(&source.tokenizer, "tokenizer.json".to_owned())]);
        let copied = files.map(|(from, name)| {
            let to = self.mind.join(&name);
            fs::copy(from, &to).map_err(|source| ImportError::file(from, source))?;
            let hash = sha256(&to).map_err(|source| ImportError::file(&to, source))?;
            Ok((name, hash))
        });
        copied.collect()
    }

    /// Opens the copied graph, with no output chosen.
    pub(super) fn session(&self, runtime: &Runtime, source: &Source) -> Result<Session, ImportError> {
        let options = Options::one_core(Vec::new());
        let graph = self.mind.join(graph_name(&source.graph));
        Session::open(runtime, &graph, &options).map_err(|error| match error {
            EngineError::Graph { message, .. } => {
                // People know the file by the name that they gave.
                let message = message.replace(&graph.display().to_string(), &source.graph.display().to_string());
                ImportError::refused(&source.graph, message)
            }
            other => other.into(),
        })
    }

    pub(super) fn write(&self, manifest: &Value) -> Result<(), ImportError> {
        let path = self.mind.join("manifest.json");
        fs::write(&path, format!("{manifest:#}\n")).map_err(|source| ImportError::file(path, source))
    }

    /// Puts the mind in its place. One that stood there goes at the end.
    pub(super) fn publish(self, place: &Path) -> Result<(), ImportError> {
        let failed = |source| ImportError::file(place, source);
        let old = self.root.join("replaced");
        let replaces = place.exists();
        if replaces {
            fs::rename(place, &old).map_err(failed)?;
        }
        fs::rename(&self.mind, place).map_err(|source| {
            // The old one goes back; if even that fails, the first fault is the one to tell.
            let _ = if replaces { fs::rename(&old, place) } else { Ok(()) };
            failed(source)
        })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed is a folder without a manifest, which nothing reads.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A graph names its weights, so both keep their names; links are followed only for content.
pub(super) fn graph_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
