//! Deciding where a request goes. Everything here is pure: configuration, verdicts and
//! health in, a decision out. No I/O, no clock, no randomness.

use http::HeaderMap;
use serde::{Deserialize, Serialize};

mod cascade;
mod consult;
mod explain;
mod price;
mod rules;
mod select;
mod snapshot;
mod stick;
mod trace;

pub use cascade::Cascading;
pub use consult::asked;
pub use price::output_tokens;
pub use select::{Candidate, qualities};
pub use snapshot::{Snapshot, SnapshotError};
pub use stick::Conversation;
pub use trace::{Choice, RouteTaken, Trace};

use crate::config::{Action, BackendName, Config, OnError, Prefer, Route, VirtualModel};
use crate::minds::{Judgement, Unavailable};

use rules::{Answer, Facts};

/// What `decide` knows about a request besides the verdicts.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// The `model` the client asked for.
    pub model: &'a str,
    pub prompt_tokens: u64,
    /// `max_completion_tokens` or `max_tokens`, where given.
    pub max_output_tokens: Option<u64>,
    pub tools: bool,
    pub images: bool,
    pub audio: bool,
    /// `response_format` asks for a JSON schema.
    pub json_schema: bool,
    pub headers: &'a HeaderMap,
    /// The backend that this conversation is with.
    pub held: Option<Held<'a>>,
}

/// A backend that has read the beginning of a conversation, and may have kept it in its prompt cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<'a> {
    pub backend: &'a str,
    /// Tokens of what it has read.
    pub tokens: u64,
}

/// Whether a backend may be called right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    Ready,
    /// Its circuit breaker is open.
    Broken,
    /// All its permits are taken.
    Full,
}

/// What a `model` name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A `[virtual_models]` name: the routes decide.
    Virtual(&'a str),
    /// A backend's own name: past routing.
    Named(&'a str),
}

/// Where a request goes, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub route: String,
    /// What matched, in words.
    pub clause: String,
    pub candidates: Vec<Candidate>,
    /// The chosen backend, then those to fall back to. Empty when `unable` says why.
    pub order: Vec<BackendName>,
    pub unable: Option<Unable>,
    /// The first of the order is asked on probation.
    pub cascade: Option<Cascading>,
    /// Stable codes, for `x-mom-reason` and the trace.
    pub reasons: Vec<&'static str>,
    /// The same in one plain English sentence.
    pub sentence: String,
    /// Probability with which this policy makes this choice. 1: it does not explore.
    pub propensity: f64,
    /// What staying with the conversation's backend came to, where it has one that could take this.
    pub conversation: Option<Conversation>,
}

/// What a candidate offered, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    pub backend: BackendName,
    pub quality: Option<f64>,
    pub cost_usd: f64,
    /// Able, and within the route's budget.
    pub eligible: bool,
    /// It is what the configured policy chooses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub base: bool,
}

impl Decision {
    /// What was learnt of a candidate.
    pub fn learned(&mut self, backend: &str, quality: f64) {
        let of = self.candidates.iter_mut().find(|candidate| candidate.backend == backend);
        of.into_iter().for_each(|candidate| candidate.learned_quality = Some(quality));
    }

    /// Another policy than the configured one takes `backend`, or the same, with this probability. `code` says why
    /// where it is not the configured choice.
    pub fn take(&mut self, backend: &str, propensity: f64, code: &'static str) {
        self.propensity = propensity;
        if code.is_empty() {
            return;
        }
        if let Some(at) = self.order.iter().position(|name| name == backend) {
            self.order[..=at].rotate_right(1);
        }
        self.reasons.push(code);
        self.sentence.push_str(&explain::taken(backend, code));
    }

    /// Of the candidates of the route taken, without its fallbacks.
    pub fn offers(&self, config: &Config) -> Vec<Offer> {
        let route = config.route(&self.route);
        let compared = |name: &BackendName| route.is_none_or(|route| route.candidates.contains(name));
        let offers = self.candidates.iter().filter(|candidate| compared(&candidate.backend));
        let offer = |candidate: &Candidate| Offer {
            backend: candidate.backend.clone(),
            quality: candidate.predicted_quality,
            cost_usd: candidate.predicted_cost_usd,
            eligible: candidate.eligible && candidate.affordable,
            base: self.order.first() == Some(&candidate.backend),
        };
        offers.map(offer).collect()
    }
}

/// Why no backend can take the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unable {
    /// Too long for every candidate: the client's to fix.
    ContextLength,
    /// No candidate can do what the request needs (tools, images, …): the client's to fix.
    Capability,
    /// Every candidate is predicted to cost more than the route allows.
    MaxCost,
    /// Every able backend's circuit breaker is open.
    Broken,
    /// Every able backend has all its permits taken.
    Full,
    /// A mind that must answer (`on_error = "closed"`) gave no verdict that a rule needed.
    Mind,
}

impl Unable {
    pub fn code(self) -> &'static str {
        match self {
            Self::ContextLength => "context_length_exceeded",
            Self::Capability => "capability_missing",
            Self::MaxCost => "max_cost_exceeded",
            Self::Broken => "no_backend_available",
            Self::Full => "overloaded",
            Self::Mind => "mind_unavailable",
        }
    }
}

/// The route name of requests that name their backend; no `[[routes]]` may take it.
pub const NAMED: &str = "named";

/// What `model` stands for; `None` is a 404.
pub fn resolve<'a>(config: &Config, model: &'a str) -> Option<Target<'a>> {
    if config.virtual_models.contains_key(model) {
        Some(Target::Virtual(model))
    } else {
        config.backends.contains_key(model).then_some(Target::Named(model))
    }
}

/// Where the request goes. The same arguments always give the same decision.
pub fn decide(
    config: &Config,
    target: Target<'_>,
    features: &Features<'_>,
    judgement: &Judgement,
    availability: &dyn Fn(&str) -> Availability,
) -> Decision {
    let facts = Facts { config, features, judgement };
    let taken = match target {
        Target::Named(backend) => return select::named(&facts, backend, availability),
        Target::Virtual(model) => take(&facts, model),
    };
    match taken {
        Ok(taken) => select::among(&facts, taken, availability),
        Err(role) => explain::mind_unavailable(role),
    }
}

/// The route a request takes.
struct Taken<'a> {
    route: &'a Route,
    clause: String,
    /// Codes of verdicts that were needed and missing: `brain_unavailable`, ….
    missing: Vec<&'static str>,
}

/// First match wins. A condition whose mind gave no verdict does not match; what then
/// happens is that mind's `on_error`. The error is the role of a mind that had to answer.
fn take<'a>(facts: &Facts<'a>, model: &str) -> Result<Taken<'a>, &'static str> {
    // Validation refuses a configuration without routes.
    let Some((terminal, others)) = facts.config.routes.split_last() else { return Err("routes") };
    let allowed = |route: &&Route| match facts.config.virtual_models.get(model) {
        Some(VirtualModel::Routes(names)) => names.contains(&route.name),
        Some(VirtualModel::All(_)) | None => true,
    };
    let mut missing = Vec::new();
    let mut diverted = guards_divert(facts, &mut missing);
    for route in others.iter().filter(allowed) {
        if diverted {
            break;
        }
        match route.when.as_ref().map_or(Answer::No, |when| rules::matches(when, facts)) {
            Answer::No => {}
            Answer::Unknown(role) => diverted = diverts(facts, role, &mut missing)?,
            Answer::Yes(clause) => {
                diverted = needs_intent(facts, route) && diverts(facts, "brain", &mut missing)?;
                if !diverted {
                    return Ok(Taken { route, clause, missing });
                }
            }
        }
    }
    if needs_intent(facts, terminal) {
        diverts(facts, "brain", &mut missing)?;
    }
    let clause = match (diverted, others) {
        (true, _) => "a verdict that routing needs is missing",
        (false, []) => "it is the only route",
        (false, _) => "no other route matched",
    };
    Ok(Taken { route: terminal, clause: clause.to_owned(), missing })
}

/// Notes a missing verdict; true when the request must go to the terminal route.
fn diverts(facts: &Facts<'_>, role: &'static str, missing: &mut Vec<&'static str>) -> Result<bool, &'static str> {
    let code = explain::unavailable(role);
    if !missing.contains(&code) {
        missing.push(code);
    }
    match facts.config.on_error(role) {
        OnError::Closed => Err(role),
        OnError::Open => Ok(false),
        OnError::Default => Ok(true),
    }
}

/// Guards with `on_error = "default"` that could not check send the request to the
/// terminal route; `closed` ones have stopped it before routing.
fn guards_divert(facts: &Facts<'_>, missing: &mut Vec<&'static str>) -> bool {
    let (guard, judgement) = (&facts.config.guard, facts.judgement);
    let lacks = |action, unavailable: Option<&Unavailable>| action != Action::Off && unavailable.is_some();
    let jailbreak = lacks(guard.jailbreak.action, judgement.jailbreak.unavailable())
        || lacks(guard.harm.action, judgement.harm.unavailable());
    let judged = [("jailbreak", jailbreak), ("pii", lacks(guard.pii.action, judgement.pii.unavailable()))];
    let mut divert = false;
    for (role, _) in judged.into_iter().filter(|(_, lacking)| *lacking) {
        missing.push(explain::unavailable(role));
        divert |= facts.config.on_error(role) == OnError::Default;
    }
    divert
}

/// Whether this route's choice hangs on a quality prediction that intent would have given.
fn needs_intent(facts: &Facts<'_>, route: &Route) -> bool {
    let policy = &route.policy;
    let asks = policy.prefer == Prefer::Quality || policy.min_quality.is_some() || policy.quality_of.is_some();
    facts.judgement.reading().unavailable().is_some() && asks && route.candidates.len() > 1
}

#[cfg(test)]
mod tests;
