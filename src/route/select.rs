//! Choosing among a route's candidates: first who is able, then who is good enough, then
//! who is cheapest (or best within the cost cap).

use std::cmp::Ordering;

use serde::{Serialize, Serializer};

use crate::config::{Backend, BackendName, Capability, Config, Policy, Prefer, Quality, QualityTable};
use crate::minds::quality::Foreseen;
use crate::minds::{Given, Intent, Judgement};

use super::cascade::Course;
use super::rules::Facts;
use super::{Availability, Decision, Features, NAMED, Taken, Unable, explain, price, stick};

/// One backend that was weighed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    pub backend: BackendName,
    /// 0..1; `None` where the configuration or the verdicts do not say.
    #[serde(serialize_with = "to_a_millionth")]
    pub predicted_quality: Option<f64>,
    /// With what the backend saves where it has read the beginning of this conversation.
    #[serde(serialize_with = "to_a_billionth")]
    pub predicted_cost_usd: f64,
    /// What feedback has made of that.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "to_a_millionth")]
    pub learned_quality: Option<f64>,
    /// Able to take this request now.
    pub eligible: bool,
    /// Why it is not eligible, or how it compares.
    pub why: String,
    #[serde(skip)]
    pub(super) unable: Option<Unable>,
    #[serde(skip)]
    pub(super) reaches_floor: bool,
    /// Predicted to cost no more than the route's budget has for one request.
    #[serde(skip)]
    pub(super) affordable: bool,
    #[serde(skip)]
    pub(super) cache_saving: f64,
    /// Expected quality before reading the request. Orders what is otherwise unknown; never reported.
    #[serde(skip)]
    prior: Option<f64>,
}

// Digits beyond these are noise, and make traces hard to read and compare.
fn to_a_millionth<S: Serializer>(quality: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    quality.map(|quality| (quality * 1e6).round() / 1e6).serialize(serializer)
}

pub(super) fn to_a_billionth<S: Serializer>(usd: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    ((usd * 1e9).round() / 1e9).serialize(serializer)
}

/// What a candidate must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Floor {
    None,
    At(f64),
    /// The floor is a share of a quality that nobody knows: nothing reaches it.
    Unknown,
}

/// A request that names its backend is not second-guessed: what the backend cannot do, it
/// says itself.
pub(super) fn named(facts: &Facts<'_>, name: &str, availability: &dyn Fn(&str) -> Availability) -> Decision {
    let mut candidate = weigh(facts, name, &Policy::default(), Source::Table, availability);
    let (unable, why) = ready(availability(name)).unzip();
    candidate.why = why.unwrap_or_else(|| "named by the client".to_owned());
    candidate.unable = unable;
    candidate.eligible = unable.is_none();
    let mut reasons = vec!["named_backend"];
    reasons.extend(unable.map(Unable::code));
    Decision {
        route: NAMED.to_owned(),
        clause: "the client named this backend".to_owned(),
        order: if unable.is_none() { vec![name.to_owned()] } else { Vec::new() },
        unable,
        cascade: None,
        reasons,
        sentence: explain::named(&candidate),
        candidates: vec![candidate],
        propensity: 1.0,
        conversation: None,
    }
}

/// Chooses among the candidates of the route taken.
pub(super) fn among(facts: &Facts<'_>, taken: Taken<'_>, availability: &dyn Fn(&str) -> Availability) -> Decision {
    let Taken { route, clause, missing } = taken;
    let policy = &route.policy;
    let source = Source::of(facts, &route.candidates, policy);
    let far = source == Source::Outcomes && route.candidates.iter().any(|name| is_far(facts, name));
    let floor = floor(facts, policy, source);
    let mut candidates: Vec<Candidate> =
        route.candidates.iter().map(|name| weigh(facts, name, policy, source, availability)).collect();
    for candidate in &mut candidates {
        candidate.compare(floor);
        candidate.afford(policy);
    }
    // A budget is there to be used: without a floor it buys the best.
    let prefer = match (policy.max_usd_per_1k_requests, floor) {
        (Some(_), Floor::None) => Prefer::Quality,
        _ => policy.prefer,
    };
    let mut ranked: Vec<&Candidate> = candidates.iter().filter(|candidate| candidate.eligible).collect();
    // The sort is stable: equals keep the configured order.
    ranked.sort_by(|a, b| preference(prefer, a, b, Candidate::plain_cost));
    let otherwise = ranked.first().copied();
    ranked.sort_by(|a, b| preference(prefer, a, b, |candidate| candidate.predicted_cost_usd));
    let by_cost = otherwise.is_some_and(|first| !first.affordable || (prefer == Prefer::Cost && first.reaches_floor));
    // A cascade asks who it is told to ask.
    let held = facts.features.held.filter(|_| route.cascade.is_none());
    let conversation = otherwise.and_then(|otherwise| stick::stick(policy, held, &mut ranked, otherwise, by_cost));
    let fallback: Vec<Candidate> = route
        .fallback
        .iter()
        .filter(|name| !route.candidates.contains(name))
        .map(|name| weigh(facts, name, &Policy::default(), source, availability))
        .collect();
    let mut order: Vec<BackendName> = ranked.iter().map(|candidate| candidate.backend.clone()).collect();
    order.extend(fallback.iter().filter(|candidate| candidate.eligible).map(|candidate| candidate.backend.clone()));
    let course = route.cascade.as_ref().map(|options| Course::of(options, &candidates));
    let lead = course.as_ref().map(Course::lead).unwrap_or_default();
    order.retain(|name| !lead.contains(name));
    order.splice(0..0, lead);
    let unable = if order.is_empty() { gravest(candidates.iter().chain(&fallback)) } else { None };
    // The first of the order, unless that is a fallback.
    let chosen = ranked.into_iter().find(|candidate| order.first() == Some(&candidate.backend));
    let kept = conversation.as_ref().filter(|conversation| conversation.kept);
    let course = course.as_ref();
    let outcome = explain::Outcome { chosen, order: &order, unable, prefer, floor, kept, course };
    let mut reasons = explain::consulted(facts);
    reasons.extend(missing);
    reasons.extend(source.code());
    reasons.extend(far.then_some("far_from_outcomes"));
    reasons.extend(outcome.reasons(&candidates));
    reasons.extend(conversation.as_ref().and_then(explain::stuck));
    let sentence = outcome.sentence(facts, &route.name, &clause, &candidates);
    candidates.extend(fallback);
    let cascade = match course {
        Some(Course::Run(cascading)) => Some(cascading.clone()),
        _ => None,
    };
    let (route, propensity) = (route.name.clone(), 1.0);
    Decision { route, clause, candidates, order, unable, cascade, reasons, sentence, propensity, conversation }
}

/// Below this nearness to known outcomes the trace says that it is mostly difficulty that speaks.
const NEAR: f32 = 0.5;

/// Who says how good a backend's answer will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// `[quality]`, by what the request is about.
    Table,
    /// Outcomes of prompts like this one; `[quality]` for backends that have none.
    Outcomes,
    /// The expert that was asked, from the question itself.
    Expert,
}

impl Source {
    /// The expert where it knows all that are compared: its numbers and the table's are not alike. Outcomes
    /// where any are known of those.
    fn of(facts: &Facts<'_>, candidates: &[BackendName], policy: &Policy) -> Self {
        let compared = || candidates.iter().chain(policy.quality_of.iter().map(|of| &of.backend));
        if compared().all(|name| solves(facts, name).is_some()) {
            Self::Expert
        } else if compared().any(|name| foreseen(facts, name).is_some()) {
            Self::Outcomes
        } else {
            Self::Table
        }
    }

    fn code(self) -> Option<&'static str> {
        match self {
            Self::Table => None,
            Self::Outcomes => Some("foreseen_quality"),
            Self::Expert => Some("expert_quality"),
        }
    }

    fn predict(self, facts: &Facts<'_>, name: &str) -> Option<f64> {
        let table = || predict(facts.config.quality.get(name)?, &facts.judgement.reading());
        match self {
            Self::Table => table(),
            Self::Outcomes => foreseen(facts, name).map(|seen| f64::from(seen.quality)).or_else(table),
            Self::Expert => solves(facts, name),
        }
    }
}

/// Its outcomes are of other prompts than this one.
fn is_far(facts: &Facts<'_>, name: &str) -> bool {
    foreseen(facts, name).is_some_and(|seen| seen.near < NEAR)
}

fn foreseen<'a>(facts: &Facts<'a>, name: &str) -> Option<&'a Foreseen> {
    facts.judgement.foresight.as_ref()?.of(facts.config.measured_as(name))
}

fn solves(facts: &Facts<'_>, name: &str) -> Option<f64> {
    facts.judgement.expert()?.p_solve(facts.config.measured_as(name)).map(f64::from)
}

/// How well each of these backends would answer, all by one source; `None` where nobody knows.
pub fn qualities(
    config: &Config,
    features: &Features<'_>,
    judgement: &Judgement,
    names: &[BackendName],
) -> Vec<Option<f64>> {
    let facts = Facts { config, features, judgement };
    let source = Source::of(&facts, names, &Policy::default());
    names.iter().map(|name| source.predict(&facts, name)).collect()
}

/// Predicts one backend's quality and cost for this request, and whether it is able at all.
fn weigh(
    facts: &Facts<'_>,
    name: &str,
    policy: &Policy,
    source: Source,
    availability: &dyn Fn(&str) -> Availability,
) -> Candidate {
    let intent = facts.judgement.reading();
    let table = facts.config.quality.get(name);
    let length = foreseen(facts, name).and_then(|seen| seen.output_tokens).map(f64::from);
    let output = price::output_tokens(length, intent.verdict().copied(), facts.features.max_output_tokens);
    let cache_saving = stick::saving(facts.config, facts.features.held, name, policy);
    let (cost, unable) = match facts.config.backends.get(name) {
        Some(backend) => {
            let cost = backend.price.predict(facts.features.prompt_tokens, output) - cache_saving;
            let able = ability(facts, backend, output)
                .or_else(|| policy.max_cost.filter(|most| cost > *most).map(too_dear))
                .or_else(|| ready(availability(name)));
            (cost, able)
        }
        // Validation refuses unknown names.
        None => (0.0, Some((Unable::Broken, "not configured".to_owned()))),
    };
    let (unable, why) = unable.unzip();
    Candidate {
        backend: name.to_owned(),
        predicted_quality: source.predict(facts, name),
        predicted_cost_usd: cost,
        learned_quality: None,
        eligible: unable.is_none(),
        why: why.unwrap_or_default(),
        unable,
        reaches_floor: false,
        affordable: true,
        cache_saving,
        prior: table.map(|table| table.default.worst()),
    }
}

fn ability(facts: &Facts<'_>, backend: &Backend, output: f64) -> Option<(Unable, String)> {
    let features = facts.features;
    let needs = [
        (features.tools, Capability::Tools, "tools"),
        (features.images, Capability::Images, "images"),
        (features.audio, Capability::Audio, "audio"),
        (features.json_schema, Capability::JsonSchema, "json_schema"),
    ];
    let lacks = |capability| backend.capabilities.as_ref().is_some_and(|able| !able.contains(&capability));
    for (needed, capability, name) in needs {
        if needed && lacks(capability) {
            return Some((Unable::Capability, format!("cannot do {name}")));
        }
    }
    let tokens = features.prompt_tokens.saturating_add(output.ceil() as u64);
    let window = backend.context_window.filter(|window| tokens > *window)?;
    Some((Unable::ContextLength, format!("needs about {tokens} tokens, has {window}")))
}

fn too_dear(most: f64) -> (Unable, String) {
    (Unable::MaxCost, format!("predicted to cost more than ${most}"))
}

fn ready(availability: Availability) -> Option<(Unable, String)> {
    match availability {
        Availability::Ready => None,
        Availability::Broken => Some((Unable::Broken, "circuit breaker open".to_owned())),
        Availability::Full => Some((Unable::Full, "at its concurrency limit".to_owned())),
    }
}

/// Expected quality under the mind's probabilities, not under its best guess alone. A
/// verdict that is missing gives no prediction; a mind that is switched off leaves the
/// table's `default` as the operator's own estimate.
fn predict(table: &QualityTable, intent: &Given<&Intent>) -> Option<f64> {
    let intent = match intent {
        Given::Verdict(intent) => intent,
        Given::Off => return Some(table.default.expected([1.0 / 3.0; 3])),
        Given::Unavailable(_) => return None,
    };
    let complexity = intent.complexity.map_or([1.0 / 3.0; 3], |scores| scores.map(f64::from));
    let of = |label: &String| table.categories.get(label).unwrap_or(&table.default).expected(complexity);
    Some(intent.labels.iter().zip(&intent.scores).map(|(label, &p)| f64::from(p) * of(label)).sum())
}

impl Quality {
    fn expected(&self, complexity: [f64; 3]) -> f64 {
        match *self {
            Self::Flat(quality) => quality,
            Self::ByComplexity { simple, medium, hard } => {
                [simple, medium, hard].iter().zip(complexity).map(|(quality, p)| quality * p).sum()
            }
        }
    }

    fn worst(&self) -> f64 {
        match *self {
            Self::Flat(quality) => quality,
            Self::ByComplexity { simple, medium, hard } => simple.min(medium).min(hard),
        }
    }
}

/// The higher of `min_quality` and the share of `quality_of`.
fn floor(facts: &Facts<'_>, policy: &Policy, source: Source) -> Floor {
    let relative =
        policy.quality_of.as_ref().map(|of| source.predict(facts, &of.backend).map(|quality| quality * of.share));
    match (policy.min_quality, relative) {
        (_, Some(None)) => Floor::Unknown,
        (None, None) => Floor::None,
        (Some(floor), None) | (None, Some(Some(floor))) => Floor::At(floor),
        (Some(absolute), Some(Some(relative))) => Floor::At(absolute.max(relative)),
    }
}

impl Candidate {
    /// As if no backend had read anything before.
    pub(super) fn plain_cost(&self) -> f64 {
        self.predicted_cost_usd + self.cache_saving
    }

    fn compare(&mut self, floor: Floor) {
        self.reaches_floor = match (floor, self.predicted_quality) {
            (Floor::None, _) => true,
            (Floor::At(floor), Some(quality)) => quality >= floor,
            (Floor::At(_), None) | (Floor::Unknown, _) => false,
        };
        if self.unable.is_some() {
            return;
        }
        self.why = match (floor, self.predicted_quality) {
            (_, None) => "quality unknown".to_owned(),
            (Floor::None, _) => "able".to_owned(),
            (Floor::At(floor), _) if self.reaches_floor => format!("reaches the quality floor {floor:.3}"),
            (Floor::At(floor), _) => format!("below the quality floor {floor:.3}"),
            (Floor::Unknown, _) => "the quality floor is unknown".to_owned(),
        };
    }

    fn afford(&mut self, policy: &Policy) {
        let Some(usd) = policy.max_usd_per_1k_requests else { return };
        self.affordable = self.predicted_cost_usd * 1000.0 <= usd;
        if self.unable.is_none() && !self.affordable {
            self.why = format!("over the budget of ${usd} for 1,000 requests");
        }
    }
}

/// `Less` is preferred. Within the budget comes before beyond it, and there the cheapest is best. A cost preference holds among those that reach the floor; below it
/// the better one comes first.
fn preference(prefer: Prefer, a: &Candidate, b: &Candidate, cost: fn(&Candidate) -> f64) -> Ordering {
    let cheaper = cost(a).total_cmp(&cost(b));
    let better = || by_quality(b.predicted_quality, a.predicted_quality).then_with(|| by_quality(b.prior, a.prior));
    if !(a.affordable && b.affordable) {
        return b.affordable.cmp(&a.affordable).then(cheaper);
    }
    match prefer {
        Prefer::Quality => better().then(cheaper),
        Prefer::Cost => b
            .reaches_floor
            .cmp(&a.reaches_floor)
            .then_with(|| if a.reaches_floor { cheaper } else { better().then(cheaper) }),
    }
}

/// Unknown is below everything known.
fn by_quality(a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// What the client is told when nobody can: what time may heal comes first, then what the
/// operator can change, then what the client can.
fn gravest<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> Option<Unable> {
    let rank = |unable: &Unable| match unable {
        Unable::Full => 0,
        Unable::Broken => 1,
        Unable::Mind => 2,
        Unable::MaxCost => 3,
        Unable::ContextLength => 4,
        Unable::Capability => 5,
    };
    candidates.filter_map(|candidate| candidate.unable).min_by_key(rank)
}
