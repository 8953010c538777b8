//! The one crossing from a request into the inference threads.
//!
//! Judging never fails: a verdict that cannot be had says why, and is never replaced by a
//! default. Each mind has its own deadline, counted from arrival.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::batch::{Pushed, Refused};
use super::encoder::Encoder;
use super::load::Loaded;
use super::manifest::Task;
use super::queue::Window;
use super::reading::{Reading, Stream};
use super::tokenizer::TokenizerError;
use super::{Given, Input, Judgement, MindNames, Timings, Unavailable};

mod conclude;

use conclude::Answers;

/// Texts up to this many bytes are read on the caller's thread: well under a millisecond.
const INLINE_BYTES: usize = 4096;

/// Longer requests are known by their windows only: hashing them whole would hold the caller up.
const REMEMBERED_BYTES: usize = 256 * 1024;

/// Bytes of a token, roughly, where no tokenizer has counted.
const BYTES_PER_TOKEN: usize = 4;

impl Loaded {
    /// From the cache where exactly this was judged before, else by the engines.
    pub(super) async fn judge(self: &Arc<Self>, input: Input) -> Judgement {
        let started = Instant::now();
        let bytes: usize = input.parts.iter().map(|part| part.text.len()).sum();
        let remembered = !self.judged.is_off() && bytes <= REMEMBERED_BYTES;
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
                let (judgement, whole) = self.judge_anew(input, started).await;
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

    /// Shows the scores to whoever watches for drift.
    fn observe(&self, judgement: &Judgement) {
        for (task, scores) in &self.scores {
            let score = match task {
                Task::Intent => judgement.intent.verdict().map(|intent| intent.category().1),
                Task::Jailbreak => judgement.jailbreak.verdict().map(|verdict| verdict.score),
                Task::Pii => {
                    judgement.pii.verdict().map(|spans| spans.iter().map(|span| span.score).fold(0.0, f32::max))
                }
                Task::Similarity => None,
            };
            if let Some(score) = score {
                scores.observe(score);
            }
        }
    }

    /// True beside it: every window was answered.
    async fn judge_anew(self: &Arc<Self>, input: Input, started: Instant) -> (Judgement, bool) {
        let input = Arc::new(input);
        let mut judgement = Judgement::nothing(self.names.clone(), &input);
        let families = (0..self.encoders.len()).map(|family| self.consult(family, Arc::clone(&input), started));
        let mut whole = true;
        for (said, all) in join_all(families).await {
            judgement.add(said);
            whole &= all;
        }
        judgement.timings.total = started.elapsed();
        (judgement, whole)
    }

    /// Asks one family of minds. True beside it: every window was answered.
    async fn consult(self: &Arc<Self>, family: usize, input: Arc<Input>, started: Instant) -> (Judgement, bool) {
        let mut said = Judgement::nothing(MindNames::default(), &input);
        let Some(encoder) = self.encoders.get(family) else { return (said, false) };
        let deadline = started + encoder.heads.limits().map(|limits| limits.deadline).max().unwrap_or_default();
        let reading = match self.read(family, &input, deadline).await {
            Ok(reading) => reading,
            Err(why) => {
                encoder.excuse(&mut said, why);
                return (said, false);
            }
        };
        said.timings.tokenize = started.elapsed();
        said.prompt_tokens = reading.prompt_tokens;
        said.judged = reading.judged.clone();
        let count = |wanted: fn(&Stream) -> bool| {
            reading.streams.iter().filter(|stream| wanted(stream)).map(|stream| stream.windows.len()).sum()
        };
        said.windows = usize::max(count(|stream| stream.ask), count(|stream| stream.guarded));
        let answers = encoder.run(&reading, started, deadline, &mut said.timings).await;
        encoder.conclude(&input, &reading, &answers, started, &mut said);
        (said, !answers.windows.contains(&None))
    }

    /// Reads inline what is short; the rest on a thread that may block.
    async fn read(
        self: &Arc<Self>,
        family: usize,
        input: &Arc<Input>,
        deadline: Instant,
    ) -> Result<Reading, Unavailable> {
        let bytes: usize = input.parts.iter().map(|part| part.text.len()).sum();
        let (loaded, theirs) = (Arc::clone(self), Arc::clone(input));
        let read = move || match loaded.encoders.get(family) {
            Some(encoder) => encoder.reader.read(&theirs, deadline),
            None => Ok(Reading::default()),
        };
        let read = if bytes <= INLINE_BYTES {
            read()
        } else {
            match timeout_at(deadline, tokio::task::spawn_blocking(read)).await {
                Err(_) => return Err(Unavailable::Deadline),
                Ok(Err(panicked)) => {
                    tracing::error!(%panicked, "reading a request failed");
                    return Err(Unavailable::InferenceFailed);
                }
                Ok(Ok(read)) => read,
            }
        };
        read.map_err(|error| match error {
            TokenizerError::Late => Unavailable::Deadline,
            TokenizerError::Failed(error) => {
                tracing::error!(error, "a text could not be tokenised");
                Unavailable::InferenceFailed
            }
        })
    }
}

impl Encoder {
    async fn run(&self, reading: &Reading, started: Instant, deadline: Instant, timings: &mut Timings) -> Answers {
        let window = |ids: Vec<i64>| Window { key: self.seed.window(&ids), ids };
        let windows: Vec<Window> = (reading.streams.iter())
            .flat_map(|stream| stream.windows.iter().map(|range| self.reader.framed(&stream.tokens[range.clone()])))
            .map(window)
            .collect();
        let mut answers =
            Answers { windows: windows.iter().map(|_| None).collect(), waiting: 0, missing: Unavailable::Deadline };
        let pushed = Instant::now();
        let limit = self.heads.limits().map(|limits| limits.queue).max().unwrap_or(0);
        let mut arriving = match self.engine.push(windows, deadline, limit) {
            Ok(Pushed { answers: arriving, waiting }) => {
                answers.waiting = waiting;
                arriving
            }
            Err(refused) => {
                answers.missing = match refused {
                    Refused::Full => Unavailable::Overloaded,
                    Refused::Dead => Unavailable::InferenceFailed,
                };
                return answers;
            }
        };
        let mut first_pass = None;
        while let Ok(Some(done)) = timeout_at(deadline, arriving.recv()).await {
            first_pass.get_or_insert(done.started);
            match (done.row, answers.windows.get_mut(done.window)) {
                (Some(row), Some(slot)) => *slot = Some((row, done.finished)),
                _ => answers.missing = Unavailable::InferenceFailed,
            }
        }
        // The thread drops late jobs itself, but an early end means that it has failed.
        if Instant::now() < deadline && answers.windows.contains(&None) {
            answers.missing = Unavailable::InferenceFailed;
        }
        let first_pass = first_pass.unwrap_or_else(Instant::now);
        timings.queue = first_pass.saturating_duration_since(pushed);
        timings.infer = first_pass.elapsed();
        tracing::trace!(since_arrival = ?started.elapsed(), windows = answers.windows.len(), "judged");
        answers
    }
}

impl Judgement {
    /// No mind has spoken.
    fn nothing(names: MindNames, input: &Input) -> Self {
        let bytes: usize = input.parts.iter().map(|part| part.text.len()).sum();
        Self {
            intent: Given::Off,
            jailbreak: Given::Off,
            harm: Given::Off,
            pii: Given::Off,
            embedding: Given::Off,
            names,
            judged: Vec::new(),
            prompt_tokens: bytes.div_ceil(BYTES_PER_TOKEN) as u64,
            windows: 0,
            timings: Timings::default(),
        }
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
