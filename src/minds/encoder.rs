//! Heads: from what the graph said about each window to one verdict. Pure.

use std::iter;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::batch::Engine;
use super::cache::Seed;
use super::engine::{Row, finite};
use super::manifest::{PoolBy, Pooling};
use super::merge::{self, Marked, Thresholds};
use super::reading::{Reader, Reading, Stream};
use super::spans::{self, Found};
use super::tags::{Tags, settle};
use super::tokenizer::Token;
use super::turns::Turns;
use super::window;
use super::{Embedding, Input, Intent, Span};

mod jailbreak;

pub(super) use jailbreak::{HarmHead, JailbreakHead};

/// Minds that share one graph, and so one forward pass.
pub(super) struct Encoder {
    pub(super) reader: Reader,
    pub(super) turns: Turns,
    pub(super) engine: Engine,
    /// Begins the keys of its windows.
    pub(super) seed: Seed,
    pub(super) heads: Heads,
}

#[derive(Debug, Default)]
pub(super) struct Heads {
    pub(super) intent: Option<IntentHead>,
    pub(super) jailbreak: Option<JailbreakHead>,
    pub(super) pii: Option<PiiHead>,
    pub(super) similarity: Option<SimilarityHead>,
}

/// One output of the graph.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Position in a [`Row`].
    pub(super) index: usize,
    pub(super) temperature: f32,
}

/// How long a mind may take and how many may wait for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) deadline: Duration,
    pub(super) queue: usize,
}

#[derive(Debug)]
pub(super) struct IntentHead {
    pub(super) limits: Limits,
    pub(super) category: Head,
    pub(super) complexity: Option<Head>,
    pub(super) labels: Arc<[String]>,
}

#[derive(Debug)]
pub(super) struct PiiHead {
    pub(super) limits: Limits,
    pub(super) head: Head,
    pub(super) labels: Vec<Arc<str>>,
    pub(super) tags: Tags,
    pub(super) thresholds: Thresholds,
}

#[derive(Debug)]
pub(super) struct SimilarityHead {
    pub(super) limits: Limits,
    pub(super) head: Head,
    /// Where the graph gives a vector per token.
    pub(super) pooling: Option<Pooling>,
    pub(super) threshold: f32,
    pub(super) exemplars: Exemplars,
}

/// Unit vectors of the configured texts, by exemplar name.
pub(super) type Exemplars = Vec<(String, Vec<Vec<f32>>)>;

/// One window of a stream and its answer.
#[derive(Clone, Copy)]
pub(super) struct Answered<'a> {
    pub(super) stream: &'a Stream,
    pub(super) window: &'a Range<usize>,
    pub(super) row: &'a Row,
}

impl Answered<'_> {
    fn output(&self, head: Head) -> &[f32] {
        self.row.get(head.index).map_or(&[], Vec::as_slice)
    }

    fn weight(&self) -> f32 {
        self.window.len().max(1) as f32
    }
}

impl Heads {
    pub(super) fn limits(&self) -> impl Iterator<Item = Limits> {
        let intent = self.intent.as_ref().map(|mind| mind.limits);
        let jailbreak = self.jailbreak.as_ref().map(|mind| mind.limits);
        let pii = self.pii.as_ref().map(|mind| mind.limits);
        let similarity = self.similarity.as_ref().map(|mind| mind.limits);
        [jailbreak, pii, intent, similarity].into_iter().flatten()
    }

    /// The longest deadline of brain and similarity, and that of the guards.
    pub(super) fn patience(&self) -> [Option<Duration>; 2] {
        let longest = |a: Option<Limits>, b: Option<Limits>| a.into_iter().chain(b).map(|limits| limits.deadline).max();
        [
            longest(self.intent.as_ref().map(|mind| mind.limits), self.similarity.as_ref().map(|mind| mind.limits)),
            longest(self.jailbreak.as_ref().map(|mind| mind.limits), self.pii.as_ref().map(|mind| mind.limits)),
        ]
    }

    /// Whether the graph's outputs have the widths the labels ask for; `row` answers a text.
    pub(super) fn check(&self, row: &Row, tokens: usize) -> Result<(), String> {
        let width = |head: Head| row.get(head.index).map_or(0, Vec::len);
        let mut wanted = Vec::new();
        if let Some(intent) = &self.intent {
            wanted.push(("category", width(intent.category), intent.labels.len()));
            wanted.extend(intent.complexity.map(|head| ("complexity", width(head), 3)));
        }
        wanted.extend(self.jailbreak.as_ref().map(|mind| ("jailbreak", width(mind.head), mind.width)));
        let harm = self.jailbreak.as_ref().and_then(|mind| mind.harm);
        wanted.extend(harm.map(|harm| ("harm", width(harm.head), 2)));
        let evidence = self.jailbreak.as_ref().and_then(|mind| mind.evidence);
        wanted.extend(evidence.map(|head| ("evidence", width(head), tokens)));
        let pooled = self.similarity.as_ref().and_then(|mind| Some((mind.head, mind.pooling?.width)));
        wanted.extend(pooled.map(|(head, size)| ("embedding", width(head), tokens * size)));
        wanted.extend(self.pii.as_ref().map(|mind| ("tags", width(mind.head), tokens * mind.tags.width())));
        if let Some((head, found, expected)) = wanted.into_iter().find(|(_, found, expected)| found != expected) {
            return Err(format!("the output for `{head}` has {found} values where the labels ask for {expected}"));
        }
        match finite(row) {
            true => Ok(()),
            false => Err("it answers with values that are not numbers".to_owned()),
        }
    }
}

impl IntentHead {
    /// Token-weighted mean of the windows' logits, then probabilities.
    pub(super) fn verdict(&self, windows: &[Answered<'_>]) -> Intent {
        let scores = |head: Head| softmax(&weighted_mean(windows, head), head.temperature);
        let complexity = self.complexity.and_then(|head| scores(head).try_into().ok());
        Intent { labels: Arc::clone(&self.labels), scores: scores(self.category), complexity }
    }
}

impl PiiHead {
    /// What the model and the patterns found, as `merge` combines them.
    pub(super) fn verdict(
        &self,
        input: &Input,
        reading: &Reading,
        windows: &[Answered<'_>],
        frame: usize,
    ) -> Vec<Span> {
        let mut model: Vec<Marked> = Vec::new();
        for stream in windows.chunk_by(|a, b| std::ptr::eq(a.stream, b.stream)) {
            let Some(first) = stream.first() else { continue };
            let found = self.decode(&first.stream.tokens, stream, frame);
            model.extend(found.into_iter().map(|span| self.marked(span)));
        }
        // The ask's stream comes first, so its parts do too; patterns are sorted by part already.
        model.sort_by_key(|span| span.part);
        let (mut model, mut patterns) = (model.into_iter().peekable(), reading.patterns.iter().peekable());
        let mut spans = Vec::new();
        for (index, part) in (0_u32..).zip(&input.parts) {
            let mine: Vec<Marked> = iter::from_fn(|| model.next_if(|span| span.part == index)).collect();
            let seen: Vec<_> = iter::from_fn(|| patterns.next_if(|seen| seen.found.part == index)).cloned().collect();
            if mine.is_empty() && seen.is_empty() {
                continue;
            }
            let text: Vec<char> = part.text.chars().collect();
            let merged = merge::merge(&text, mine, seen, self.thresholds);
            spans.extend(merged.into_iter().map(|span| Span {
                place: part.place,
                start: span.start as usize,
                end: span.end as usize,
                label: span.label,
                score: span.score,
            }));
        }
        spans
    }

    fn marked(&self, span: Found<usize>) -> Marked {
        let label = self.labels.get(span.label).cloned().unwrap_or_default();
        Found { part: span.part, start: span.start, end: span.end, label, score: span.score }
    }

    fn decode(&self, tokens: &[Token], windows: &[Answered<'_>], frame: usize) -> Vec<Found<usize>> {
        let ranges: Vec<Range<usize>> = windows.iter().map(|answered| answered.window.clone()).collect();
        let width = 2 * self.labels.len() + 1;
        let mut tags = Vec::with_capacity(tokens.len() * width);
        for (answered, own) in windows.iter().zip(window::owned(&ranges)) {
            let logits = answered.output(self.head).chunks_exact(self.tags.width());
            let skip = frame + own.start - answered.window.start;
            for row in logits.skip(skip).take(own.len()) {
                self.tags.spread(&softmax(row, self.head.temperature), &mut tags);
            }
        }
        tags.resize(tokens.len() * width, 0.0);
        settle(tokens, &mut tags, width);
        spans::decode(tokens, &tags, self.labels.len())
    }
}

impl SimilarityHead {
    /// One window's vector, of unit length.
    pub(super) fn vector(&self, row: &Row) -> Vec<f32> {
        let output = row.get(self.head.index).map_or(&[][..], Vec::as_slice);
        let whole = output.len();
        let (width, tokens) = match self.pooling {
            None => (whole, 1),
            Some(Pooling { by: PoolBy::First, width }) => (width, 1),
            Some(Pooling { by: PoolBy::Mean, width }) => (width, whole),
        };
        mean_direction(output.chunks_exact(width.max(1)).take(tokens))
    }

    pub(super) fn verdict(&self, windows: &[Answered<'_>]) -> Embedding {
        let windows: Vec<_> = windows.iter().map(|window| self.vector(window.row)).collect();
        let vector = mean_direction(windows.iter().map(Vec::as_slice));
        let best = |texts: &[Vec<f32>]| texts.iter().map(|text| dot(text, &vector)).fold(-1.0, f32::max);
        let similar_to = self.exemplars.iter().map(|(name, texts)| (name.clone(), best(texts))).collect();
        Embedding { vector: vector.into(), threshold: self.threshold, similar_to }
    }
}

/// Normalised mean of unit vectors.
pub(super) fn mean_direction<'a>(vectors: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut sum: Vec<f32> = Vec::new();
    for vector in vectors {
        sum.resize(vector.len(), 0.0);
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    let length = dot(&sum, &sum).sqrt().max(f32::MIN_POSITIVE);
    sum.iter_mut().for_each(|value| *value /= length);
    sum
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn weighted_mean(windows: &[Answered<'_>], head: Head) -> Vec<f32> {
    let total: f32 = windows.iter().map(Answered::weight).sum();
    let mut mean = Vec::new();
    for window in windows {
        let logits = window.output(head);
        mean.resize(logits.len(), 0.0);
        mean.iter_mut().zip(logits).for_each(|(mean, logit)| *mean += logit * window.weight() / total);
    }
    mean
}

pub(super) fn softmax(logits: &[f32], temperature: f32) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut scores: Vec<f32> = logits.iter().map(|logit| ((logit - highest) / temperature).exp()).collect();
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_is_calibrated_by_temperature() {
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close(&softmax(&[0.0, 0.0], 1.0), &[0.5, 0.5]));
        assert!(close(&softmax(&[1000.0, 0.0], 1.0), &[1.0, 0.0]));
        assert!(close(&softmax(&[2.0, 0.0], 2.0), &softmax(&[1.0, 0.0], 1.0)));
    }

    #[test]
    fn each_part_has_its_own_spans() {
        use super::super::patterns::{Sighting, Standing};
        use super::super::{Part, Place, Source};

        let labels = vec!["PERSON".to_owned()];
        let pii = PiiHead {
            limits: Limits { deadline: Duration::ZERO, queue: 1 },
            head: Head { index: 0, temperature: 1.0 },
            labels: vec!["PERSON".into()],
            tags: Tags::new(&[], &labels).unwrap(),
            thresholds: Thresholds { model: 0.5, patterns: 0.0 },
        };
        let texts = ["Ann Lee", "nothing", "10.0.0.1", "Bob Day"];
        let part =
            |(message, text): (usize, &&str)| Part { place: Some(Place { message, part: 0 }), ..Part::alone(*text) };
        let input = Input { parts: texts.iter().enumerate().map(part).collect(), not_text: false };
        let stream = |part: u32| Stream {
            tokens: vec![Token { id: 0, part, start: 0, end: 7, continues: false, separates: false, joins: false }],
            windows: window::split(1, 254, 64),
            guarded: true,
            ask: part == 3,
            hidden: false,
            source: Source::User,
        };
        let found = Found { part: 2, start: 0, end: 8, label: "IP_ADDRESS", score: 0.97 };
        // The ask, which is the last part, is read first.
        let reading = Reading {
            streams: vec![stream(3), stream(0)],
            patterns: vec![Sighting { found, standing: Standing::Sure }],
            ..Reading::default()
        };
        let row: Row = vec![vec![0.0, 9.0, 0.0]];
        let windows: Vec<Answered<'_>> =
            (reading.streams.iter()).map(|stream| Answered { stream, window: &stream.windows[0], row: &row }).collect();
        let spans = pii.verdict(&input, &reading, &windows, 0);
        let spans: Vec<_> = spans.iter().map(|span| (span.place.unwrap().message, &*span.label, span.end)).collect();
        assert_eq!(spans, [(0, "PERSON", 7), (2, "IP_ADDRESS", 8), (3, "PERSON", 7)]);
    }

    #[test]
    fn the_mean_direction_has_unit_length() {
        let mean = mean_direction([&[1.0, 0.0][..], &[0.0, 1.0]].into_iter());
        assert!((dot(&mean, &mean) - 1.0).abs() < 1e-6 && (mean[0] - mean[1]).abs() < 1e-6);
    }
}
