//! A route's cascade: the first backend's answer is held back until it is whole, judged, and relayed as it
//! came or given up for the second's. The client sees one of them, never a piece of both.

use std::slice::from_ref;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::config::BackendName;
use crate::gateway::Gateway;
use crate::openai::Usage;
use crate::openai::answer::{Heard, Lack, Standard};
use crate::route::Cascading;
use crate::telemetry::{Discarded, Record};
use crate::upstream::{Answer, Body, Call, UpstreamError};

/// Most of an answer that is held back. What is longer is relayed from there as it comes.
const MOST_HELD: usize = 4 << 20;

/// What a cascade knows of its request.
pub(super) struct Cascade<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) plan: &'a Cascading,
    /// First, then, and whom to fall back to.
    pub(super) order: &'a [BackendName],
    /// As counted here.
    pub(super) prompt_tokens: u64,
}

/// What came of asking the first backend.
enum First {
    /// This is what the client gets.
    Stands(Answer),
    /// Whole, and not good enough.
    Poor { answer: Answer, why: &'static str, spent: Discarded },
    /// No answer, or one that says that it is none: relayed only where nobody has a better one.
    Failed { refused: Option<Answer>, why: &'static str, spent: Option<Discarded> },
}

impl Cascade<'_> {
    /// Asks `first` of the first backend, and `then` of the others where that was not good enough.
    pub(super) async fn run(
        &self,
        first: &Call<'_>,
        then: &Call<'_>,
        record: &mut Record,
    ) -> Result<Answer, UpstreamError> {
        match self.first(first, record).await {
            First::Stands(answer) => Ok(answer),
            First::Poor { answer, why, spent } if self.over_the_cap(&spent) => {
                record.cascade("capped", why);
                Ok(answer)
            }
            First::Poor { answer, why, spent } => {
                record.discarded = Some(spent);
                record.cascade("escalated", why);
                let second = self.gateway.upstream.send(from_ref(&self.plan.options.then), then, record).await;
                match second {
                    Ok(second) if second.status.is_success() => Ok(second),
                    // A poor answer is better than none.
                    _ => Ok(stand_in(answer, record)),
                }
            }
            First::Failed { refused, why, spent } => {
                record.discarded = spent;
                record.cascade("escalated", why);
                let others = self.order.get(1..).unwrap_or_default();
                match (self.gateway.upstream.send(others, then, record).await, refused) {
                    (Err(_), Some(refused)) => Ok(stand_in(refused, record)),
                    (second, _) => second,
                }
            }
        }
    }

    async fn first(&self, call: &Call<'_>, record: &mut Record) -> First {
        let options = &self.plan.options;
        let deadline = Instant::now() + options.max_wait;
        let sent = self.gateway.upstream.send(from_ref(&options.first), call, record);
        let failed = |refused, why, spent| First::Failed { refused, why, spent };
        let mut answer = match timeout_at(deadline, sent).await {
            Ok(Ok(answer)) if answer.status.is_success() => answer,
            Ok(Ok(answer)) if answer.may_be_bettered() => return failed(Some(answer), "error", None),
            Ok(Ok(answer)) => {
                // What is the client's own mistake, the second would tell it too.
                record.cascade("kept", "rejected");
                return First::Stands(answer);
            }
            Ok(Err(_)) => return failed(None, "error", None),
            // The prompt was sent. That both calls fit under the cap is known from the decision.
            Err(_) => {
                record.abandon();
                return failed(None, "late", Some(self.spent(&Heard::default())));
            }
        };
        let mut held = Held::new(self, record, &answer);
        let end = held.read(&mut answer.body, deadline).await;
        let heard = held.heard(matches!(end, End::Whole));
        let read = held.release();
        let spent = self.spent(&heard);
        if matches!(end, End::Broken) {
            return failed(None, "error", Some(spent));
        }
        if matches!(end, End::Late) && !self.over_the_cap(&spent) {
            return failed(None, "late", Some(spent));
        }
        answer.body.put_back(read);
        let why = match end {
            End::Late => {
                record.cascade("capped", "late");
                return First::Stands(answer);
            }
            End::Long => {
                record.cascade("kept", "long");
                return First::Stands(answer);
            }
            End::Whole | End::Broken => {
                let standard = Standard { min_logprob: options.min_logprob, refusals: options.refusals };
                heard.lacks(&standard)
            }
        };
        match why {
            None => {
                record.cascade("kept", if heard.is_strange() { "unread" } else { "" });
                First::Stands(answer)
            }
            Some(Lack::Error) => failed(Some(answer), "error", Some(spent)),
            Some(lack) => First::Poor { answer, why: code(lack), spent },
        }
    }

    fn over_the_cap(&self, spent: &Discarded) -> bool {
        self.plan.options.max_cost.is_some_and(|most| spent.usd + self.plan.then_usd > most)
    }

    /// What the first call cost, by the backend's own count or else by ours.
    fn spent(&self, heard: &Heard) -> Discarded {
        let backend = &self.plan.options.first;
        let counted = || Usage {
            prompt: self.prompt_tokens,
            completion: heard.tokens(|text| self.gateway.minds.count_tokens(text)),
            ..Usage::default()
        };
        let usage = heard.usage.unwrap_or_else(counted);
        let price = self.gateway.config.backends.get(backend).map(|backend| backend.price).unwrap_or_default();
        Discarded {
            backend: backend.clone(),
            usage,
            usd: price.cost(usage.prompt, usage.cached, usage.completion),
            estimated: heard.usage.is_none(),
        }
    }
}

/// The first answer after all. It is paid for like any that is relayed.
fn stand_in(answer: Answer, record: &mut Record) -> Answer {
    record.discarded = None;
    record.cascade("failed", "");
    answer
}

fn code(lack: Lack) -> &'static str {
    match lack {
        Lack::Error => "error",
        Lack::Filtered => "filtered",
        Lack::Empty => "empty",
        Lack::Refusal => "refusal",
        Lack::LowLogprob => "low_logprob",
    }
}

/// Where reading an answer ended.
enum End {
    Whole,
    Broken,
    Late,
    Long,
}

/// An answer while it is held back. Dropping it unreleased is the client leaving, who pays for what was said.
struct Held<'a> {
    cascade: &'a Cascade<'a>,
    record: &'a mut Record,
    encoding: Option<String>,
    events: bool,
    read: Vec<Bytes>,
    released: bool,
}

impl<'a> Held<'a> {
    fn new(cascade: &'a Cascade<'a>, record: &'a mut Record, answer: &Answer) -> Self {
        let text = |name| answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let encoding = text(CONTENT_ENCODING).map(str::to_owned);
        let events = text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/event-stream"));
        Self { cascade, record, encoding, events, read: Vec::new(), released: false }
    }

    async fn read(&mut self, body: &mut Body, deadline: Instant) -> End {
        let mut bytes = 0;
        loop {
            match timeout_at(deadline, body.frame()).await {
                Err(_) => return End::Late,
                Ok(None) => return End::Whole,
                Ok(Some(Err(_))) => return End::Broken,
                Ok(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    bytes += data.len();
                    self.read.push(data);
                    if bytes > MOST_HELD {
                        return End::Long;
                    }
                }
            }
        }
    }

    fn heard(&self, whole: bool) -> Heard {
        Heard::of(&self.read.concat(), self.encoding.as_deref(), self.events, whole)
    }

    fn release(mut self) -> Vec<Bytes> {
        self.released = true;
        std::mem::take(&mut self.read)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        let spent = self.cascade.spent(&self.heard(false));
        self.record.usage = Some(spent.usage);
        self.record.cost_usd = Some(spent.usd);
        self.record.estimated = spent.estimated;
    }
}
