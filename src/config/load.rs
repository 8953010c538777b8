//! Reading: file, then environment, then every fault at once.

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Toml};

use super::{Config, ConfigFaults, Fault};

impl Config {
    /// Reads and validates `path` with `MOM_…` environment overrides (`MOM_SERVER__LISTEN`).
    pub fn load(path: &Path) -> Result<Self, ConfigFaults> {
        let figment = Figment::from(Toml::file(path)).merge(Env::prefixed("MOM_").split("__"));
        figment.extract().map_err(|error| ConfigFaults {
            path: path.to_owned(),
            faults: vec![Fault {
                source: path.display().to_string(),
                line: 0,
                message: error.to_string(),
                suggestion: None,
            }],
        })
    }
}
