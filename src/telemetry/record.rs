//! One request's record. It travels with the request, into the body of the answer, and is
//! written exactly once: when it is dropped, however the request ended.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::Span;
use tracing::field::Empty;

use super::metrics::{
    BackendLabel, CascadeLabels, GuardLabels, Metrics, RequestLabels, ShadowLabels, TokenLabels, UnavailableLabels,
    UpstreamLabels, VerdictLabels,
};
use super::{Book, Entry, Feedback, Note, Seen, Shadow, millis};
use crate::config::Price;
use crate::openai::Usage;

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// The client went away; also what is true until something else is known.
    #[default]
    ClientLeft,
    /// The whole answer was handed over.
    Complete,
    /// The backend's answer broke off.
    Cut,
    /// The gateway itself answered with an error or a refusal.
    Refused,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Refused => "refused",
        }
    }
}

/// A call whose answer the client did not get, and which cost all the same.
#[derive(Clone, Debug)]
pub struct Discarded {
    pub backend: String,
    pub usage: Usage,
    pub usd: f64,
    /// The usage was counted here.
    pub estimated: bool,
}

/// What is known of a request so far.
#[derive(Debug)]
pub struct Record {
    metrics: Arc<Metrics>,
    span: Span,
    started: Instant,
    pub request_id: String,
    pub endpoint: &'static str,
    pub key: Option<String>,
    pub stream: bool,
    pub route: String,
    pub backend: String,
    pub model: String,
    pub category: String,
    pub reasons: String,
    pub status: u16,
    /// The stable code of an error the gateway answered with.
    pub code: Option<&'static str>,
    pub decision: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub usage: Option<Usage>,
    /// Of the answer; what was discarded comes on top when the record is written.
    pub cost_usd: Option<f64>,
    pub discarded: Option<Discarded>,
    pub tries: usize,
    pub end: End,
    /// The decision trace as JSON, for the JSON log.
    pub trace: Option<String>,
    /// The usage was counted here: the backend did not tell.
    pub estimated: bool,
    pub policy_version: String,
    pub propensity: Option<f64>,
    /// Whom the policy chose, whoever answers.
    pub chosen: String,
    /// A backend's failure is taken for feedback.
    pub failure_counts: bool,
    pub seen: Option<Seen>,
    /// The request's body, where the operator wants text in the ledger.
    pub text: Option<String>,
    pub shadow: Option<Shadow>,
    /// Of the backend that savings are told against.
    pub premium: Option<Price>,
    book: Option<Book>,
    /// What is to be told the whole cost.
    settlement: Option<Settlement>,
    /// A try is under way.
    waiting: bool,
}

/// Told what a request did cost, once that is known.
pub struct Settlement(Box<dyn FnOnce(f64) + Send + Sync>);

impl Settlement {
    pub fn new(settle: impl FnOnce(f64) + Send + Sync + 'static) -> Self {
        Self(Box::new(settle))
    }
}

impl std::fmt::Debug for Settlement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Settlement")
    }
}

impl Record {
    pub fn new(metrics: Arc<Metrics>, endpoint: &'static str, request_id: String) -> Self {
        metrics.in_flight.inc();
        let span = tracing::info_span!(
            target: "mom::request", "request",
            otel.name = endpoint, otel.kind = "server", request_id, mom.route = Empty, mom.backend = Empty,
            mom.category = Empty, mom.reason = Empty, gen_ai.request.model = Empty, gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty, http.response.status_code = Empty, mom.end = Empty, mom.cost_usd = Empty,
        );
        Self {
            metrics,
            span,
            started: Instant::now(),
            request_id,
            endpoint,
            key: None,
            stream: false,
            route: String::new(),
            backend: String::new(),
            model: String::new(),
            category: String::new(),
            reasons: String::new(),
            status: 0,
            code: None,
            decision: None,
            first_byte: None,
            usage: None,
            cost_usd: None,
            discarded: None,
            tries: 0,
            end: End::default(),
            trace: None,
            estimated: false,
            policy_version: String::new(),
            propensity: None,
            chosen: String::new(),
            failure_counts: false,
            seen: None,
            text: None,
            shadow: None,
            premium: None,
            book: None,
            settlement: None,
            waiting: false,
        }
    }

    /// Will be told what all of it cost; 0 where nobody answered.
    pub fn settle_with(&mut self, settlement: Option<Settlement>) {
        self.settlement = settlement;
    }

    /// Will be entered here when it is done.
    pub fn keep_in(&mut self, book: Option<Book>) {
        self.book = book;
    }

    fn entry(&mut self, status: u16) -> Entry {
        let price = self.premium;
        let premium = |usage: Usage| Some(price?.cost(usage.prompt, usage.cached, usage.completion));
        Entry {
            at: millis(SystemTime::now()),
            request_id: self.request_id.clone(),
            endpoint: self.endpoint,
            key: self.key.clone(),
            route: self.route.clone(),
            backend: self.backend.clone(),
            model: self.model.clone(),
            chosen: self.chosen.clone(),
            category: self.category.clone(),
            reasons: self.reasons.clone(),
            policy_version: self.policy_version.clone(),
            propensity: self.propensity,
            status,
            end: self.end.as_str(),
            code: self.code,
            usage: self.usage,
            estimated: self.estimated,
            cost_usd: self.cost_usd,
            premium_usd: self.usage.and_then(premium),
            discarded_usd: self.discarded.as_ref().map(|discarded| discarded.usd),
            seen: self.seen.take(),
            text: self.text.take(),
            shadow: self.shadow.take(),
        }
    }

    /// Whether the backend that was chosen gave no whole answer. Where nobody was asked (a budget is used up, all are
    /// busy) it says nothing of anybody.
    fn failed(&self, status: u16) -> bool {
        if self.backend.is_empty() || self.chosen.is_empty() {
            return false;
        }
        self.chosen != self.backend || self.end == End::Cut || (500..600).contains(&status)
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The request's span, for what happens on its behalf.
    pub fn span(&self) -> &Span {
        &self.span
    }

    pub fn verdict(&self, mind: &str, verdict: &str) {
        let labels = VerdictLabels { mind: mind.to_owned(), verdict: verdict.to_owned() };
        self.metrics.verdicts.get_or_create(&labels).inc();
    }

    pub fn unavailable(&self, mind: &str, reason: &str) {
        let labels = UnavailableLabels { mind: mind.to_owned(), reason: reason.to_owned() };
        self.metrics.unavailable.get_or_create(&labels).inc();
    }

    pub fn guard(&self, guard: &str, action: &str) {
        let labels = GuardLabels { guard: guard.to_owned(), action: action.to_owned() };
        self.metrics.guard_actions.get_or_create(&labels).inc();
    }

    /// Counts what a second policy would have done, and keeps it for the ledger; an error: it broke down.
    pub fn shadowed<E>(&mut self, shadow: Option<Result<Shadow, E>>) {
        let Some(shadow) = shadow else { return };
        let outcome = match &shadow {
            Ok(shadow) if shadow.backend == self.chosen => "agrees",
            Ok(_) => "differs",
            Err(_) => "failed",
        };
        self.metrics.shadow_decisions.get_or_create(&ShadowLabels { outcome }).inc();
        self.shadow = shadow.ok();
    }

    /// A try begins: from here on this is the backend that the request waits for.
    pub fn calling(&mut self, backend: &str, model: &str) {
        backend.clone_into(&mut self.backend);
        model.clone_into(&mut self.model);
        self.waiting = true;
    }

    /// Counts one try of a backend.
    pub fn attempt(&mut self, backend: &str, outcome: &'static str, retry: bool) {
        self.waiting = false;
        self.tries += 1;
        let labels = UpstreamLabels { backend: backend.to_owned(), outcome };
        self.metrics.upstream_requests.get_or_create(&labels).inc();
        if retry {
            self.metrics.upstream_retries.get_or_create(&BackendLabel { backend: backend.to_owned() }).inc();
        }
    }

    /// Nobody waits for the try under way any more.
    pub fn abandon(&mut self) {
        if self.waiting {
            self.attempt(&self.backend.clone(), "abandoned", false);
        }
    }

    /// What became of a cascade's first answer, and why. Empty: for nothing.
    pub fn cascade(&mut self, outcome: &'static str, why: &'static str) {
        self.reasons.push_str(",cascade_");
        self.reasons.push_str(outcome);
        if !why.is_empty() {
            self.reasons.push_str(",first_");
            self.reasons.push_str(why);
        }
        let labels = CascadeLabels { route: self.route.clone(), outcome, why };
        self.metrics.cascades.get_or_create(&labels).inc();
    }

    /// Both calls of a cascade are paid for.
    fn add_discarded(&mut self) {
        if let Some(Discarded { usd, estimated, .. }) = self.discarded {
            self.cost_usd = Some(self.cost_usd.unwrap_or_default() + usd);
            self.estimated |= estimated;
        }
    }

    fn spent(&self, backend: &str, usage: Option<Usage>, usd: Option<f64>) {
        if let Some(usage) = usage {
            let kinds = [
                ("prompt", usage.prompt),
                ("cached", usage.cached),
                ("completion", usage.completion),
                ("reasoning", usage.reasoning),
            ];
            for (kind, tokens) in kinds {
                let labels = TokenLabels { backend: backend.to_owned(), kind };
                self.metrics.tokens.get_or_create(&labels).inc_by(tokens);
            }
        }
        if let Some(usd) = usd {
            self.metrics.cost_usd.get_or_create(&BackendLabel { backend: backend.to_owned() }).inc_by(usd);
        }
    }

    fn count(&self, status: u16) {
        let labels =
            RequestLabels { backend: self.backend.clone(), route: self.route.clone(), status, end: self.end.as_str() };
        self.metrics.in_flight.dec();
        self.metrics.requests.get_or_create(&labels).inc();
        self.metrics.request_seconds.observe(self.elapsed().as_secs_f64());
        if let Some(decision) = self.decision {
            self.metrics.decision_seconds.observe(decision.as_secs_f64());
        }
        if self.backend.is_empty() {
            return;
        }
        let backend = BackendLabel { backend: self.backend.clone() };
        if let Some(first) = self.first_byte {
            self.metrics.first_token_seconds.get_or_create(&backend).observe(first.as_secs_f64());
        }
        self.spent(&self.backend, self.usage, self.cost_usd);
        if let Some(Discarded { backend, usage, usd, .. }) = &self.discarded {
            self.spent(backend, Some(*usage), Some(*usd));
        }
    }

    fn trace(&self, status: u16) {
        self.span.record("mom.route", &self.route);
        self.span.record("mom.backend", &self.backend);
        self.span.record("mom.category", &self.category);
        self.span.record("mom.reason", &self.reasons);
        self.span.record("gen_ai.request.model", &self.model);
        self.span.record("http.response.status_code", status);
        self.span.record("mom.end", self.end.as_str());
        if let Some(usage) = self.usage {
            self.span.record("gen_ai.usage.input_tokens", usage.prompt);
            self.span.record("gen_ai.usage.output_tokens", usage.completion);
        }
        if let Some(cost) = self.cost_usd {
            self.span.record("mom.cost_usd", cost);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // 499 is nginx's "client closed request": no status was seen by anyone.
        let status = if self.status == 0 { 499 } else { self.status };
        self.abandon();
        self.count(status);
        self.add_discarded();
        if let Some(Settlement(settle)) = self.settlement.take() {
            settle(self.cost_usd.unwrap_or_default());
        }
        self.trace(status);
        if let Some(book) = self.book.take() {
            if self.failure_counts && self.failed(status) {
                let (at, request_id) = (millis(SystemTime::now()), self.request_id.clone());
                book.enter(Note::Feedback(Feedback { at, request_id, source: "error", score: 0.0, comment: None }));
            }
            book.enter(Note::Request(Box::new(self.entry(status))));
        }
        tracing::info!(
            target: "mom::request",
            parent: &self.span,
            request_id = self.request_id,
            endpoint = self.endpoint,
            status,
            end = self.end.as_str(),
            code = self.code,
            key = self.key,
            route = self.route,
            backend = self.backend,
            model = self.model,
            category = self.category,
            reason = self.reasons,
            stream = self.stream,
            tries = self.tries,
            decision_us = self.decision.map(micros),
            first_byte_us = self.first_byte.map(micros),
            total_us = micros(self.elapsed()),
            prompt_tokens = self.usage.map(|usage| usage.prompt),
            cached_tokens = self.usage.map(|usage| usage.cached),
            completion_tokens = self.usage.map(|usage| usage.completion),
            cost_usd = self.cost_usd,
            discarded_usd = self.discarded.as_ref().map(|discarded| discarded.usd),
            estimated = self.estimated.then_some(true),
            trace = self.trace,
            "request"
        );
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
