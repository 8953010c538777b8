//! One backend's tries, up to the first byte of an answer.

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use super::body::Body;
use super::client::{ClientError, Incoming};
use super::{Answer, Call, Outcome, Target, UpstreamError, retry};
use crate::openai::usage::{can_decode, decoded};
use crate::telemetry::Record;

/// Largest error body that is read to see whether it is an API answer.
const MAX_ERROR_BODY: usize = 1 << 20;

/// What one backend came to.
pub(super) enum Verdict {
    /// Relay this.
    Final(Answer),
    /// An error answer that another backend might better; relay it if none does.
    Refused(Answer),
    Failed(UpstreamError),
}

/// The head of an answer and its first bytes.
struct Head {
    status: StatusCode,
    headers: HeaderMap,
    first: Option<Bytes>,
    rest: Option<Incoming>,
}

impl Target {
    /// Tries this backend as often as its answers, its settings and its budget allow.
    pub(super) async fn call(&self, call: &Call<'_>, permit: OwnedSemaphorePermit, record: &mut Record) -> Verdict {
        self.budget.deposit();
        let deadline = Instant::now() + self.config.timeouts.total;
        let mut tries = 0;
        loop {
            record.calling(&self.name, self.model());
            let result = timeout_at(deadline, self.try_once(call)).await.unwrap_or(Err(Outcome::Timeout));
            let outcome = self.note(&result);
            record.attempt(&self.name, outcome.as_str(), tries > 0);
            tries += 1;
            let (again, headers) = match &result {
                Ok(head) if !head.status.is_client_error() && !head.status.is_server_error() => (false, None),
                Ok(head) => (retry::wanted(head.status, &head.headers), Some(&head.headers)),
                // Waiting twice as long for the same silence helps nobody.
                Err(outcome) => (!matches!(outcome, Outcome::Timeout | Outcome::Rejected), None),
            };
            if again
                && tries <= self.config.retry.attempts
                && let Some(wait) = retry::wait(tries, headers, self.config.retry.max_wait)
                && Instant::now() + wait < deadline
                && self.budget.withdraw()
            {
                tokio::time::sleep(wait).await;
                continue;
            }
            return self.verdict(result, permit, deadline);
        }
    }

    /// One request. Errors are whole: an error answer comes with its complete body.
    async fn try_once(&self, call: &Call<'_>) -> Result<Head, Outcome> {
        let mut headers = call.headers.clone();
        if let Some(authorization) = self.authorization(call.authorization) {
            headers.insert(AUTHORIZATION, authorization);
        }
        let body = (call.body)(&self.config, self.model());
        let first_byte = async {
            let response = self.client.post(call.path, call.query, headers, body).await?;
            let (head, mut rest) = response.into_parts();
            let first = next_data(&mut rest).await?;
            Ok((head, first, rest))
        };
        let (head, first, rest) = timeout(self.config.timeouts.first_token, first_byte)
            .await
            .map_err(|_| Outcome::Timeout)?
            .map_err(|error: ClientError| match error {
                ClientError::Timeout => Outcome::Timeout,
                ClientError::Broken => Outcome::Unreachable,
            })?;
        if head.status.is_success() {
            return Ok(Head { status: head.status, headers: head.headers, first, rest: Some(rest) });
        }
        let whole = timeout(self.config.timeouts.idle, error_body(first, rest));
        let body = whole.await.map_err(|_| Outcome::Timeout)?.filter(|body| is_api_answer(&head.headers, body));
        let body = body.filter(|_| head.status.is_client_error() || head.status.is_server_error());
        // HTML, nothing, or a redirect: not an answer to relay.
        let client_fault = head.status.is_client_error();
        let body = body.ok_or(if client_fault { Outcome::Rejected } else { Outcome::Garbled })?;
        Ok(Head { status: head.status, headers: head.headers, first: Some(body), rest: None })
    }

    /// Feeds the breaker. A client's own mistakes and rate limits say nothing about health.
    fn note(&self, result: &Result<Head, Outcome>) -> Outcome {
        match result {
            Ok(head) if head.status.is_server_error() => {
                self.breaker.failed();
                Outcome::ErrorStatus
            }
            Ok(head) => {
                self.breaker.succeeded();
                if head.status.is_success() { Outcome::Answered } else { Outcome::ErrorStatus }
            }
            Err(Outcome::Rejected) => Outcome::Rejected,
            Err(outcome) => {
                self.breaker.failed();
                *outcome
            }
        }
    }

    fn verdict(&self, result: Result<Head, Outcome>, permit: OwnedSemaphorePermit, deadline: Instant) -> Verdict {
        let head = match result {
            Ok(head) => head,
            Err(Outcome::Timeout) => return Verdict::Failed(UpstreamError::Timeout),
            Err(Outcome::Garbled | Outcome::Rejected) => return Verdict::Failed(UpstreamError::Garbled),
            Err(_) => return Verdict::Failed(UpstreamError::Unreachable),
        };
        let answer = Answer {
            backend: self.name.clone(),
            model: self.model().to_owned(),
            status: head.status,
            headers: head.headers,
            // A whole answer needs no place at the backend any more.
            body: match head.rest {
                Some(rest) => Body::streaming(head.first, rest, self.config.timeouts.idle, deadline, permit),
                None => Body::whole(head.first),
            },
        };
        if answer.may_be_bettered() { Verdict::Refused(answer) } else { Verdict::Final(answer) }
    }
}

async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, ClientError> {
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            _ => {}
        }
    }
    Ok(None)
}

/// The whole body of an error answer; `None` when it breaks off or is absurdly large.
async fn error_body(first: Option<Bytes>, mut rest: Incoming) -> Option<Bytes> {
    let first = first?;
    let Some(mut next) = next_data(&mut rest).await.ok()? else { return Some(first) };
    let mut whole = BytesMut::from(&first[..]);
    loop {
        whole.extend_from_slice(&next);
        if whole.len() > MAX_ERROR_BODY {
            return None;
        }
        match next_data(&mut rest).await.ok()? {
            Some(data) => next = data,
            None => return Some(whole.freeze()),
        }
    }
}

fn is_api_answer(headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let encoding = text(CONTENT_ENCODING);
    if !can_decode(encoding) {
        return text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
    }
    decoded(encoding, body).is_some_and(|json| serde_json::from_slice::<serde::de::IgnoredAny>(&json).is_ok())
}
