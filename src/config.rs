//! The configuration: `config.toml` plus `MOM_…` environment overrides, parsed once
//! into the values the gateway runs on. There is no second, "resolved" copy.
//!
//! [`Config::load`] reports every fault it can find, each with file, line and a
//! suggestion; a `Config` that exists is valid.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

mod backend;
mod budget;
mod cascade;
mod extract;
mod fault;
mod labels;
mod learn;
mod ledger;
mod load;
mod mind;
mod place;
mod quality;
mod secret;
mod shadow;
mod units;
mod validate;

pub use backend::{Backend, Breaker, Capability, Price, PromptCache, Retry, Timeouts};
pub use budget::{Budget, Per};
pub use cascade::Cascade;
pub(crate) use fault::suggest;
pub use fault::{ConfigFaults, Fault, MindFolders};
pub use labels::{CATEGORIES, COMPLEXITIES, PII_LABELS};
pub use learn::{Learn, Signal};
pub use ledger::Ledger;
pub use mind::{Explain, FORESEES, Mind, OnError, Provider, flash, shipped};
pub use quality::{Quality, QualityTable};
pub use secret::{ApiKey, KeyDigest, Secret};
pub use shadow::Shadow;
pub use units::{OneOrMany, parse_duration};

/// Name of a `[backends.NAME]` section.
pub type BackendName = String;

/// The roles that minds play.
pub const ROLES: [&str; 4] = ["brain", "jailbreak", "pii", "similarity"];

/// The whole of `config.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder that holds one sub-folder per mind.
    #[serde(default = "default_models_dir")]
    pub models_dir: PathBuf,
    /// Folder that holds one sub-folder per base of decoder minds, as `make models` leaves them.
    #[serde(default = "default_bases_dir")]
    pub bases_dir: PathBuf,
    /// Most bytes the minds keep of what they judged before. 0: nothing.
    #[serde(default = "default_cache_bytes")]
    pub minds_cache_bytes: usize,
    #[serde(default)]
    pub server: Server,
    /// Keyed by role: `jailbreak`, `pii`, `brain`, `similarity`, later `expert-math`, ….
    /// The four flash roles are filled in where the file leaves them out.
    #[serde(default)]
    pub minds: BTreeMap<String, Mind>,
    pub backends: BTreeMap<BackendName, Backend>,
    #[serde(default)]
    pub quality: BTreeMap<BackendName, QualityTable>,
    #[serde(default)]
    pub exemplars: BTreeMap<String, Exemplar>,
    /// First match wins; the last one has no `when`.
    pub routes: Vec<Route>,
    #[serde(default)]
    pub guard: Guard,
    #[serde(default)]
    pub virtual_models: BTreeMap<String, VirtualModel>,
    #[serde(default)]
    pub keys: BTreeMap<String, Key>,
    /// Left out: nothing is kept of requests.
    #[serde(default)]
    pub ledger: Option<Ledger>,
    /// Left out: nobody decides beside the live policy.
    #[serde(default)]
    pub shadow: Option<Shadow>,
    #[serde(default)]
    pub telemetry: Telemetry,
    /// First 12 hex digits of the sha256 of the effective configuration, secrets excluded.
    #[serde(skip)]
    pub hash: String,
    /// The same over what decides where a request goes: routes, quality, backends, exemplars.
    #[serde(skip)]
    pub policy_version: String,
}

/// `[server]`: listeners and the limits every connection and request lives under.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    /// Required to listen beyond loopback while no `[keys]` are configured.
    pub allow_unauthenticated: bool,
    /// Largest request body; beyond it 413, before buffering.
    pub max_body_bytes: usize,
    pub max_header_bytes: usize,
    pub max_connections: usize,
    /// Requests in flight at once, streams included; beyond it 429.
    pub max_requests: usize,
    /// How long a client may take to send its headers, and then its body.
    #[serde(with = "units::duration")]
    pub read_timeout: Duration,
    /// How long a client may take none of an answer that waits for it.
    #[serde(with = "units::duration")]
    pub write_timeout: Duration,
    /// How long SIGTERM waits for running requests and streams.
    #[serde(with = "units::duration")]
    pub drain: Duration,
}

/// `[exemplars.NAME]`: a meaning, given by example texts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exemplar {
    pub texts: Vec<String>,
    /// Cosine similarity, -1..1, from which a text matches. Defaults to the manifest's.
    #[serde(default)]
    pub threshold: Option<f32>,
}

/// `[[routes]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub name: String,
    #[serde(default)]
    pub when: Option<When>,
    pub candidates: Vec<BackendName>,
    #[serde(default)]
    pub policy: Policy,
    /// Tried in order, after the candidates, when a call fails before its first byte.
    #[serde(default)]
    pub fallback: Vec<BackendName>,
    /// Left out: it does as it is told.
    #[serde(default)]
    pub learn: Option<Learn>,
    /// Left out: one backend answers.
    #[serde(default)]
    pub cascade: Option<Cascade>,
}

/// Keys are ANDed, lists are ORed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct When {
    #[serde(default)]
    pub category: Option<OneOrMany<String>>,
    /// Bounds on the probability of the winning category.
    #[serde(default)]
    pub confidence: Option<Range>,
    #[serde(default)]
    pub complexity: Option<OneOrMany<String>>,
    /// What an expert says of the question, where one was asked and answered: part of its field.
    #[serde(default)]
    pub domain: Option<OneOrMany<String>>,
    /// The same: how difficult it is, 0..1.
    #[serde(default)]
    pub difficulty: Option<Range>,
    #[serde(default)]
    pub jailbreak: Option<Range>,
    /// PII labels; `any` for all of them.
    #[serde(default)]
    pub pii: Option<OneOrMany<String>>,
    #[serde(default)]
    pub similar_to: Option<OneOrMany<String>>,
    #[serde(default)]
    pub prompt_tokens: Option<Range>,
    #[serde(default)]
    pub tools: Option<bool>,
    #[serde(default)]
    pub images: Option<bool>,
    /// Header name (any case) to exact value.
    #[serde(default)]
    pub headers: Option<BTreeMap<String, OneOrMany<String>>>,
    /// The model name the client asked for.
    #[serde(default)]
    pub model: Option<OneOrMany<String>>,
}

/// Inclusive bounds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Range {
    #[serde(default)]
    pub min: Option<f64>,
    #[serde(default)]
    pub max: Option<f64>,
}

impl Range {
    pub fn contains(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

/// How one of a route's candidates is chosen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    pub prefer: Prefer,
    /// Predicted quality a candidate must reach, 0..1.
    pub min_quality: Option<f64>,
    /// Predicted cost a candidate may have, USD per request.
    pub max_cost: Option<f64>,
    /// What a thousand requests may cost, USD: a candidate predicted to cost more than a thousandth of it is
    /// taken only where none cheaper is able.
    pub max_usd_per_1k_requests: Option<f64>,
    /// Floor as a share of another backend's predicted quality.
    pub quality_of: Option<QualityOf>,
    /// What an answer that is good rather than bad is worth, USD.
    pub worth_usd: Option<f64>,
    /// Whether a conversation stays with its backend while that one's prompt cache saves more than a change would win.
    pub sticky: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            prefer: Prefer::default(),
            min_quality: None,
            max_cost: None,
            max_usd_per_1k_requests: None,
            quality_of: None,
            worth_usd: None,
            sticky: true,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Prefer {
    #[default]
    Cost,
    Quality,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityOf {
    pub backend: BackendName,
    pub share: f64,
}

/// `[guard]`: what a verdict does, before routing and for named backends too.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// Whether the person asks for something harmful: another question than a jailbreak.
    pub harm: JailbreakRule,
    pub jailbreak: JailbreakRule,
    pub pii: PiiRule,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JailbreakRule {
    pub action: Action,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PiiRule {
    pub action: Action,
    /// Labels that count. Left out: all of them.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Block,
    Refuse,
    Flag,
    /// Not built yet: refused by `mom check`.
    Redact,
    Off,
}

/// Which routes a virtual model may take; the terminal route always ends the list.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected \"all\" or a list of route names")]
pub enum VirtualModel {
    /// `"all"`.
    All(AllRoutes),
    Routes(Vec<String>),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllRoutes {
    All,
}

/// `[keys.NAME]`: a client that may call the gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Hex sha256 of the key, as `mom keys new NAME` prints it.
    pub sha256: KeyDigest,
    /// Left out: it may spend what it likes.
    #[serde(default)]
    pub budget: Option<Budget>,
}

/// `[telemetry]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    pub log: LogFormat,
    /// For example `http://127.0.0.1:4318`. Left out: no spans are exported.
    pub otlp_endpoint: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Config {
    /// What happens when the mind in this role gives no verdict.
    pub fn on_error(&self, role: &str) -> OnError {
        let configured = self.minds.get(role).and_then(|mind| mind.on_error);
        configured.unwrap_or(if matches!(role, "jailbreak" | "pii") { OnError::Closed } else { OnError::Default })
    }

    /// The backend that savings are told against.
    pub fn premium(&self) -> Option<&Backend> {
        let named = self.ledger.as_ref().and_then(|ledger| ledger.premium.as_ref());
        let dearest = || self.backends.values().max_by(|a, b| a.price.output.total_cmp(&b.price.output));
        named.map_or_else(dearest, |name| self.backends.get(name))
    }

    pub fn route(&self, name: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.name == name)
    }

    /// Whether a mind foresees how well backends answer, so that they need no `[quality]`.
    pub fn foresees(&self) -> bool {
        self.minds.get(FORESEES).is_some_and(|mind| mind.enabled)
    }

    /// The minds that run.
    pub fn mind_folders(&self) -> MindFolders {
        let names = self.minds.values().filter(|mind| mind.enabled).map(|mind| mind.model.clone()).collect();
        MindFolders { folders: self.folders(), names }
    }

    pub fn folders(&self) -> Folders {
        Folders { models_dir: self.models_dir.clone(), bases_dir: self.bases_dir.clone() }
    }

    /// The name under which experts may know a backend's model.
    pub fn measured_as<'a>(&'a self, backend: &'a str) -> &'a str {
        let given = self.backends.get(backend).and_then(|backend| backend.measured_as.as_deref());
        given.unwrap_or_else(|| self.upstream_model(backend))
    }

    /// The model name a backend is called with: its `model`, else its own name.
    pub fn upstream_model<'a>(&'a self, backend: &'a str) -> &'a str {
        self.backends.get(backend).and_then(|backend| backend.model.as_deref()).unwrap_or(backend)
    }
}

/// Where minds and their bases are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    pub models_dir: PathBuf,
    pub bases_dir: PathBuf,
}

impl Default for Folders {
    fn default() -> Self {
        Self { models_dir: default_models_dir(), bases_dir: default_bases_dir() }
    }
}

fn default_models_dir() -> PathBuf {
    PathBuf::from("models/onnx")
}

/// `MOM_BASES_DIR`, else `mom/bases` in the user's cache folder.
fn default_bases_dir() -> PathBuf {
    let set = |name: &str| load::variable(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    set("MOM_BASES_DIR").unwrap_or_else(|| cache().unwrap_or_default().join("mom/bases"))
}

/// What `minds_cache_bytes` is when left out: 32 MiB.
pub const DEFAULT_CACHE_BYTES: usize = 32 * 1024 * 1024;

fn default_cache_bytes() -> usize {
    DEFAULT_CACHE_BYTES
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            allow_unauthenticated: false,
            max_body_bytes: 20 * 1024 * 1024,
            max_header_bytes: 64 * 1024,
            max_connections: 4096,
            max_requests: 1024,
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            harm: JailbreakRule { action: Action::Off },
            jailbreak: JailbreakRule { action: Action::Block },
            pii: PiiRule { action: Action::Flag, labels: None },
        }
    }
}
