//! An answer's body: bytes as they arrive, the permit held until they end, and the two
//! timeouts that apply after the first byte.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use super::client::Incoming;

/// Dropping it closes the upstream connection and frees the permit.
#[derive(Debug)]
pub struct Body {
    /// What is here already, before the rest.
    here: VecDeque<Bytes>,
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    body: Incoming,
    idle: Duration,
    deadline: Instant,
    /// Fires at the earlier of the idle limit and the deadline.
    alarm: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

/// How a body broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the backend's answer broke off")]
    Cut,
    #[error("the backend stalled in the middle of its answer")]
    Idle,
    #[error("the backend's answer took longer than the total time limit")]
    Total,
}

impl Body {
    /// A body that is here already.
    pub(super) fn whole(first: Option<Bytes>) -> Self {
        Self { here: first.into_iter().collect(), rest: None }
    }

    /// A body that still arrives.
    pub(super) fn streaming(
        first: Option<Bytes>,
        body: Incoming,
        idle: Duration,
        deadline: Instant,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let alarm = Box::pin(sleep_until(deadline.min(Instant::now() + idle)));
        let rest = Some(Rest { body, idle, deadline, alarm, _permit: permit });
        Self { here: first.into_iter().collect(), rest }
    }

    /// What was read of it is there to be read again.
    pub fn put_back(&mut self, read: Vec<Bytes>) {
        let mut here = VecDeque::from(read);
        here.append(&mut self.here);
        self.here = here;
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(data) = this.here.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
        let now = Instant::now();
        // A backend that always has something ready must not outrun the deadline.
        if now < rest.deadline
            && let Poll::Ready(frame) = Pin::new(&mut rest.body).poll_frame(cx)
        {
            let alarm = rest.deadline.min(now + rest.idle);
            rest.alarm.as_mut().reset(alarm);
            if frame.is_none() {
                this.rest = None;
            }
            return Poll::Ready(frame.map(|result| result.map_err(|_| BodyError::Cut)));
        }
        ready!(rest.alarm.as_mut().poll(cx));
        let late = Instant::now() >= rest.deadline;
        this.rest = None;
        Poll::Ready(Some(Err(if late { BodyError::Total } else { BodyError::Idle })))
    }

    fn is_end_stream(&self) -> bool {
        self.here.is_empty() && self.rest.as_ref().is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
