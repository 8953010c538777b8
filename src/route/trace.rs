//! The decision trace: one JSON object, the same wherever it is read. No message text, but for what a decoder's
//! reason quotes, where the operator wants reasons.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{BackendName, Config};
use crate::minds::{JudgedPart, Judgement};

use super::{Candidate, Cascading, Conversation, Decision};

/// What the gateway saw, weighed and chose for one request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    pub request_id: String,
    pub config_hash: String,
    pub policy_version: String,
    pub judged: Vec<JudgedPart>,
    /// Mind name to verdict, or to `{"unavailable": reason}`.
    pub verdicts: Map<String, Value>,
    /// What the guards did; empty when nothing.
    pub guard: Vec<String>,
    /// `null` when a guard stopped the request before routing.
    pub route: Option<RouteTaken>,
    pub candidates: Vec<Candidate>,
    /// `null` when the request goes nowhere; `reasons` then says why.
    pub choice: Option<Choice>,
    /// What staying with the conversation's backend saves, beside what a change would win.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Conversation>,
    /// Whom the choice's answer may be given up for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cascade: Option<Cascading>,
    pub reasons: Vec<&'static str>,
    pub sentence: String,
    pub timings_us: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteTaken {
    pub name: String,
    /// What matched, in words.
    pub clause: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    pub backend: BackendName,
    /// The model name sent upstream.
    pub model: String,
    pub propensity: f64,
}

impl Trace {
    /// A trace that has verdicts and no outcome yet.
    pub fn new(request_id: String, config: &Config, judgement: &Judgement, verdicts: Map<String, Value>) -> Self {
        let mut trace = Self {
            request_id,
            config_hash: config.hash.clone(),
            policy_version: config.policy_version.clone(),
            judged: judgement.judged.clone(),
            verdicts,
            guard: Vec::new(),
            route: None,
            candidates: Vec::new(),
            choice: None,
            conversation: None,
            cascade: None,
            reasons: Vec::new(),
            sentence: String::new(),
            timings_us: BTreeMap::new(),
        };
        let timings = judgement.timings;
        trace.time("tokenize", timings.tokenize);
        trace.time("queue", timings.queue);
        trace.time("infer", timings.infer);
        trace.time("judge", timings.total);
        if judgement.foresight.is_some() {
            trace.time("foresee", timings.foresee);
        }
        if !judgement.opinions.is_empty() {
            trace.time("consult", timings.consult);
        }
        trace
    }

    /// A guard ended it: no route, no candidates, no choice.
    pub fn stopped(&mut self, reason: &'static str, sentence: &str) {
        self.reasons.push(reason);
        sentence.clone_into(&mut self.sentence);
    }

    /// Routing ended it, with a choice or with why there is none.
    pub fn decided(&mut self, config: &Config, decision: &Decision) {
        if !decision.route.is_empty() {
            self.route = Some(RouteTaken { name: decision.route.clone(), clause: decision.clause.clone() });
        }
        self.candidates.clone_from(&decision.candidates);
        self.choice = decision.order.first().map(|backend| Choice {
            backend: backend.clone(),
            model: config.upstream_model(backend).to_owned(),
            propensity: decision.propensity,
        });
        self.conversation.clone_from(&decision.conversation);
        self.cascade.clone_from(&decision.cascade);
        self.reasons.extend(&decision.reasons);
        self.sentence.clone_from(&decision.sentence);
    }

    /// Adds a stage to `timings_us`.
    pub fn time(&mut self, stage: &'static str, took: Duration) {
        self.timings_us.insert(stage, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}
