//! The minds on disk: every folder below the models folder that has a manifest, and those
//! that should be there and are not.
//!
//! Listing reads and hashes; it opens no graph and trusts no file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::decoder::faults as base_faults;
use super::manifest::{Folder, ManifestError};

/// One folder, read or not.
#[derive(Debug)]
pub struct Entry {
    /// The folder's name.
    pub name: String,
    pub folder: Result<Folder, ManifestError>,
}

/// What is wrong with a mind: one word and one sentence that names the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `hash`, `missing`, `faulty`, or `no base` where only the base of a decoder is not there.
    pub state: &'static str,
    pub message: String,
}

/// The state of a decoder that `make models` would make whole.
pub const NO_BASE: &str = "no base";

impl From<&ManifestError> for Fault {
    fn from(error: &ManifestError) -> Self {
        let state = match error {
            ManifestError::WrongHash { .. } | ManifestError::WrongBase { .. } => "hash",
            ManifestError::NoBase { .. } => NO_BASE,
            ManifestError::Absent { .. } => "missing",
            ManifestError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => "missing",
            _ => "faulty",
        };
        Self { state, message: error.to_string() }
    }
}

/// Every mind below `models_dir` and every `expected` one that is missing there, by name.
pub fn scan<'a>(models_dir: &Path, expected: impl IntoIterator<Item = &'a str>) -> Result<Vec<Entry>, ManifestError> {
    let unreadable = |source: io::Error| ManifestError::Unreadable { path: models_dir.to_owned(), source };
    let mut entries = Vec::new();
    for found in fs::read_dir(models_dir).map_err(unreadable)? {
        let found = found.map_err(unreadable)?;
        if found.path().join("manifest.json").is_file() {
            let name = found.file_name().to_string_lossy().into_owned();
            entries.push(Entry { folder: Folder::open(models_dir, &name), name });
        }
    }
    for name in expected {
        if entries.iter().all(|entry| entry.name != name) {
            entries.push(Entry { folder: Folder::open(models_dir, name), name: name.to_owned() });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

impl Entry {
    /// Hashes every file, those of a decoder's base too; `known` remembers those that several
    /// minds share.
    pub fn verify(&self, bases_dir: &Path, known: &mut BTreeMap<PathBuf, String>) -> Result<(), Fault> {
        let folder = self.folder.as_ref().map_err(Fault::from)?;
        folder.verify(known).map_err(|error| Fault::from(&error))?;
        base_faults(folder, bases_dir, known).first().map_or(Ok(()), |error| Err(Fault::from(error)))
    }

    /// Bytes of the files that the mind needs, shared ones included; missing ones count nothing.
    pub fn size(&self) -> u64 {
        let Ok(folder) = &self.folder else { return 0 };
        let files = folder.manifest.files.keys().map(|file| folder.file(file));
        files.filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_word() {
        let models = tempfile::tempdir().unwrap();
        let source = Path::new("models/onnx/mom-pii-flash/manifest.json");
        for name in ["mom-pii-flash", "mom-tone-flash", "flash-trunk", "no-mind"] {
            fs::create_dir(models.path().join(name)).unwrap();
        }
        fs::copy(source, models.path().join("mom-pii-flash/manifest.json")).unwrap();
        fs::write(models.path().join("mom-tone-flash/manifest.json"), "{").unwrap();
        let states = || {
            let entries = scan(models.path(), ["mom-pii-flash"]).unwrap();
            entries
                .iter()
                .map(|e| (e.name.clone(), e.verify(Path::new("none"), &mut BTreeMap::new()).err().map(|f| f.state)))
                .collect::<Vec<_>>()
        };
        let expected = |pii| [("mom-pii-flash".to_owned(), Some(pii)), ("mom-tone-flash".to_owned(), Some("faulty"))];
        assert_eq!(states(), expected("missing"));
        fs::write(models.path().join("flash-trunk/model.onnx"), "not it").unwrap();
        assert_eq!(states(), expected("hash"));
        fs::remove_dir_all(models.path().join("mom-pii-flash")).unwrap();
        assert_eq!(states(), expected("missing"));
    }
}
