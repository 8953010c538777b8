//! Reading: file, then environment, then every fault at once.

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Toml};

use super::{AllRoutes, Config, ConfigFaults, Fault, VirtualModel};

impl Config {
    /// Reads and validates `path` with `MOM_…` environment overrides (`MOM_SERVER__LISTEN`).
    pub fn load(path: &Path) -> Result<Self, ConfigFaults> {
        Self::read(path, Figment::from(Toml::file(path)).merge(Env::prefixed("MOM_").split("__")))
    }

    /// Reads and validates a configuration held in memory, without the environment.
    pub fn parse(toml: &str) -> Result<Self, ConfigFaults> {
        Self::read(Path::new("config.toml"), Figment::from(Toml::string(toml)))
    }

    fn read(path: &Path, figment: Figment) -> Result<Self, ConfigFaults> {
        let mut config: Self = figment.extract().map_err(|error| ConfigFaults {
            path: path.to_owned(),
            faults: vec![Fault {
                source: path.display().to_string(),
                line: 0,
                message: error.to_string(),
                suggestion: None,
            }],
        })?;
        config.complete();
        Ok(config)
    }

    /// Fills in what a file may leave out: the four flash minds and `auto`.
    fn complete(&mut self) {
        for role in ["jailbreak", "pii", "brain", "similarity"] {
            self.minds.entry(role.to_owned()).or_default();
        }
        for (role, mind) in &mut self.minds {
            if mind.model.is_empty() {
                mind.model = format!("mom-{role}-flash");
            }
        }
        self.virtual_models.entry("auto".to_owned()).or_insert(VirtualModel::All(AllRoutes::All));
    }
}
