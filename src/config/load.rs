//! Reading: file, then environment, then every fault at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use sha2::{Digest, Sha256};
use toml_edit::Document;

use super::extract::{Extracted, extract};
use super::fault::{Key, Problem, suggest};
use super::place::{Overrides, Places, line_at};
use super::shadow;
use super::validate::{self, Names};
use super::{AllRoutes, ApiKey, Config, ConfigFaults, Fault, MindFolders, ROLES, Secret, VirtualModel, shipped};

/// Top-level keys: what `MOM_…` variables may begin with. Other variables of that prefix
/// (`MOM_LOG`, …) are none of the configuration's business.
const TOP_LEVEL: [&str; 15] = [
    "backends",
    "bases_dir",
    "exemplars",
    "guard",
    "keys",
    "ledger",
    "minds",
    "minds_cache_bytes",
    "models_dir",
    "quality",
    "routes",
    "server",
    "shadow",
    "telemetry",
    "virtual_models",
];

/// Sections whose values decide where a request goes.
const POLICY: [&str; 5] = ["backends", "exemplars", "quality", "routes", "virtual_models"];

type Environment = BTreeMap<String, String>;

/// Read once: the environment does not change under a running process.
static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(unicode).collect()
});

/// A variable of the environment, as it was when it was first asked for.
pub(super) fn variable(name: &str) -> Option<String> {
    ENVIRONMENT.get(name).cloned()
}

impl Config {
    /// Reads and validates `path` with `MOM_…` environment overrides (`MOM_SERVER__LISTEN`).
    pub fn load(path: &Path) -> Result<Self, ConfigFaults> {
        Self::load_with(path, &ENVIRONMENT, None)
    }

    /// `live`: what this one is to be the shadow of.
    fn load_with(path: &Path, environment: &Environment, live: Option<&Self>) -> Result<Self, ConfigFaults> {
        let file = path.display().to_string();
        let one = |line: usize, message: String, suggestion: Option<&str>| {
            let suggestion = suggestion.map(str::to_owned);
            let fault = Fault { source: file.clone(), line, message, suggestion };
            ConfigFaults { path: path.to_owned(), faults: vec![fault], minds: MindFolders::default() }
        };
        let other = if live.is_some() { "name another file in [shadow]" } else { "name another file with --config" };
        let bytes = std::fs::read(path).map_err(|error| one(0, format!("cannot be read: {error}"), Some(other)))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
            one(line, "not UTF-8".to_owned(), None)
        })?;
        read_with(&file, &text, environment, live)
    }

    /// Reads and validates a configuration held in memory, without the environment.
    pub fn parse(text: &str) -> Result<Self, ConfigFaults> {
        read("config.toml", text, &Environment::new())
    }

    /// Fills in what a file may leave out: the four flash minds and `auto`.
    fn complete(&mut self) {
        for role in ROLES {
            self.minds.entry(role.to_owned()).or_default();
        }
        for (role, mind) in &mut self.minds {
            if mind.model.is_empty() {
                mind.model = shipped(role);
            }
        }
        self.virtual_models.entry("auto".to_owned()).or_insert(VirtualModel::All(AllRoutes::All));
    }
}

pub(super) fn read(file: &str, text: &str, environment: &Environment) -> Result<Config, ConfigFaults> {
    read_with(file, text, environment, None)
}

fn read_with(file: &str, text: &str, environment: &Environment, live: Option<&Config>) -> Result<Config, ConfigFaults> {
    let syntax = |line: usize, message: &str| {
        let message = format!("not valid TOML: {}", message.trim().replace('\n', ", "));
        let faults = vec![Fault { source: file.to_owned(), line, message, suggestion: None }];
        ConfigFaults { path: file.into(), faults, minds: MindFolders::default() }
    };
    let document = Document::parse(text)
        .map_err(|error| syntax(error.span().map_or(0, |span| line_at(text, span.start)), error.message()))?;
    let mut figment = Figment::from(Toml::string(text));
    let (overrides, mut faults) = overrides(environment);
    for (key, variable) in &overrides {
        if let Some(value) = environment.get(variable).and_then(|value| value.parse::<Value>().ok()) {
            figment = figment.merge((key.0.join("."), value));
        }
    }
    let mut values: Dict = figment.extract().map_err(|error| syntax(0, &error.to_string()))?;
    let hash = digest(&values);
    let policy: Dict = values.iter().filter(|(key, _)| POLICY.contains(&&***key)).map(clone).collect();
    share_source(&mut values);
    let names = Names::of(&values);
    let Extracted { mut config, mut problems, repaired } = extract(values);
    if let Some(config) = &mut config {
        config.complete();
        if live.is_some() {
            // A shadow has none of its own.
            config.shadow = None;
        }
        config.hash = hash;
        config.policy_version = digest(&policy);
        let mut of_meaning = validate::validate(config, &names);
        of_meaning.extend(credentials(config, environment));
        of_meaning.extend(live.iter().flat_map(|live| shadow::faults(config, live)));
        of_meaning.retain(|problem| !repaired.iter().any(|repaired| repaired.holds(&problem.key)));
        problems.extend(of_meaning);
    }
    let places = Places { file, text, document: &document, variables: &overrides };
    faults.extend(problems.into_iter().map(|problem| places.fault(problem)));
    faults.sort_by_key(|fault| fault.line);
    faults.dedup();
    let of_shadow: Vec<Fault> = config.iter_mut().flat_map(|config| candidate(config, environment)).collect();
    for fault in of_shadow {
        // What is wrong with the environment was told before.
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    match config {
        Some(config) if faults.is_empty() => Ok(config),
        config => {
            let minds = config.map(|config| config.mind_folders()).unwrap_or_default();
            Err(ConfigFaults { path: file.into(), faults, minds })
        }
    }
}

/// Reads the configuration in the shadow; its faults are those of its own file.
fn candidate(config: &mut Config, environment: &Environment) -> Vec<Fault> {
    let Some(path) = config.shadow.as_ref().map(|shadow| shadow.config.clone()) else { return Vec::new() };
    match Config::load_with(&path, environment, Some(config)) {
        Ok(policy) => {
            if let Some(shadow) = &mut config.shadow {
                shadow.policy = Some(Arc::new(policy));
            }
            Vec::new()
        }
        Err(faults) => faults.faults,
    }
}

/// `[quality] source = "…"` speaks for every backend that names no source of its own.
fn share_source(values: &mut Dict) {
    let Some(Value::Dict(_, tables)) = values.get_mut("quality") else { return };
    if !matches!(tables.get("source"), Some(Value::String(..))) {
        return;
    }
    let Some(source) = tables.remove("source") else { return };
    for table in tables.values_mut() {
        if let Value::Dict(_, table) = table {
            table.entry("source".to_owned()).or_insert_with(|| source.clone());
        }
    }
}

fn clone((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

/// Which variables set which keys. One that looks like a section's and is not is a fault.
fn overrides(environment: &Environment) -> (Overrides, Vec<Fault>) {
    let (mut overrides, mut faults) = (Overrides::new(), Vec::new());
    for variable in environment.keys() {
        let Some(name) = variable.strip_prefix("MOM_") else { continue };
        let name = name.to_lowercase();
        let parts: Vec<&str> = name.split("__").collect();
        if TOP_LEVEL.contains(&parts[0]) {
            overrides.insert(Key::of(&parts), variable.clone());
        } else if parts.len() > 1 {
            faults.push(Fault {
                source: variable.clone(),
                line: 0,
                message: format!("the configuration has no section \"{}\"", parts[0]),
                suggestion: suggest(parts[0], TOP_LEVEL),
            });
        }
    }
    (overrides, faults)
}

/// Looks up the credentials that the file names but does not hold.
fn credentials(config: &mut Config, environment: &Environment) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, backend) in &mut config.backends {
        let key = Key::of(&["backends", name, "api_key"]);
        let mut problem = |message: String, suggestion: String| {
            problems.push(Problem { key: key.clone(), message, suggestion: Some(suggestion) })
        };
        match &mut backend.api_key {
            Some(ApiKey::Env { env, value }) => match environment.get(env).map(|text| text.trim()) {
                Some(text) if !text.is_empty() => *value = Secret::new(text.to_owned()),
                _ => problem(format!("the environment variable {env} is not set"), format!("export {env}=…")),
            },
            Some(ApiKey::File { file, value }) => match std::fs::read_to_string(&file) {
                Ok(text) if !text.trim().is_empty() => *value = Secret::new(text.trim().to_owned()),
                Ok(_) => problem(format!("{} is empty", file.display()), "put the key in it".to_owned()),
                Err(error) => {
                    problem(format!("{} cannot be read: {error}", file.display()), "put the key in it".to_owned());
                }
            },
            Some(ApiKey::Client(_)) | None => {}
        }
    }
    problems
}

/// First 12 hex digits of the sha256 of the values: maps are sorted, so equal values have
/// equal digests whatever their order in the file.
fn digest(values: &Dict) -> String {
    let canonical = serde_json::to_vec(values).unwrap_or_default();
    Sha256::digest(&canonical).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
