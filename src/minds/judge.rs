//! The one crossing from a request into the inference threads.
//!
//! Judging never fails: a verdict that cannot be had says why, and is never replaced by a
//! default. Each mind has its own deadline, counted from arrival.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::batch::{Pushed, Refused};
use super::decoder::{Decoder, Writing};
use super::encoder::Encoder;
use super::load::Loaded;
use super::manifest::Task;
use super::mask::{Masked, mask};
use super::queue::Window;
use super::reading::{Reading, Stream};
use super::tokenizer::TokenizerError;
use super::verdict::{self, Later};
use super::{Given, Input, Judgement, MindNames, Opinion, Stretch, Timings, Unavailable};
use crate::config::Explain;

mod awaited;
mod conclude;
mod rest;

use awaited::Awaited;
use conclude::Answers;
use rest::Rest;

/// Requests up to this many bytes are read on the caller's thread: well under a millisecond.
const INLINE_BYTES: usize = 1024;

/// Longer requests are known by their windows only: hashing them whole would hold the caller up.
const REMEMBERED_BYTES: usize = 256 * 1024;

/// Counting the tokens of an answer takes no longer.
const COUNTING: std::time::Duration = std::time::Duration::from_millis(50);

/// What a part costs beside its text, in bytes of text, roughly.
const PART_BYTES: usize = 32;

/// Bytes of a token, roughly, where no tokenizer has counted.
const BYTES_PER_TOKEN: usize = 4;

impl Loaded {
    /// From the cache where exactly this was judged before, else by the engines.
    pub(super) async fn judge(&self, input: Arc<Input>) -> Judgement {
        let started = Instant::now();
        let remembered = !self.judged.is_off() && size(&input) <= REMEMBERED_BYTES;
        let key = remembered.then(|| self.seed.input(&input));
        let known = key.and_then(|key| self.judged.find(&key));
        if remembered {
            self.metrics.request(known.is_some());
        }
        let judgement = match known {
            Some(known) => {
                let timings = Timings { total: started.elapsed(), ..Timings::default() };
                Judgement { timings, ..Judgement::clone(&known) }
            }
            None => {
                let (mut judgement, whole) = self.judge_anew(Arc::clone(&input), started).await;
                let judged = Instant::now();
                judgement.foresight = self.quality.as_ref().and_then(|quality| quality.foresee(&input, &judgement));
                judgement.timings.foresee = judged.elapsed();
                if let Some(key) = key
                    && whole
                    && judgement.unavailable().next().is_none()
                {
                    self.judged.put(key, Arc::new(judgement.clone()));
                }
                judgement
            }
        };
        self.observe(&judgement);
        judgement
    }

    /// What those decoders say that play one of `roles`; they are asked side by side.
    pub(super) async fn consult(&self, roles: &[&str], input: &Input, judgement: &Judgement) -> Vec<Opinion> {
        let flash = judgement.intent.verdict();
        let ask = async |decoder: &Decoder| {
            let since = Instant::now();
            let (opinions, ignored) = decoder.ask(roles, input, flash, since).await;
            if ignored.is_empty() {
                return opinions;
            }
            self.consult_rest(decoder, roles, input, ignored, since).await
        };
        join_all(self.decoders.iter().map(ask)).await.into_iter().flatten().collect()
    }

    /// What is left without what steers is judged as if nothing else had been there, by the flash mind,
    /// too. That mind may need longer than there is: half of the time that is left is the decoder's own.
    async fn consult_rest(
        &self,
        decoder: &Decoder,
        roles: &[&str],
        input: &Input,
        mut ignored: Vec<Stretch>,
        since: Instant,
    ) -> Vec<Opinion> {
        let deadline = since + decoder.deadline(roles);
        for last in [false, false, true] {
            let rest = Rest::of(input, &ignored);
            let now = Instant::now();
            let patience = now + deadline.saturating_duration_since(now) / 2;
            let flash = timeout_at(patience, self.judge_anew(Arc::clone(&rest.input), since)).await.ok();
            let flash = flash.as_ref().and_then(|(flash, _)| flash.intent.verdict());
            let (opinions, more) = decoder.ask(roles, &rest.input, flash, since).await;
            // What was left out made room for what had not been read.
            if more.is_empty() || last {
                return opinions.into_iter().map(|opinion| Opinion { ignored: ignored.clone(), ..opinion }).collect();
            }
            ignored.extend(more.into_iter().map(|stretch| rest.original(stretch)));
            ignored.sort_by_key(|stretch| (stretch.place, stretch.start));
        }
        Vec::new()
    }

    /// Reasons for what decoders said, as their minds are configured; see [`super::Minds::explain`].
    pub(super) async fn explain(
        &self,
        input: &Input,
        judgement: &mut Judgement,
        since: Instant,
        wanted: &[Explain],
    ) -> Vec<Later> {
        let personal: Result<Vec<Masked<'_>>, Unavailable> = match &judgement.pii {
            Given::Verdict(spans) => Ok(spans.iter().map(Masked::personal).collect()),
            Given::Off => Ok(Vec::new()),
            // Who knows what a reason would quote.
            Given::Unavailable(why) => Err(*why),
        };
        let mut asked = Vec::new();
        for opinion in &mut judgement.opinions {
            let Some(decoder) = self.decoders.iter().find(|decoder| decoder.roles().any(|role| *role == *opinion.role))
            else {
                continue;
            };
            let Given::Verdict(said) = &opinion.said else { continue };
            let known = personal.as_ref().map_err(|why| *why).map(|personal| {
                let ignored = opinion.ignored.iter().map(Masked::nothing);
                mask(input, &ignored.chain(personal.iter().cloned()).collect::<Vec<_>>())
            });
            match decoder.explain(&opinion.role, said, wanted, known.as_deref().map_err(|why| *why)) {
                None => {}
                Some(Ok(writing)) => asked.push((opinion, writing)),
                Some(Err(why)) => opinion.reason = Given::Unavailable(why),
            }
        }
        let mut later = Vec::new();
        for (opinion, Writing { mut told, explain, deadline }) in asked {
            if explain == Explain::Log {
                later.push(Later { mind: Arc::clone(&opinion.mind), told });
                continue;
            }
            let whole = async { while told.changed().await.is_ok() {} };
            // What is there by then is better than nothing.
            let _ = timeout_at(since + deadline, whole).await;
            opinion.reason = verdict::told(&told);
        }
        later
    }

    /// Shows the scores to whoever watches for drift.
    fn observe(&self, judgement: &Judgement) {
        for (task, scores) in &self.scores {
            let score = match task {
                Task::Intent => judgement.intent.verdict().map(|intent| intent.category().1),
                Task::Jailbreak => judgement.jailbreak.verdict().map(|verdict| verdict.score),
                Task::Pii => {
                    judgement.pii.verdict().map(|spans| spans.iter().map(|span| span.score).fold(0.0, f32::max))
                }
                Task::Similarity | Task::Expert | Task::Quality => None,
            };
            if let Some(score) = score {
                scores.observe(score);
            }
        }
    }

    /// True beside it: every window was answered.
    async fn judge_anew(&self, input: Arc<Input>, started: Instant) -> (Judgement, bool) {
        let mut judgement = Judgement::nothing(self.names.clone(), &input);
        let families = self.encoders.iter().map(|encoder| encoder.consult(Arc::clone(&input), started));
        let mut whole = true;
        for (said, all) in join_all(families).await {
            judgement.add(said);
            whole &= all;
        }
        judgement.timings.total = started.elapsed();
        (judgement, whole)
    }
}

impl Encoder {
    /// Asks this family of minds. True beside it: every window was answered.
    async fn consult(self: &Arc<Self>, input: Arc<Input>, started: Instant) -> (Judgement, bool) {
        let nothing = Judgement::nothing(MindNames::default(), &input);
        self.say(input, started, nothing.clone()).await.unwrap_or_else(|why| {
            let mut said = nothing;
            self.excuse(&mut said, why);
            (said, false)
        })
    }

    /// Reads, runs and concludes, or why one of these did not end in time. Reading and concluding
    /// take as long as the text is: only what is short is done on the caller's thread.
    async fn say(
        self: &Arc<Self>,
        input: Arc<Input>,
        started: Instant,
        mut said: Judgement,
    ) -> Result<(Judgement, bool), Unavailable> {
        let (bytes, deadline) = (size(&input), self.deadline(started));
        let (encoder, theirs) = (Arc::clone(self), Arc::clone(&input));
        let turn = if is_short(bytes) { None } else { Some(self.turns.take(bytes, deadline).await?) };
        let read = move || {
            let read = encoder.read(&theirs, deadline);
            drop(turn);
            read
        };
        let read = aside(bytes, deadline, read).await?;
        let (reading, windows) = read.map_err(|error| match error {
            TokenizerError::Late => Unavailable::Deadline,
            TokenizerError::Failed(error) => {
                tracing::error!(error, "a text could not be tokenised");
                Unavailable::InferenceFailed
            }
        })?;
        said.timings.tokenize = started.elapsed();
        said.prompt_tokens = reading.prompt_tokens;
        said.judged.clone_from(&reading.judged);
        let count = |wanted: fn(&Stream) -> bool| {
            reading.streams.iter().filter(|stream| wanted(stream)).map(|stream| stream.windows.len()).sum()
        };
        said.windows = usize::max(count(|stream| stream.ask), count(|stream| stream.guarded));
        let mut awaited = Awaited::new(&self.heads, &reading);
        let answers = self.run(windows, &mut awaited, started, &mut said.timings).await;
        let (encoder, whole) = (Arc::clone(self), awaited.until(started).is_none());
        let conclude = move || {
            encoder.conclude(&input, &reading, &answers, started, &mut said);
            said
        };
        Ok((aside(bytes, deadline, conclude).await?, whole))
    }

    /// `None` where they cannot be counted.
    pub(super) fn count_tokens(&self, text: &str) -> Option<usize> {
        self.reader.tokenizer.count(text, Instant::now() + COUNTING).ok()
    }

    /// Of its most patient mind.
    fn deadline(&self, started: Instant) -> Instant {
        started + self.heads.limits().map(|limits| limits.deadline).max().unwrap_or_default()
    }

    /// A request's texts, and its windows in stream order.
    fn read(&self, input: &Input, deadline: Instant) -> Result<(Reading, Vec<Window>), TokenizerError> {
        let reading = self.reader.read(input, deadline)?;
        let window = |ids: Vec<i64>| Window { key: self.seed.window(&ids), ids };
        let windows = (reading.streams.iter())
            .flat_map(|stream| stream.windows.iter().map(|range| self.reader.framed(&stream.tokens[range.clone()])))
            .map(window)
            .collect();
        Ok((reading, windows))
    }

    /// Waits as long as some mind can still come to a verdict.
    async fn run(
        &self,
        windows: Vec<Window>,
        awaited: &mut Awaited,
        started: Instant,
        timings: &mut Timings,
    ) -> Answers {
        let (pushed, deadline) = (Instant::now(), self.deadline(started));
        let limit = self.heads.limits().map(|limits| limits.queue).max().unwrap_or(0);
        let answered = windows.iter().map(|_| None).collect();
        let Pushed { answers: mut arriving, waiting, refused } = self.engine.push(windows, deadline, limit);
        let missing = refused.map_or(Unavailable::Deadline, |refused| match refused {
            Refused::Full => Unavailable::Overloaded,
            Refused::Dead => Unavailable::InferenceFailed,
        });
        let mut answers = Answers { windows: answered, pushed: Instant::now(), waiting, missing };
        let mut first_pass = None;
        while let Some(until) = awaited.until(started)
            && let Ok(arrived) = timeout_at(until, arriving.recv()).await
        {
            let Some(done) = arrived else {
                // The thread drops late jobs itself, but an early end means that it has failed.
                if refused.is_none() && Instant::now() < deadline {
                    answers.missing = Unavailable::InferenceFailed;
                }
                break;
            };
            first_pass.get_or_insert(done.started);
            match (done.row, answers.windows.get_mut(done.window)) {
                (Some(row), Some(slot)) => {
                    *slot = Some((row, done.finished));
                    awaited.came(done.window);
                }
                _ => answers.missing = Unavailable::InferenceFailed,
            }
        }
        let first_pass = first_pass.unwrap_or_else(Instant::now);
        timings.queue = first_pass.saturating_duration_since(pushed);
        timings.infer = first_pass.elapsed();
        tracing::trace!(since_arrival = ?started.elapsed(), windows = answers.windows.len(), "judged");
        answers
    }
}

/// Bytes to read. An empty part is work, too.
fn size(input: &Input) -> usize {
    input.parts.iter().map(|part| part.text.len() + PART_BYTES).sum()
}

fn is_short(bytes: usize) -> bool {
    bytes <= INLINE_BYTES
}

/// Does `work` on a request of so many bytes: here, or on a thread that may block.
async fn aside<T: Send + 'static>(
    bytes: usize,
    deadline: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unavailable> {
    if is_short(bytes) {
        return Ok(work());
    }
    match timeout_at(deadline, tokio::task::spawn_blocking(work)).await {
        Err(_) => Err(Unavailable::Deadline),
        Ok(Ok(done)) => Ok(done),
        Ok(Err(panicked)) => {
            tracing::error!(%panicked, "judging a request failed");
            Err(Unavailable::InferenceFailed)
        }
    }
}

impl Judgement {
    /// No mind has spoken.
    fn nothing(names: MindNames, input: &Input) -> Self {
        let bytes: usize = input.parts.iter().map(|part| part.text.len()).sum();
        Self { names, ..Self::unread(bytes.div_ceil(BYTES_PER_TOKEN) as u64) }
    }

    /// Adds what one family said. Counts are those of the family that used most windows.
    fn add(&mut self, said: Self) {
        self.intent.fill(said.intent);
        self.jailbreak.fill(said.jailbreak);
        self.harm.fill(said.harm);
        self.pii.fill(said.pii);
        self.embedding.fill(said.embedding);
        if self.judged.is_empty() || said.windows > self.windows {
            self.judged = said.judged;
            self.prompt_tokens = said.prompt_tokens;
            self.windows = said.windows;
        }
        self.timings.tokenize = self.timings.tokenize.max(said.timings.tokenize);
        self.timings.queue = self.timings.queue.max(said.timings.queue);
        self.timings.infer = self.timings.infer.max(said.timings.infer);
    }
}

impl<T> Given<T> {
    fn fill(&mut self, other: Self) {
        if matches!(self, Self::Off) {
            *self = other;
        }
    }
}

#[cfg(test)]
mod tests;
