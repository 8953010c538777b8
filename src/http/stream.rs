//! The body a client reads: the backend's bytes as they come, listened to for usage, and an
//! honest end. A stream that breaks off says so and never looks finished.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::ApiError;
use crate::config::Price;
use crate::minds::Minds;
use crate::openai::usage::{Said, decoded};
use crate::openai::{Usage, sse};
use crate::telemetry::{End, Record};
use crate::upstream::{self, BodyError};

/// Largest non-streamed answer that is kept to read its usage. Larger ones are relayed unread.
const MAX_READ: usize = 16 << 20;

/// Relays an answer and finishes its record. Dropping it early is the client leaving.
pub(super) struct Relayed {
    body: upstream::Body,
    length: Option<u64>,
    tap: Tap,
    record: Record,
    bill: Bill,
    /// What the model says, for when the backend does not tell how much that was.
    said: Said,
    end: Ending,
    /// This request's place among those in flight, held until the last byte.
    _permit: OwnedSemaphorePermit,
}

/// What turns tokens into money.
pub(super) struct Bill {
    pub(super) price: Price,
    /// As counted here.
    pub(super) prompt_tokens: u64,
    /// They have a tokenizer.
    pub(super) minds: Minds,
}

#[derive(Debug)]
enum Tap {
    Events(sse::Reader),
    /// Chunks are shared, not copied.
    Whole {
        encoding: Option<String>,
        chunks: Vec<Bytes>,
        bytes: usize,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    NotYet,
    /// The error event is out; one turn to flush it, then the connection goes.
    Flush(BodyError),
    Abort(BodyError),
}

impl Relayed {
    /// `length` is the announced content length, `events` whether the answer is an event stream.
    pub(super) fn new(
        body: upstream::Body,
        length: Option<u64>,
        encoding: Option<String>,
        events: bool,
        record: Record,
        bill: Bill,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let tap = if events && encoding.is_none() {
            Tap::Events(sse::Reader::default())
        } else {
            Tap::Whole { encoding, chunks: Vec::new(), bytes: 0 }
        };
        Self { body, length, tap, record, bill, said: Said::default(), end: Ending::NotYet, _permit: permit }
    }

    fn listen(&mut self, data: &Bytes) {
        let record = &mut self.record;
        if record.first_byte.is_none() {
            record.first_byte = Some(record.elapsed());
        }
        match &mut self.tap {
            Tap::Events(reader) => {
                let said = &mut self.said;
                reader.feed(data, |event| match Usage::from_json(event) {
                    Some(usage) => record.usage = Some(usage),
                    None => said.hear(event),
                });
            }
            Tap::Whole { chunks, bytes, .. } => {
                *bytes += data.len();
                if *bytes <= MAX_READ {
                    chunks.push(data.clone());
                } else {
                    chunks.clear();
                }
            }
        }
    }

    fn finish(&mut self, end: End) {
        self.record.end = end;
        if let Tap::Whole { encoding, chunks, .. } = &mut self.tap {
            let whole = std::mem::take(chunks).concat();
            let json = decoded(encoding.as_deref(), &whole);
            self.record.usage = json.as_deref().and_then(Usage::from_json);
            if let (None, Some(json)) = (self.record.usage, &json) {
                self.said.hear(json);
            }
        }
        self.settle();
    }

    /// What it cost, by the backend's own count or else by ours.
    fn settle(&mut self) {
        if self.record.usage.is_none() && self.record.status < 400 {
            let completion = self.said.tokens(|text| self.bill.minds.count_tokens(text));
            self.record.usage = Some(Usage { prompt: self.bill.prompt_tokens, completion, ..Usage::default() });
            self.record.estimated = true;
        }
        let price = self.bill.price;
        self.record.cost_usd = self.record.usage.map(|usage| price.cost(usage.prompt, usage.cached, usage.completion));
    }

    /// Says that the rest is missing, where the client can hear it, then ends the connection.
    fn break_off(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.finish(End::Cut);
        let Some(event) = self.error_event(error) else { return Poll::Ready(Some(Err(error))) };
        self.end = Ending::Flush(error);
        Poll::Ready(Some(Ok(Frame::data(event))))
    }

    /// The event that tells a streaming client the rest is missing.
    fn error_event(&self, error: BodyError) -> Option<Bytes> {
        let Tap::Events(reader) = &self.tap else { return None };
        let close_open_event = if reader.at_boundary() { "" } else { "\n\n" };
        Some(format!("{close_open_event}data: {}\n\n", ApiError::from(error).to_json()).into())
    }
}

impl Tap {
    /// An event stream that ended in the middle of an event, however politely, is cut.
    fn inside_event(&self) -> bool {
        matches!(self, Self::Events(reader) if reader.inside_event())
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.end {
            Ending::NotYet => {}
            Ending::Flush(error) => {
                self.end = Ending::Abort(error);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Ending::Abort(error) => return Poll::Ready(Some(Err(error))),
        }
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let data = data.clone();
                    self.listen(&data);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => self.break_off(error),
            None if self.tap.inside_event() => self.break_off(BodyError::Cut),
            None => {
                self.finish(End::Complete);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // Always asked for the end: that is where the record is finished.
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        // A client may leave right after the last byte without reading the end.
        if self.record.end != End::ClientLeft {
            return;
        }
        if Body::is_end_stream(&self.body) {
            self.finish(End::Complete);
        } else {
            self.settle();
        }
    }
}
