//! What types cannot say: references, ranges, combinations. Reads a whole [`Config`] and
//! changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use figment::value::{Dict, Value};
use http::Uri;

use super::fault::{Key, Problem, suggest};
use super::labels::{CATEGORIES, PII_LABELS};
use super::{Action, Backend, Config, Explain, FORESEES, KeyDigest, Mind, Quality, ROLES};

mod budgets;
mod cascade;
mod routes;

/// Names that exist in the file, whatever else is wrong with what they name.
pub(super) struct Names {
    backends: BTreeSet<String>,
    exemplars: BTreeSet<String>,
    routes: BTreeSet<String>,
    quality: BTreeSet<String>,
}

impl Names {
    pub(super) fn of(values: &Dict) -> Self {
        let keys = |section: &str| match values.get(section) {
            Some(Value::Dict(_, dict)) => dict.keys().cloned().collect(),
            _ => BTreeSet::new(),
        };
        let routes = match values.get("routes") {
            Some(Value::Array(_, routes)) => routes.as_slice(),
            _ => &[],
        };
        let name = |route: &Value| route.find_ref("name").and_then(Value::as_str).map(str::to_owned);
        Self {
            backends: keys("backends"),
            exemplars: keys("exemplars"),
            routes: routes.iter().filter_map(name).collect(),
            quality: keys("quality"),
        }
    }
}

pub(super) fn validate(config: &Config, names: &Names) -> Vec<Problem> {
    let mut checks = Checks { config, names, problems: Vec::new() };
    checks.server();
    checks.minds();
    checks.backends();
    checks.quality();
    checks.exemplars();
    checks.routes();
    checks.guard();
    checks.virtual_models();
    checks.keys();
    checks.budgets();
    checks.ledger();
    checks.shadow();
    checks.telemetry();
    checks.problems
}

struct Checks<'a> {
    config: &'a Config,
    names: &'a Names,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    fn fail(&mut self, key: Key, message: impl Into<String>) {
        self.problems.push(Problem { key, message: message.into(), suggestion: None });
    }

    fn fail_and_say(&mut self, key: Key, message: impl Into<String>, suggestion: impl Into<String>) {
        self.problems.push(Problem { key, message: message.into(), suggestion: Some(suggestion.into()) });
    }

    /// Names something that is not there.
    fn unknown<'n>(&mut self, key: Key, what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) {
        let suggestion = suggest(name, known);
        self.problems.push(Problem { key, message: format!("unknown {what} \"{name}\""), suggestion });
    }

    fn positive(&mut self, section: &Key, limits: &[(&str, bool)]) {
        for (name, is_zero) in limits {
            if *is_zero {
                self.fail(section.and(name), "must be more than 0");
            }
        }
    }

    fn within(&mut self, key: Key, value: f64, low: f64, high: f64) {
        if !(low..=high).contains(&value) {
            self.fail(key, format!("must be between {low} and {high}, found {value}"));
        }
    }

    fn server(&mut self) {
        let server = &self.config.server;
        let key = Key::of(&["server"]);
        self.positive(
            &key,
            &[
                ("max_body_bytes", server.max_body_bytes == 0),
                ("max_header_bytes", server.max_header_bytes == 0),
                ("max_connections", server.max_connections == 0),
                ("max_requests", server.max_requests == 0),
                ("read_timeout", server.read_timeout.is_zero()),
                ("write_timeout", server.write_timeout.is_zero()),
            ],
        );
        if server.listen == server.admin_listen && server.listen.port() != 0 {
            self.fail(key.and("admin_listen"), "is the same address as `listen`");
        }
        let open = self.config.keys.is_empty() && !server.allow_unauthenticated;
        if open && !server.listen.ip().is_loopback() {
            self.fail_and_say(
                key.and("listen"),
                format!("{} would let anyone who reaches it spend your money", server.listen),
                "add [keys], or set server.allow_unauthenticated = true",
            );
        }
    }

    fn minds(&mut self) {
        for (role, mind) in &self.config.minds {
            let key = Key::of(&["minds", role]);
            if is_decoder(role) {
                self.consulted(&key, mind);
            } else if role == FORESEES {
                let plain = Mind { model: mind.model.clone(), enabled: mind.enabled, ..Mind::default() };
                if *mind != plain {
                    self.fail(key.clone(), "this mind reads what others said: it takes `model` and `enabled` only");
                }
            } else if !ROLES.contains(&role.as_str()) {
                self.unknown(key.clone(), "role", role, ROLES.into_iter().chain(DECODER_ROLES).chain([FORESEES]));
            } else if mind.when.is_some() || mind.routes.is_some() || mind.explain != Explain::Off {
                let says = "write it in the section of a decoder, such as [minds.brain-pro]";
                self.fail_and_say(
                    key.clone(),
                    "this mind reads every request and has no words: it takes no `when`, `routes` or `explain`",
                    says,
                );
            }
            let Mind { model, threshold, harm_threshold, deadline, batch, queue, execution_providers, .. } = mind;
            if !model.starts_with("mom-") || model.contains(['/', '\\']) {
                self.fail(key.and("model"), "expected the name of a folder in models_dir, such as \"mom-brain-flash\"");
            }
            if let Some(threshold) = threshold {
                self.within(key.and("threshold"), f64::from(*threshold), 0.0, 1.0);
            }
            if let Some(threshold) = harm_threshold {
                self.within(key.and("harm_threshold"), f64::from(*threshold), 0.0, 1.0);
                if role != "jailbreak" {
                    self.fail(key.and("harm_threshold"), "only the jailbreak mind says how harmful a request is");
                }
            }
            let limits = [("deadline", deadline.is_zero()), ("batch", *batch == Some(0)), ("queue", *queue == 0)];
            self.positive(&key, &limits);
            if execution_providers.is_empty() {
                self.fail(key.and("execution_providers"), "needs at least one, such as \"cpu\"");
            }
        }
    }

    fn backends(&mut self) {
        if self.config.backends.is_empty() {
            let example = "write [backends.NAME] with base_url = \"https://host/v1\"";
            self.fail_and_say(Key::of(&["backends"]), "there is no backend", example);
        }
        for (name, backend) in &self.config.backends {
            let key = Key::of(&["backends", name]);
            self.name(&key, name);
            if self.config.virtual_models.contains_key(name) {
                self.fail_and_say(key.clone(), "is also the name of a virtual model", "rename one of them");
            }
            self.backend(&key, backend);
        }
    }

    fn backend(&mut self, key: &Key, backend: &Backend) {
        if let Err(wrong) = base_url(&backend.base_url) {
            self.fail(key.and("base_url"), wrong);
        }
        if backend.model.as_deref() == Some("") {
            self.fail(key.and("model"), "must not be empty");
        }
        let timeouts = &backend.timeouts;
        let zero = [
            ("connect", timeouts.connect.is_zero()),
            ("first_token", timeouts.first_token.is_zero()),
            ("idle", timeouts.idle.is_zero()),
            ("total", timeouts.total.is_zero()),
        ];
        self.positive(&key.and("timeouts"), &zero);
        let breaker = [("failures", backend.breaker.failures == 0), ("cooldown", backend.breaker.cooldown.is_zero())];
        self.positive(&key.and("breaker"), &breaker);
        let limits = [("concurrency", backend.concurrency == 0), ("context_window", backend.context_window == Some(0))];
        self.positive(key, &limits);
        let retry = key.and("retry");
        self.within(retry.and("budget"), backend.retry.budget, 0.0, 1.0);
        let price = &backend.price;
        let prices =
            [("input", Some(price.input)), ("cached_input", price.cached_input), ("output", Some(price.output))];
        for (name, usd) in prices {
            if usd.is_some_and(|usd| !usd.is_finite() || usd < 0.0) {
                self.fail(key.and("price").and(name), "must be USD per 1M tokens, 0 or more");
            }
        }
    }

    /// Names go into headers, metrics and URLs.
    fn name(&mut self, key: &Key, name: &str) {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            self.fail(key.clone(), "a name is made of visible ASCII characters without spaces or commas");
        }
    }

    fn quality(&mut self) {
        for (backend, table) in &self.config.quality {
            let key = Key::of(&["quality", backend]);
            if !self.names.backends.contains(backend) {
                self.unknown(key.clone(), "backend", backend, self.names.backends.iter().map(String::as_str));
            }
            if table.source.trim().is_empty() {
                self.fail(key.and("source"), "say where the numbers come from");
            }
            self.quality_value(key.and("default"), table.default);
            for (category, quality) in &table.categories {
                self.category(key.and(category), category);
                self.quality_value(key.and(category), *quality);
            }
        }
    }

    fn quality_value(&mut self, key: Key, quality: Quality) {
        match quality {
            Quality::Flat(value) => self.within(key, value, 0.0, 1.0),
            Quality::ByComplexity { simple, medium, hard } => {
                for (name, value) in [("simple", simple), ("medium", medium), ("hard", hard)] {
                    self.within(key.and(name), value, 0.0, 1.0);
                }
            }
        }
    }

    /// A mind from elsewhere brings labels of its own; those of the design have ours.
    fn own_labels(&self, role: &str) -> bool {
        let ships = |model: &str| ["flash", "pro", "max"].iter().any(|size| model == format!("mom-{role}-{size}"));
        self.config.minds.get(role).is_none_or(|mind| ships(&mind.model))
    }

    fn category(&mut self, key: Key, category: &str) {
        if self.own_labels("brain") && !CATEGORIES.contains(&category) {
            self.unknown(key, "category", category, CATEGORIES);
        }
    }

    fn exemplars(&mut self) {
        for (name, exemplar) in &self.config.exemplars {
            let key = Key::of(&["exemplars", name]);
            if exemplar.texts.is_empty() {
                self.fail(key.and("texts"), "needs at least one text");
            }
            for (index, _) in exemplar.texts.iter().enumerate().filter(|(_, text)| text.trim().is_empty()) {
                self.fail(key.and("texts").and(index), "must not be empty");
            }
            if let Some(threshold) = exemplar.threshold {
                self.within(key.and("threshold"), f64::from(threshold), -1.0, 1.0);
            }
        }
    }

    fn guard(&mut self) {
        let guard = &self.config.guard;
        let rules = [
            ("harm", "jailbreak", guard.harm.action),
            ("jailbreak", "jailbreak", guard.jailbreak.action),
            ("pii", "pii", guard.pii.action),
        ];
        for (rule, role, action) in rules {
            let off = self.config.minds.get(role).is_some_and(|mind| !mind.enabled);
            if action == Action::Redact {
                let key = Key::of(&["guard", rule, "action"]);
                self.fail_and_say(key, "redact is not built yet", "use \"block\", \"refuse\" or \"flag\"");
            } else if action != Action::Off && off {
                let key = Key::of(&["minds", role, "enabled"]);
                let says = format!("set guard.{rule} = {{ action = \"off\" }}, or enable the mind");
                self.fail_and_say(key, format!("[guard] {rule} acts on what this mind says"), says);
            }
        }
        for (index, label) in guard.pii.labels.iter().flatten().enumerate() {
            if self.own_labels("pii") && !PII_LABELS.contains(&label.as_str()) {
                self.unknown(Key::of(&["guard", "pii", "labels"]).and(index), "PII label", label, PII_LABELS);
            }
        }
    }

    fn keys(&mut self) {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for (name, key) in &self.config.keys {
            let digest: &KeyDigest = &key.sha256;
            if let Some(first) = seen.insert(digest.to_string(), name) {
                self.fail(Key::of(&["keys", name, "sha256"]), format!("is the same key as \"{first}\""));
            }
        }
    }

    fn ledger(&mut self) {
        let Some(ledger) = &self.config.ledger else { return };
        let key = Key::of(&["ledger"]);
        if ledger.path.as_os_str().is_empty() {
            self.fail(key.and("path"), "expected the name of a file");
        }
        if let Some(premium) = &ledger.premium
            && !self.config.backends.contains_key(premium)
        {
            self.unknown(key.and("premium"), "backend", premium, self.config.backends.keys().map(String::as_str));
        }
        self.positive(&key, &[("keep", ledger.keep.is_zero())]);
    }

    fn shadow(&mut self) {
        if self.config.shadow.is_some() && self.config.ledger.is_none() {
            let example = "add [ledger] with path = \"ledger.db\"";
            self.fail_and_say(Key::of(&["shadow"]), "what a shadow decides is written into the ledger only", example);
        }
    }

    fn telemetry(&mut self) {
        if let Some(Err(wrong)) = self.config.telemetry.otlp_endpoint.as_deref().map(base_url) {
            self.fail(Key::of(&["telemetry", "otlp_endpoint"]), wrong);
        }
    }
}

/// Those of the decoder minds of the design; experts of other fields have roles of their own.
const DECODER_ROLES: [&str; 4] = ["brain-pro", "brain-max", "expert-math", "expert-math-pro"];

fn is_decoder(role: &str) -> bool {
    role.starts_with("expert-") || DECODER_ROLES.contains(&role)
}

fn base_url(text: &str) -> Result<(), String> {
    let uri: Uri = text.parse().map_err(|_| format!("expected a URL such as \"https://host/v1\", found {text:?}"))?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    match uri.scheme_str() {
        Some("http" | "https") if authority.contains('@') => {
            Err("must not hold credentials; they belong in api_key".to_owned())
        }
        Some("http" | "https") if uri.query().is_none() && !text.contains('#') => Ok(()),
        Some("http" | "https") => Err("must have no query and no fragment".to_owned()),
        _ => Err(format!("expected a URL that begins with http:// or https://, found {text:?}")),
    }
}
