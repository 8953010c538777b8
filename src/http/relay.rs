//! The main job: a request in, a backend chosen, its answer relayed. Read [`relay`] from
//! top to bottom to follow one request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::budget::{self, Asked};
use super::cascade::Cascade;
use super::headers::{self, Added};
use super::intake::{self, Caller};
use super::stream::{Bill, Relayed};
use super::{ApiError, own};
use crate::config::{Backend, Config, LogFormat, Signal};
use crate::gateway::consider::Moment;
use crate::gateway::{Considered, Gateway, consider};
use crate::guard::{Found, Outcome};
use crate::openai::{Endpoint, View, refusal, rewrite};
use crate::route::{self, Decision, Target, Unable};
use crate::telemetry::{End, Record};
use crate::upstream::{Answer, Call, UpstreamError};

pub(super) async fn chat_completions(gateway: State<Arc<Gateway>>, request: Request) -> Response {
    accept(gateway, Endpoint::ChatCompletions, request).await
}

pub(super) async fn completions(gateway: State<Arc<Gateway>>, request: Request) -> Response {
    accept(gateway, Endpoint::Completions, request).await
}

pub(super) async fn embeddings(gateway: State<Arc<Gateway>>, request: Request) -> Response {
    accept(gateway, Endpoint::Embeddings, request).await
}

/// Wraps a request in its record and its place among those in flight.
async fn accept(State(gateway): State<Arc<Gateway>>, endpoint: Endpoint, request: Request) -> Response {
    let mut record = Record::new(Arc::clone(&gateway.metrics), endpoint.name(), own::request_id());
    record.keep_in(gateway.book.clone());
    record.premium = gateway.config.premium().map(|backend| backend.price);
    record.policy_version.clone_from(&gateway.config.policy_version);
    let mut added = Added::default();
    added.set("x-mom-request-id", &record.request_id);
    let span = record.span().clone();
    let result = relay(&gateway, endpoint, request, &mut record, &mut added).instrument(span).await;
    let mut response = match result {
        Ok(Reply::Relay { answer, permit, prompt_tokens }) => {
            record.status = answer.status.as_u16();
            let price = gateway.config.backends.get(&answer.backend).map(|backend| backend.price).unwrap_or_default();
            let bill = Bill { price, prompt_tokens, minds: gateway.minds.clone() };
            return relayed(*answer, record, bill, permit, &added);
        }
        Ok(Reply::Own(response)) => response,
        Err(error) => {
            record.code = Some(error.code());
            error.into_response()
        }
    };
    record.status = response.status().as_u16();
    record.end = End::Refused;
    added.apply(response.headers_mut());
    response
}

/// What a request comes to.
enum Reply {
    /// `prompt_tokens` as counted here.
    Relay {
        answer: Box<Answer>,
        permit: tokio::sync::OwnedSemaphorePermit,
        prompt_tokens: u64,
    },
    Own(Response),
}

async fn relay(
    gateway: &Gateway,
    endpoint: Endpoint,
    request: Request,
    record: &mut Record,
    added: &mut Added,
) -> Result<Reply, ApiError> {
    let permit = gateway.admit().ok_or_else(ApiError::overloaded)?;
    let config = &gateway.config;
    let Caller { key, authorization } = intake::authenticate(config, request.headers())?;
    record.key = key;
    let client = request.headers().clone();
    let query = request.uri().query().map(str::to_owned);
    let body = intake::body(config, request).await?;

    let mut view = View::parse(&body, endpoint)?;
    record.stream = view.stream;
    if endpoint == Endpoint::Embeddings && matches!(route::resolve(config, &view.model), Some(Target::Virtual(_))) {
        return Err(ApiError::not_routable(&view.model));
    }
    let available = |backend: &str| gateway.upstream.availability(backend);
    let thread = gateway.conversations.thread(record.key.as_deref(), &view);
    let recalled = gateway.conversations.recall(&thread, Instant::now());
    let moment = Moment {
        headers: &client,
        availability: &available,
        held: recalled.held.as_ref(),
        learning: gateway.learning(rand::random()),
    };
    let considered = consider::consider(config, &gateway.minds, &mut view, moment).await;
    let mut considered = considered.ok_or_else(|| ApiError::unknown_model(&view.model))?;
    note(config, record, added, &considered);
    signs(gateway, record, endpoint, recalled.asked_before);
    keep(gateway, record, &mut considered, &body);
    let Some(decision) = &considered.decision else {
        return stopped(considered.enforcement.outcome, endpoint, &view, &record.request_id).map(Reply::Own);
    };
    if let Some(unable) = decision.unable {
        return Err(unable.into());
    }
    let prompt_tokens = considered.judgement.prompt_tokens;
    let asked = Asked {
        prompt_tokens: prompt_tokens + (view.definition_bytes as u64).div_ceil(4),
        max_output_tokens: view.max_output_tokens,
        answers: view.answers,
    };
    budget::reserve(gateway, decision, asked, record, added)?;

    let rewritten = |backend: &Backend, model: &str| rewrite::for_backend(&body, &view, model, backend.request_usage);
    let call = Call {
        path: endpoint.path(),
        query: query.as_deref(),
        headers: &headers::upstream(&client),
        authorization: authorization.as_ref(),
        body: &rewritten,
    };
    let sent = send(gateway, decision, &call, endpoint, prompt_tokens, record).await;
    if let Ok(answer) = &sent {
        chosen(record, decision, answer);
        if answer.status.is_success() {
            gateway.conversations.remember(&thread, &answer.backend, &record.request_id, Instant::now());
        }
    }
    added.set("x-mom-reason", &record.reasons);
    added.set("x-mom-backend", &record.backend);
    added.set("x-mom-model", &record.model);
    let answer = sent?;
    Ok(Reply::Relay { answer: Box::new(answer), permit, prompt_tokens })
}

/// Calls the backend that was chosen, or runs the route's cascade.
async fn send(
    gateway: &Gateway,
    decision: &Decision,
    call: &Call<'_>,
    endpoint: Endpoint,
    prompt_tokens: u64,
    record: &mut Record,
) -> Result<Answer, UpstreamError> {
    let Some(plan) = &decision.cascade else { return gateway.upstream.send(&decision.order, call, record).await };
    let asks = plan.options.request_logprobs && endpoint == Endpoint::ChatCompletions;
    let first = |backend: &Backend, model: &str| {
        let body = (call.body)(backend, model);
        if asks { rewrite::with_logprobs(&body) } else { body }
    };
    let cascade = Cascade { gateway, plan, order: &decision.order, prompt_tokens };
    cascade.run(&Call { body: &first, ..*call }, call, record).await
}

/// What is kept of the request beside the decision.
fn keep(gateway: &Gateway, record: &mut Record, considered: &mut Considered, body: &[u8]) {
    gateway.expect_feedback(&record.request_id, record.key.as_deref());
    record.seen = considered.seen.take();
    record.shadowed(considered.shadow.take());
    if gateway.config.ledger.as_ref().is_some_and(|ledger| ledger.text) {
        record.text = std::str::from_utf8(body).ok().map(str::to_owned);
    }
    gateway.reasons_follow(considered, &record.request_id);
}

/// Puts the verdicts and the decision into the record and the headers.
fn note(config: &Config, record: &mut Record, added: &mut Added, considered: &Considered) {
    if config.telemetry.log == LogFormat::Json {
        let trace = considered.trace(config, record.request_id.clone());
        record.trace = serde_json::to_string(&trace).ok();
    }
    for (mind, verdict) in considered.judgement.verdict_labels() {
        record.verdict(mind, &verdict);
    }
    for (mind, why) in considered.judgement.unavailable() {
        record.unavailable(mind, &why.to_string());
    }
    record.decision = Some(considered.took);
    for (guard, action) in considered.enforcement.marks.iter().filter_map(|mark| mark.split_once('=')) {
        record.guard(guard, action.split(':').next().unwrap_or(action));
    }
    if let Some(intent) = considered.judgement.reading().verdict() {
        intent.category().0.clone_into(&mut record.category);
    }
    let reasons = match &considered.decision {
        Some(decision) => {
            record.route.clone_from(&decision.route);
            record.propensity = Some(decision.propensity);
            record.chosen = decision.order.first().cloned().unwrap_or_default();
            decision.reasons.join(",")
        }
        None => considered.enforcement.outcome.stops().unwrap_or_default().to_owned(),
    };
    record.reasons = reasons;
    added.set("x-mom-route", &record.route);
    added.set("x-mom-category", &record.category);
    added.set("x-mom-reason", &record.reasons);
    added.set("x-mom-decision-us", &considered.took.as_micros().to_string());
    added.set("x-mom-guard", &considered.enforcement.marks.join("; "));
    added.set("x-mom-unavailable", &unavailable(considered));
}

/// What a route that learns takes for a sign of a bad answer.
fn signs(gateway: &Gateway, record: &mut Record, endpoint: Endpoint, asked_before: Option<String>) {
    let Some(learn) = gateway.config.route(&record.route).and_then(|route| route.learn.as_ref()) else { return };
    record.failure_counts = learn.takes(Signal::Errors);
    if let Some(earlier) = asked_before
        && endpoint != Endpoint::Embeddings
        && learn.takes(Signal::Regenerated)
    {
        gateway.regenerated(earlier);
    }
}

fn unavailable(considered: &Considered) -> String {
    let missing = considered.judgement.unavailable();
    let missing: Vec<String> = missing.map(|(mind, why)| format!("{mind}={why}")).collect();
    missing.join(", ")
}

/// A guard's word: an error, or a refusal that looks like any other answer.
fn stopped(outcome: Outcome, endpoint: Endpoint, view: &View<'_>, id: &str) -> Result<Response, ApiError> {
    let found = match outcome {
        Outcome::Refused(_) if endpoint == Endpoint::ChatCompletions => return Ok(refused(view, id)),
        Outcome::Refused(found) | Outcome::Blocked(found) => found,
        Outcome::Unavailable | Outcome::Pass | Outcome::Flagged => return Err(ApiError::guard_unavailable()),
    };
    Err(match found {
        Found::Harm => ApiError::harm(),
        Found::Jailbreak => ApiError::jailbreak(),
        Found::Pii => ApiError::pii(),
    })
}

fn refused(view: &View<'_>, id: &str) -> Response {
    let id = format!("chatcmpl-{id}");
    let (kind, text) = if view.stream {
        ("text/event-stream", refusal::stream(&id, &view.model, own::unix_seconds()))
    } else {
        ("application/json", refusal::answer(&id, &view.model, own::unix_seconds()))
    };
    (StatusCode::OK, [(CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
}

/// The backend that answered, which may be a fallback.
fn chosen(record: &mut Record, decision: &Decision, answer: &Answer) {
    record.backend.clone_from(&answer.backend);
    record.model.clone_from(&answer.model);
    let escalated = decision.cascade.as_ref().is_some_and(|plan| plan.options.then == answer.backend);
    if decision.order.first() != Some(&answer.backend) && !escalated {
        record.reasons.push_str(",upstream_fallback");
    }
}

fn relayed(
    answer: Answer,
    record: Record,
    bill: Bill,
    permit: tokio::sync::OwnedSemaphorePermit,
    added: &Added,
) -> Response {
    let text = |name| answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let length = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let encoding = text(CONTENT_ENCODING).map(str::to_owned);
    let events = text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/event-stream"));
    let mut headers: HeaderMap = headers::downstream(&answer.headers);
    added.apply(&mut headers);
    let body = Relayed::new(answer.body, length, encoding, events, record, bill, permit);
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}

impl From<Unable> for ApiError {
    fn from(unable: Unable) -> Self {
        match unable {
            Unable::ContextLength => Self::context_length(),
            Unable::Capability | Unable::MaxCost => Self::no_able_backend(unable.code()),
            Unable::Broken => UpstreamError::Broken(std::time::Duration::from_secs(1)).into(),
            Unable::Full => UpstreamError::Busy.into(),
            Unable::Mind => Self::guard_unavailable(),
        }
    }
}
