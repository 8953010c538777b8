//! A predictor as a mind: a folder with weights and a manifest, all of it or nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::manifest::{Folder, ManifestError, sha256};
use super::super::name::MindName;
use super::{Predictor, WeightsError};

const WEIGHTS: &str = "predictor.safetensors";

/// What a manifest says beside the numbers.
#[derive(Debug)]
pub struct About {
    pub name: MindName,
    /// The minds that it reads, by role.
    pub reads: BTreeMap<String, MindName>,
    pub training: Value,
    pub metrics: Value,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("{0} is there already; --force replaces it")]
    Exists(PathBuf),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Weights { path: PathBuf, source: WeightsError },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("the manifest cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl Predictor {
    /// Writes the mind's folder below `models_dir`.
    pub fn publish(&self, models_dir: &Path, about: &About, force: bool) -> Result<PathBuf, PublishError> {
        let place = models_dir.join(about.name.to_string());
        if place.exists() && !force {
            return Err(PublishError::Exists(place));
        }
        let staging = models_dir.join(format!(".train-{}", std::process::id()));
        let published = self.stage(&staging, models_dir, about).and_then(|()| replace(&staging, &place));
        let _ = fs::remove_dir_all(&staging);
        published.map(|()| place)
    }

    fn stage(&self, staging: &Path, models_dir: &Path, about: &About) -> Result<(), PublishError> {
        fs::create_dir_all(staging).map_err(|source| PublishError::File { path: staging.to_owned(), source })?;
        let path = staging.join(WEIGHTS);
        self.write(&path).map_err(|source| PublishError::Weights { path: path.clone(), source })?;
        let hash = |path: PathBuf| sha256(&path).map_err(|source| PublishError::File { path, source });
        let mut files = BTreeMap::from([(WEIGHTS.to_owned(), hash(path)?)]);
        for read in about.reads.values() {
            // Another graph would say other things.
            let folder = Folder::open(models_dir, &read.to_string())?;
            let file = &folder.manifest.graph.file;
            let relative = if file.starts_with("../") { file.clone() } else { format!("../{read}/{file}") };
            files.insert(relative, hash(folder.graph())?);
        }
        let mut solvers: Vec<&str> =
            self.groups.iter().flat_map(|group| group.models.iter().map(|model| &**model)).collect();
        solvers.sort_unstable();
        solvers.dedup();
        let manifest = json!({
            "name": about.name.to_string(), "kind": "predictor", "task": "quality", "labels": [], "solvers": solvers,
            "graph": {"file": WEIGHTS, "outputs": {"p_solve": "p_solve"}},
            "reads": about.reads.iter().map(|(role, name)| (role.clone(), name.to_string())).collect::<BTreeMap<_, _>>(),
            "files": files, "metrics": about.metrics, "training": about.training,
            "tools": {"mom": env!("CARGO_PKG_VERSION")},
        });
        let text = format!("{}\n", serde_json::to_string_pretty(&manifest)?);
        let path = staging.join("manifest.json");
        fs::write(&path, text).map_err(|source| PublishError::File { path, source })
    }
}

fn replace(staging: &Path, place: &Path) -> Result<(), PublishError> {
    let fault = |source| PublishError::File { path: place.to_owned(), source };
    if place.exists() {
        fs::remove_dir_all(place).map_err(fault)?;
    }
    fs::rename(staging, place).map_err(fault)
}
