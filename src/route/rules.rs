//! Whether a route's `when` holds. A missing verdict is neither yes nor no.

use crate::config::{Config, OneOrMany, Range, When};
use crate::minds::{Embedding, Expert, Given, Intent, Judgement, Span};

use super::Features;

/// Everything a rule can look at.
pub(super) struct Facts<'a> {
    pub(super) config: &'a Config,
    pub(super) features: &'a Features<'a>,
    pub(super) judgement: &'a Judgement,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// What matched, in words.
    Yes(String),
    No,
    /// The role whose verdict was needed and missing; everything else matched.
    Unknown(&'static str),
}

#[derive(Clone, Copy)]
enum Truth {
    True,
    False,
    Unknown(&'static str),
}

/// All keys must hold. One that fails settles it, whatever is unknown beside it.
pub(super) fn matches(when: &When, facts: &Facts<'_>) -> Answer {
    let truths = of_request(when, facts.features).into_iter().chain(of_verdicts(when, facts));
    let mut unknown = None;
    for truth in truths.flatten() {
        match truth {
            Truth::True => {}
            Truth::False => return Answer::No,
            Truth::Unknown(role) => unknown = unknown.or(Some(role)),
        }
    }
    unknown.map_or_else(|| Answer::Yes(clause(when, facts)), Answer::Unknown)
}

fn of_request(when: &When, features: &Features<'_>) -> [Option<Truth>; 5] {
    [
        when.prompt_tokens.map(|range| range.contains(features.prompt_tokens as f64)),
        when.tools.map(|wanted| wanted == features.tools),
        when.images.map(|wanted| wanted == features.images),
        when.model.as_ref().map(|names| has(names, features.model)),
        when.headers.as_ref().map(|headers| headers.iter().all(|(name, values)| has_header(features, name, values))),
    ]
    .map(|holds| holds.map(Truth::from))
}

fn of_verdicts(when: &When, facts: &Facts<'_>) -> [Option<Truth>; 8] {
    let Judgement { jailbreak, pii, embedding, .. } = facts.judgement;
    let (intent, expert) = (&facts.judgement.reading(), facts.judgement.expert());
    let within = |range: Range, value: f32| range.contains(f64::from(value));
    [
        when.category.as_ref().map(|names| ask("brain", intent, |intent| has(names, intent.category().0))),
        when.confidence.map(|range| ask("brain", intent, |intent| within(range, intent.category().1))),
        when.complexity.as_ref().map(|names| {
            ask("brain", intent, |intent| intent.complexity().is_some_and(|(label, _)| has(names, label)))
        }),
        // No expert was asked, or it is late: then no rule on its word holds.
        when.domain.as_ref().map(|names| expert.is_some_and(|expert| has(names, expert.domain().0)).into()),
        when.difficulty.map(|range| expert.is_some_and(|expert| within(range, expert.difficulty)).into()),
        when.jailbreak.map(|range| ask("jailbreak", jailbreak, |verdict| within(range, verdict.score))),
        when.pii.as_ref().map(|labels| ask("pii", pii, |spans| found(labels, spans).next().is_some())),
        when.similar_to
            .as_ref()
            .map(|names| ask("similarity", embedding, |embedding| similar(names, embedding, facts.config).is_some())),
    ]
}

/// What matched, in words, with the numbers behind it.
fn clause(when: &When, facts: &Facts<'_>) -> String {
    let Judgement { jailbreak, pii, embedding, .. } = facts.judgement;
    let features = facts.features;
    let mut words = Vec::new();
    if let Some(intent) = facts.judgement.reading().verdict() {
        words.extend(intent_clauses(when, intent));
    }
    if let Some(expert) = facts.judgement.expert() {
        words.extend(expert_clauses(when, expert));
    }
    if let (Some(_), Some(verdict)) = (when.jailbreak, jailbreak.verdict()) {
        words.push(format!("jailbreak score is {:.2}", verdict.score));
    }
    if let (Some(labels), Some(spans)) = (&when.pii, pii.verdict()) {
        let label = found(labels, spans).next().map_or("any", |span| &*span.label);
        words.push(format!("personal data was found ({label})"));
    }
    if let (Some(names), Some(embedding)) = (&when.similar_to, embedding.verdict())
        && let Some((name, cosine)) = similar(names, embedding, facts.config)
    {
        words.push(format!("it is similar to \"{name}\" ({cosine:.2})"));
    }
    if when.prompt_tokens.is_some() {
        words.push(format!("the prompt has {} tokens", features.prompt_tokens));
    }
    for (wanted, what) in [(when.tools, "tools"), (when.images, "images")] {
        if let Some(wanted) = wanted {
            words.push(format!("{} {what}", if wanted { "it carries" } else { "it carries no" }));
        }
    }
    for name in when.headers.iter().flat_map(|headers| headers.keys()) {
        words.push(format!("header {name} matches"));
    }
    if when.model.is_some() {
        words.push(format!("the model asked for is {}", features.model));
    }
    words.join(" and ")
}

fn intent_clauses(when: &When, intent: &Intent) -> impl Iterator<Item = String> {
    let (category, p) = intent.category();
    let by_category = when.category.is_some().then(|| format!("category is {category} ({p:.2})"));
    let by_confidence = when.confidence.is_some().then(|| format!("confidence is {p:.2}"));
    let by_complexity = when.complexity.as_ref().and_then(|_| intent.complexity());
    let by_complexity = by_complexity.map(|(label, p)| format!("complexity is {label} ({p:.2})"));
    [by_category, by_confidence, by_complexity].into_iter().flatten()
}

fn expert_clauses(when: &When, expert: &Expert) -> impl Iterator<Item = String> {
    let (domain, p) = expert.domain();
    let by_domain = when.domain.is_some().then(|| format!("it is about {domain} ({p:.2})"));
    let by_difficulty = when.difficulty.map(|_| format!("its difficulty is {:.2}", expert.difficulty));
    [by_domain, by_difficulty].into_iter().flatten()
}

fn ask<T>(role: &'static str, given: &Given<T>, test: impl FnOnce(&T) -> bool) -> Truth {
    match given {
        Given::Verdict(verdict) => test(verdict).into(),
        Given::Unavailable(_) => Truth::Unknown(role),
        // Validation refuses rules on a mind that is off.
        Given::Off => Truth::False,
    }
}

fn has(names: &OneOrMany<String>, name: &str) -> bool {
    names.as_slice().iter().any(|wanted| wanted == name)
}

fn has_header(features: &Features<'_>, name: &str, values: &OneOrMany<String>) -> bool {
    let mut sent = features.headers.get_all(name).iter();
    sent.any(|value| values.as_slice().iter().any(|wanted| wanted.as_bytes() == value.as_bytes()))
}

fn found<'a>(labels: &'a OneOrMany<String>, spans: &'a [Span]) -> impl Iterator<Item = &'a Span> {
    let any = has(labels, "any");
    spans.iter().filter(move |span| any || has(labels, &span.label))
}

/// The nearest of the named exemplars that the text is similar enough to.
fn similar<'a>(names: &OneOrMany<String>, embedding: &'a Embedding, config: &Config) -> Option<(&'a str, f32)> {
    let reached = |name: &str, cosine: f32| {
        let own = config.exemplars.get(name).and_then(|exemplar| exemplar.threshold);
        cosine >= own.unwrap_or(embedding.threshold)
    };
    let similarities = embedding.similar_to.iter().map(|(name, cosine)| (name.as_str(), *cosine));
    similarities.filter(|(name, cosine)| has(names, name) && reached(name, *cosine)).max_by(|a, b| a.1.total_cmp(&b.1))
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}
