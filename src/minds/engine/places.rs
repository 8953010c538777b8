//! Where the ONNX Runtime library is looked for. Opens nothing.

use std::path::{Path, PathBuf};

use super::EngineError;

/// Name the shared library has in every place where it is looked for.
pub(super) const LIBRARY: &str = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };

/// Where the library may be, most wanted first. A trailing `*` folder is expanded.
#[expect(clippy::disallowed_methods, reason = "ORT_DYLIB_PATH is the library's own switch, not a setting of ours")]
pub(super) fn places() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return vec![path.into()];
    }
    let below = |folder: &Path| folder.join(".runtime").join("onnxruntime-*").join(LIBRARY);
    let mut places = vec![below(Path::new("."))];
    if let Ok(executable) = std::env::current_exe() {
        places.extend(executable.ancestors().skip(1).map(below));
        places.extend(executable.parent().map(|folder| folder.join("../lib/mom").join(LIBRARY)));
    }
    places.push(Path::new("/usr/lib/mom").join(LIBRARY));
    places
}

/// The first of them that is there; absolute, so that the loader does not search for it anywhere else.
pub(super) fn find(places: &[PathBuf]) -> Result<PathBuf, EngineError> {
    let found = places.iter().find_map(|place| expand(place).into_iter().rfind(|path| path.is_file()));
    found.map(|path| path.canonicalize().unwrap_or(path)).ok_or_else(|| EngineError::NoLibrary(places.to_vec()))
}

/// `folder/name-*/file` to the files that exist, in name order; other paths as they are.
fn expand(place: &Path) -> Vec<PathBuf> {
    let versioned = place.parent().and_then(|folder| Some((folder.parent()?, folder.file_name()?.to_str()?)));
    let Some((parent, prefix)) = versioned.and_then(|(parent, name)| Some((parent, name.strip_suffix('*')?))) else {
        return vec![place.to_owned()];
    };
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(LIBRARY))
        .collect();
    found.sort();
    found
}
