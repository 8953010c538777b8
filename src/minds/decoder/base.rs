//! The language models on disk: whether they are there, and whether they are the ones that the
//! minds on them were made for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::super::manifest::{Folder, ManifestError, sha256};

/// Everything that is wrong with the base that this mind needs; nothing for an encoder.
/// `known` remembers the hashes of files that several minds share.
pub fn faults(folder: &Folder, bases_dir: &Path, known: &mut BTreeMap<PathBuf, String>) -> Vec<ManifestError> {
    let Some(stand) = &folder.manifest.decoder else { return Vec::new() };
    let (mind, base) = (folder.manifest.name.to_string(), stand.base.clone());
    let place = bases_dir.join(&stand.base);
    if !place.is_dir() {
        return vec![ManifestError::NoBase { mind, base, bases_dir: bases_dir.to_owned() }];
    }
    let mut fault = |(file, expected): (&String, &String)| {
        let path = place.join(file);
        let found = match known.get(&path) {
            Some(found) => Ok(found.clone()),
            None => sha256(&path),
        };
        match found {
            Ok(found) => {
                known.insert(path.clone(), found.clone());
                let (mind, base, expected) = (mind.clone(), base.clone(), expected.clone());
                (found != expected).then_some(ManifestError::WrongBase { path, mind, base, found, expected })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Some(ManifestError::NoBase { mind: mind.clone(), base: base.clone(), bases_dir: bases_dir.to_owned() })
            }
            Err(source) => Some(ManifestError::Unreadable { path, source }),
        }
    };
    stand.files.iter().filter_map(&mut fault).collect()
}
