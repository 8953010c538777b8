//! From a request's view to what shall become of it: one crossing into the minds, the
//! guards, then the pure decision. The relay, `/v1/route` and `mom route` all come by here.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::conversations::Reader;
use super::learning::Learning;
use super::shadow;
use crate::config::Config;
use crate::guard::{self, Enforcement};
use crate::minds::quality::counts;
use crate::minds::{Input, Judgement, Later, Minds, verdicts_json};
use crate::openai::View;
use crate::route::{self, Availability, Decision, Features, Held, Offer, Snapshot, Target, Trace};
use crate::telemetry::{Seen, Shadow};

/// What the gateway thinks of a request.
#[derive(Debug)]
pub struct Considered {
    pub judgement: Judgement,
    pub enforcement: Enforcement,
    /// `None` when a guard stopped the request.
    pub decision: Option<Decision>,
    /// From view to decision.
    pub took: Duration,
    /// Reasons that nobody waits for.
    pub later: Vec<Later>,
    /// What the ledger keeps of it.
    pub seen: Option<Seen>,
    /// What the policy in the shadow would have done.
    pub shadow: Option<Result<Shadow, shadow::Failed>>,
}

/// What is true as a request arrives, beside its body.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    pub headers: &'a HeaderMap,
    pub availability: &'a (dyn Fn(&str) -> Availability + Sync),
    /// The backend that this conversation is with.
    pub held: Option<&'a Reader>,
    /// Routes that learn, and a random number from 0 to below 1 for them; 1: nothing is left to the lot.
    pub learning: Option<(&'a Learning, f64)>,
}

/// Judges and decides; `None` when the model's name stands for nothing.
pub async fn consider(config: &Config, minds: &Minds, view: &mut View<'_>, moment: Moment<'_>) -> Option<Considered> {
    let started = Instant::now();
    let target = route::resolve(config, &view.model)?;
    let input = Arc::new(std::mem::take(&mut view.input));
    let mut judgement = minds.judge(Arc::clone(&input)).await;
    let enforcement = guard::enforce(config, &judgement);
    let features = Features {
        model: &view.model,
        // Definitions are not judged: about four bytes of JSON make a token.
        prompt_tokens: judgement.prompt_tokens + (view.definition_bytes as u64).div_ceil(4),
        max_output_tokens: view.max_output_tokens,
        tools: view.tools,
        images: view.images,
        audio: view.audio,
        json_schema: view.json_schema,
        headers: moment.headers,
        held: moment.held.and_then(|reader| held(config, reader, judgement.prompt_tokens)),
    };
    let (mut later, mut offers) = (Vec::new(), Vec::new());
    let decision = match enforcement.outcome.stops() {
        Some(_) => None,
        None => {
            let decide =
                |judgement: &Judgement| route::decide(config, target, &features, judgement, moment.availability);
            let mut decision = decide(&judgement);
            let judged = tokio::time::Instant::now();
            if matches!(target, Target::Virtual(_)) {
                // Small bases first: what they say may make the larger ones unnecessary.
                for roles in minds.decoder_roles() {
                    let asked = route::asked(config, roles.into_iter(), &features, &judgement, &decision);
                    if !asked.is_empty() {
                        let opinions = minds.consult(&asked, &input, &judgement).await;
                        judgement.opinions.extend(opinions);
                        decision = decide(&judgement);
                    }
                }
            }
            offers = decision.offers(config);
            if let Some((learning, draw)) = moment.learning {
                learning.steer(config, &features, &judgement, &mut decision, draw);
            }
            later = minds.explain(&input, &mut judgement, judged).await;
            judgement.timings.consult = judged.elapsed();
            Some(decision)
        }
    };
    let took = started.elapsed();
    let keeps = config.ledger.as_ref().is_some_and(|ledger| ledger.features);
    let seen = keeps.then(|| seen(config, &features, &judgement, &offers, &input));
    // Last, and for the ledger alone.
    let shadow = decision.as_ref().and_then(|_| shadow::decide(config, &features, &judgement, moment.availability));
    Some(Considered { judgement, enforcement, decision, took, later, seen, shadow })
}

/// What a backend may still know of a conversation.
fn held<'a>(config: &Config, reader: &'a Reader, prompt_tokens: u64) -> Option<Held<'a>> {
    let backend = config.backends.get(&reader.backend)?;
    let tokens = (reader.share * prompt_tokens as f64) as u64;
    (reader.age < backend.prompt_cache.ttl).then_some(Held { backend: &reader.backend, tokens })
}

/// What another policy needs to decide this again.
fn seen(config: &Config, features: &Features<'_>, judgement: &Judgement, offers: &[Offer], input: &Input) -> Seen {
    let (snapshot, embedding) = Snapshot::of(config, features, judgement, &counts(input)).keep();
    Seen { snapshot, embedding, offers: serde_json::to_string(offers).unwrap_or_default() }
}

/// The body with `"model": "auto"` where it names no model at all; everything else, `null`
/// and what is not JSON included, stays as given.
pub fn with_model(body: &[u8]) -> Cow<'_, [u8]> {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(default, deserialize_with = "there")]
        model: bool,
    }
    // Also what an explicit null comes to, unlike with an `Option`.
    fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| true)
    }
    let Some(start) = body.iter().position(|byte| !byte.is_ascii_whitespace()) else { return Cow::Borrowed(body) };
    let (open, rest) = body.split_at(start + 1);
    match serde_json::from_slice(body) {
        Ok(Named { model: false }) if body[start] == b'{' => {
            let comma: &[u8] = if rest.trim_ascii_start().starts_with(b"}") { b"" } else { b"," };
            Cow::Owned([open, br#""model":"auto""#, comma, rest].concat())
        }
        _ => Cow::Borrowed(body),
    }
}

impl Considered {
    /// Reasons that nobody waits for get lines of their own in the log; what is not written when `stop`
    /// comes is given up.
    pub fn reasons_follow(&mut self, tasks: &TaskTracker, stop: &CancellationToken, request_id: &str) {
        for later in self.later.drain(..) {
            tasks.spawn(log_reason(later, stop.clone(), request_id.to_owned()));
        }
    }

    /// Waits for the reasons that nobody waits for.
    pub async fn complete(&mut self) {
        for later in self.later.drain(..) {
            let of = self.judgement.opinions.iter_mut().find(|opinion| opinion.mind == later.mind);
            if let Some(opinion) = of {
                opinion.reason = later.reason().await;
            }
        }
    }

    /// The decision trace, as `/v1/route`, `mom route` and the log show it.
    pub fn trace(&self, config: &Config, request_id: String) -> Trace {
        let mut verdicts = verdicts_json(&self.judgement);
        // Hundreds of numbers that explain nothing; `similar_to` is what routing reads.
        for verdict in verdicts.values_mut().filter_map(|verdict| verdict.as_object_mut()) {
            verdict.shift_remove("embedding");
            if verdict.contains_key("near") {
                // Of the candidates the trace says it anyway.
                verdict.shift_remove("p_solve");
                verdict.shift_remove("output_tokens");
            }
        }
        let mut trace = Trace::new(request_id, config, &self.judgement, verdicts);
        trace.guard.clone_from(&self.enforcement.marks);
        match (&self.decision, self.enforcement.outcome.stops()) {
            (Some(decision), _) => trace.decided(config, decision),
            (None, stopped) => trace.stopped(stopped.unwrap_or_default(), self.enforcement.outcome.sentence()),
        }
        trace.time("total", self.took);
        trace
    }
}

async fn log_reason(later: Later, stop: CancellationToken, request_id: String) {
    let mind = Arc::clone(&later.mind);
    let reason = tokio::select! {
        reason = later.reason() => reason.known().cloned(),
        () = stop.cancelled() => Err("shutting_down".to_owned()),
    };
    // The request's span has ended by now.
    match reason {
        Ok(reason) => {
            let (cause, text) = (&reason.cause, reason.to_string());
            tracing::info!(target: "mom::request", parent: None, request_id, %mind, cause, reason = text, "reason");
        }
        Err(unavailable) => {
            tracing::info!(target: "mom::request", parent: None, request_id, %mind, unavailable, "reason");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_a_model_asks_for_auto() {
        let body = |given: &str| String::from_utf8(with_model(given.as_bytes()).into_owned()).unwrap();
        assert_eq!(body(r#" {"id": 7,  "messages": []}"#), r#" {"model":"auto","id": 7,  "messages": []}"#);
        assert_eq!(body("{ }"), r#"{"model":"auto" }"#);
        for same in [r#"{"model": "x",  "messages": []}"#, r#"{"model":null}"#, "[{}]", "{", "", " ", "[]"] {
            assert_eq!(body(same), same);
        }
    }
}
