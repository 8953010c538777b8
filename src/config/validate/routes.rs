//! Routes, their conditions and policies, and the virtual models that name them.

use std::collections::BTreeSet;

use http::HeaderName;

use crate::config::fault::Key;
use crate::config::labels::{COMPLEXITIES, PII_LABELS};
use crate::config::{BackendName, Mind, OnError, OneOrMany, Policy, Range, Route, VirtualModel, When};

use super::Checks;

/// Names that decisions use for themselves.
const RESERVED: [&str; 1] = ["named"];

impl Checks<'_> {
    pub(super) fn routes(&mut self) {
        let routes = &self.config.routes;
        if routes.is_empty() {
            let example = "write [[routes]] with name and candidates";
            self.fail_and_say(Key::of(&["routes"]), "there is no route", example);
        }
        let mut seen = BTreeSet::new();
        for (index, route) in routes.iter().enumerate() {
            let key = Key::of(&["routes"]).and(index);
            self.name(&key.and("name"), &route.name);
            if RESERVED.contains(&route.name.as_str()) {
                self.fail(key.and("name"), format!("\"{}\" is reserved for requests that name a backend", route.name));
            }
            if !seen.insert(&route.name) {
                self.fail(key.and("name"), format!("there is already a route \"{}\"", route.name));
            }
            let is_last = index + 1 == routes.len();
            match &route.when {
                Some(_) if is_last => self.fail_and_say(
                    key.and("when"),
                    "the last route takes what no other does, so it has no condition",
                    "remove `when`, or add a route without one after it",
                ),
                None if !is_last => self.fail_and_say(
                    key.clone(),
                    format!("route \"{}\" has no `when`, so the routes after it are never reached", route.name),
                    "move it to the end",
                ),
                Some(when) => self.when(&key.and("when"), when),
                None => {}
            }
            self.targets(&key, route);
            self.policy(&key.and("policy"), route);
            self.learn(&key.and("learn"), route);
            self.cascade(&key.and("cascade"), route);
        }
    }

    fn targets(&mut self, key: &Key, route: &Route) {
        if route.candidates.is_empty() {
            self.fail(key.and("candidates"), "needs at least one backend");
        }
        for (list, backends) in [("candidates", &route.candidates), ("fallback", &route.fallback)] {
            let mut seen = BTreeSet::new();
            for (index, backend) in backends.iter().enumerate() {
                let key = key.and(list).and(index);
                if !seen.insert(backend) {
                    self.fail(key.clone(), format!("\"{backend}\" is already in the list"));
                }
                self.backend_name(key, backend);
            }
        }
    }

    pub(super) fn backend_name(&mut self, key: Key, backend: &BackendName) {
        if !self.names.backends.contains(backend) {
            self.unknown(key, "backend", backend, self.names.backends.iter().map(String::as_str));
        }
    }

    fn policy(&mut self, key: &Key, route: &Route) {
        let Policy { min_quality, max_cost, max_usd_per_1k_requests, quality_of, worth_usd, .. } = &route.policy;
        let foresees = self.config.foresees();
        if let Some(floor) = min_quality {
            self.within(key.and("min_quality"), *floor, 0.0, 1.0);
            // A misspelt table is reported as such.
            let misspelt = !self.names.quality.is_subset(&self.names.backends);
            let known = |candidate: &BackendName| self.names.quality.contains(candidate);
            if !foresees && !misspelt && !route.candidates.is_empty() && !route.candidates.iter().any(known) {
                let example = "add [quality.BACKEND] or [minds.quality], or remove min_quality";
                self.fail_and_say(
                    key.and("min_quality"),
                    "no candidate has a [quality] table to reach it with",
                    example,
                );
            }
        }
        if let Some(cost) = max_cost
            && (!cost.is_finite() || *cost <= 0.0)
        {
            self.fail(key.and("max_cost"), "must be USD per request, more than 0");
        }
        if let Some(usd) = max_usd_per_1k_requests
            && (!usd.is_finite() || *usd <= 0.0)
        {
            self.fail(key.and("max_usd_per_1k_requests"), "must be USD for a thousand requests, more than 0");
        }
        if let Some(usd) = worth_usd
            && (!usd.is_finite() || *usd <= 0.0)
        {
            self.fail(key.and("worth_usd"), "must be USD for an answer that is good rather than bad, more than 0");
        }
        if let Some(of) = quality_of {
            let key = key.and("quality_of");
            self.within(key.and("share"), of.share, 0.0, 1.0);
            self.backend_name(key.and("backend"), &of.backend);
            if !foresees && self.names.backends.contains(&of.backend) && !self.names.quality.contains(&of.backend) {
                let add = format!("add [quality.{}]", of.backend);
                self.fail_and_say(key.and("backend"), format!("\"{}\" has no [quality] table", of.backend), add);
            }
        }
    }

    fn learn(&mut self, key: &Key, route: &Route) {
        let Some(learn) = &route.learn else { return };
        self.within(key.and("explore"), learn.explore, 0.0, 0.2);
        if learn.every < std::time::Duration::from_millis(100) {
            self.fail(key.and("every"), "must be 100ms or more");
        }
        if route.policy.worth_usd.is_none() {
            let says = "add worth_usd to its policy: what an answer that is good rather than bad is worth";
            self.fail_and_say(key.clone(), "better answers cannot be weighed against their cost", says);
        }
        if self.config.ledger.as_ref().is_none_or(|ledger| !ledger.features) {
            self.fail_and_say(key.clone(), "there is nothing to learn from", "add [ledger], with features");
        }
        if route.cascade.is_some() {
            self.fail(key.clone(), "a cascade chooses by the answers: a route learns or has a cascade");
        }
        if route.candidates.len() == 1 {
            self.fail(key.clone(), "there is one candidate: nothing to choose");
        }
    }

    fn when(&mut self, key: &Key, when: &When) {
        self.needed_minds(key, when);
        for (index, label) in items(&when.category) {
            self.category(place(key, "category", &when.category, index), label);
        }
        for (index, label) in items(&when.complexity).filter(|(_, label)| !COMPLEXITIES.contains(label)) {
            self.unknown(place(key, "complexity", &when.complexity, index), "complexity", label, COMPLEXITIES);
        }
        let known = || PII_LABELS.into_iter().chain(["any"]);
        let strange = |label: &str| self.own_labels("pii") && !known().any(|known| known == label);
        let strangers: Vec<_> = items(&when.pii).filter(|(_, label)| strange(label)).collect();
        for (index, label) in strangers {
            self.unknown(place(key, "pii", &when.pii, index), "PII label", label, known());
        }
        for (index, name) in items(&when.similar_to).filter(|(_, name)| !self.names.exemplars.contains(*name)) {
            let known = self.names.exemplars.iter().map(String::as_str);
            self.unknown(place(key, "similar_to", &when.similar_to, index), "exemplar", name, known);
        }
        for (index, name) in items(&when.model).filter(|(_, name)| !self.config.virtual_models.contains_key(*name)) {
            let known = self.config.virtual_models.keys().map(String::as_str);
            self.unknown(place(key, "model", &when.model, index), "virtual model", name, known);
        }
        for name in when.headers.iter().flat_map(|headers| headers.keys()) {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                self.fail(key.and("headers").and(name), "is not a header name");
            }
        }
        self.range(key.and("confidence"), when.confidence, 1.0);
        self.range(key.and("difficulty"), when.difficulty, 1.0);
        self.range(key.and("jailbreak"), when.jailbreak, 1.0);
        self.range(key.and("prompt_tokens"), when.prompt_tokens, f64::MAX);
    }

    /// When a decoder is asked.
    pub(super) fn consulted(&mut self, key: &Key, mind: &Mind) {
        if let Some(when) = &mind.when {
            self.when(&key.and("when"), when);
        }
        for (index, name) in items(&mind.routes).filter(|(_, name)| !self.names.routes.contains(*name)) {
            let known = self.names.routes.iter().map(String::as_str);
            self.unknown(place(key, "routes", &mind.routes, index), "route", name, known);
        }
        if mind.threshold.is_some() {
            self.fail(key.and("threshold"), "a decoder decides nothing by a threshold");
        }
        if let Some(on_error) = mind.on_error
            && on_error != OnError::Open
        {
            let says = "remove it: without its word the decision of the flash minds stands";
            self.fail_and_say(key.and("on_error"), "a decoder never stops a request", says);
        }
    }

    /// A condition on a mind that does not run would never hold.
    fn needed_minds(&mut self, key: &Key, when: &When) {
        let needs = [
            ("category", "brain", when.category.is_some()),
            ("confidence", "brain", when.confidence.is_some()),
            ("complexity", "brain", when.complexity.is_some()),
            ("jailbreak", "jailbreak", when.jailbreak.is_some()),
            ("pii", "pii", when.pii.is_some()),
            ("similar_to", "similarity", when.similar_to.is_some()),
        ];
        let mut conditions = 0;
        for (condition, role, used) in needs.into_iter().filter(|(.., used)| *used) {
            conditions += usize::from(used);
            if self.config.minds.get(role).is_some_and(|mind| !mind.enabled) {
                self.fail(key.and(condition), format!("needs the mind \"{role}\", which is not enabled"));
            }
        }
        let expert = |role: &String, mind: &Mind| role.starts_with("expert-") && mind.enabled;
        for (condition, used) in [("domain", when.domain.is_some()), ("difficulty", when.difficulty.is_some())] {
            if used && !self.config.minds.iter().any(|(role, mind)| expert(role, mind)) {
                self.fail(key.and(condition), "needs an expert, such as [minds.expert-math]");
            }
        }
        let others = [
            when.prompt_tokens.is_some(),
            when.tools.is_some(),
            when.images.is_some(),
            when.headers.is_some(),
            when.model.is_some(),
            when.domain.is_some(),
            when.difficulty.is_some(),
        ];
        if conditions == 0 && !others.contains(&true) {
            self.fail(key.clone(), "has no condition, so the routes after it are never reached");
        }
    }

    fn range(&mut self, key: Key, range: Option<Range>, most: f64) {
        let Some(Range { min, max }) = range else { return };
        for (name, bound) in [("min", min), ("max", max)] {
            if let Some(bound) = bound {
                self.within(key.and(name), bound, 0.0, most);
            }
        }
        match (min, max) {
            (None, None) => self.fail(key, "needs min, max or both"),
            (Some(min), Some(max)) if min > max => self.fail(key, format!("min {min} is more than max {max}")),
            _ => {}
        }
    }

    pub(super) fn virtual_models(&mut self) {
        for (name, model) in &self.config.virtual_models {
            let key = Key::of(&["virtual_models", name]);
            self.name(&key, name);
            let VirtualModel::Routes(routes) = model else { continue };
            for (index, route) in routes.iter().enumerate() {
                if !self.names.routes.contains(route) {
                    self.unknown(key.and(index), "route", route, self.names.routes.iter().map(String::as_str));
                }
            }
        }
    }
}

fn items(names: &Option<OneOrMany<String>>) -> impl Iterator<Item = (usize, &str)> {
    names.iter().flat_map(|names| names.as_slice()).map(String::as_str).enumerate()
}

/// A single string has no index to point at.
fn place(key: &Key, condition: &str, names: &Option<OneOrMany<String>>, index: usize) -> Key {
    match names {
        Some(OneOrMany::Many(_)) => key.and(condition).and(index),
        _ => key.and(condition),
    }
}
