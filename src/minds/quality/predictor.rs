//! The numbers of a predictor and what they say of a prompt.

use std::sync::Arc;

use super::super::{family, spelled};
use super::Features;

/// How fast likeness of shape falls off, over the mean squared difference in standard deviations.
const SHAPE_WIDTH: f32 = 0.6;

/// Values further out than this many standard deviations count as this far.
const OUTLIER: f32 = 8.0;

/// Share of a group's likeness at which its outcomes have faded out.
const FADED: f32 = 0.8;

/// No chance is a certainty.
const CERTAIN: f32 = 0.005;

/// What is foreseen for one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Foresight {
    /// As in `mom-quality-flash`.
    pub mind: Arc<str>,
    pub models: Vec<Foreseen>,
    /// In standard deviations from the mean of the prompts that it was learnt on.
    pub difficulty: f32,
    /// The most that outcomes of prompts like this one counted for any model, 0..1. 0: far from all of them, and
    /// only difficulty speaks.
    pub near: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Foreseen {
    /// As [`spelled`].
    pub model: Arc<str>,
    /// P(it answers well).
    pub quality: f32,
    /// How much of what is known of prompts like this one counted, 0..1.
    pub near: f32,
    /// What its line says at this difficulty, and at the mean one.
    pub by_difficulty: f32,
    pub usual: f32,
    /// How long its answer will be; `None` where no lengths were known.
    pub output_tokens: Option<f32>,
}

impl Foresight {
    /// How much better `strong` is expected to answer than `weak`: the higher, the sooner the strong one
    /// should be asked. Where outcomes are far the strong one is taken to mend a fixed share of what the weak
    /// one fails, so that the harder prompt goes to it; where one of the two is unknown difficulty alone speaks.
    pub fn need(&self, weak: &str, strong: &str) -> f64 {
        let (Some(weak), Some(strong)) = (self.of(weak), self.of(strong)) else {
            return f64::from(self.difficulty);
        };
        let near = weak.near.min(strong.near);
        let share = (strong.usual - weak.usual) / (1.0 - weak.usual);
        let far = share * (1.0 - weak.by_difficulty);
        // What outcomes add has faded already.
        let added = |seen: &Foreseen| seen.quality - seen.by_difficulty;
        let by_difficulty = near * (strong.by_difficulty - weak.by_difficulty) + (1.0 - near) * far;
        f64::from(by_difficulty + added(strong) - added(weak))
    }

    /// Of this model, else of the only one of its family and size that was taught to chat as it was, or was not.
    pub fn of(&self, model: &str) -> Option<&Foreseen> {
        let model = spelled(model);
        let exact = self.models.iter().find(|foreseen| *foreseen.model == *model);
        let mut kin = self.models.iter().filter(|foreseen| family(&foreseen.model) == family(&model));
        exact.or_else(|| kin.next().filter(|_| kin.next().is_none()))
    }
}

/// A difficulty that all models share, and groups of models with outcomes of the same prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictor {
    pub difficulty: Difficulty,
    /// The newest last. A model that several know is foreseen by the newest that is near, else by the newest.
    pub groups: Vec<Group>,
}

/// Linear in [`Features::signs`]; mean 0 and standard deviation 1 where it was learnt.
#[derive(Clone, Debug, PartialEq)]
pub struct Difficulty {
    pub weights: Vec<f32>,
    pub bias: f32,
}

impl Difficulty {
    pub fn of(&self, features: &Features) -> f32 {
        features.signs().iter().zip(&self.weights).map(|(value, weight)| value * weight).sum::<f32>() + self.bias
    }
}

/// Prompts that others are compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Landmarks {
    /// Of [`Features::shape`] where outcomes are known.
    pub mean: Vec<f32>,
    pub scale: Vec<f32>,
    /// A row each of standardised shapes, and of embeddings.
    pub shapes: Vec<f32>,
    pub embeddings: Vec<f32>,
}

impl Landmarks {
    pub fn len(&self) -> usize {
        self.shapes.len() / self.mean.len().max(1)
    }

    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    pub fn standardised(&self, features: &Features) -> Vec<f32> {
        let scaled = features.shape().zip(&self.mean).zip(&self.scale);
        scaled.map(|((value, mean), scale)| ((value - mean) / scale).clamp(-OUTLIER, OUTLIER)).collect()
    }

    /// How alike a prompt is to each landmark, 0..1: both in shape and in meaning.
    pub fn likeness(&self, shape: &[f32], embedding: &[f32]) -> impl Iterator<Item = f32> {
        let (width, depth) = (shape.len().max(1), embedding.len().max(1));
        let pairs = self.shapes.chunks_exact(width).zip(self.embeddings.chunks_exact(depth));
        pairs.map(move |(theirs, meaning)| {
            let apart = summed(shape, theirs, |a, b| (a - b) * (a - b));
            (-SHAPE_WIDTH * apart / width as f32 - 2.0 * (1.0 - summed(embedding, meaning, |a, b| a * b))).exp()
        })
    }
}

/// Adds `of` each pair up, in as many sums side by side as keep the processor's adders busy.
fn summed(a: &[f32], b: &[f32], of: impl Fn(f32, f32) -> f32) -> f32 {
    const SUMS: usize = 16;
    let (a, b) = (a.as_chunks::<SUMS>(), b.as_chunks::<SUMS>());
    let mut sums = [0.0_f32; SUMS];
    for (a, b) in a.0.iter().zip(b.0) {
        for lane in 0..SUMS {
            sums[lane] += of(a[lane], b[lane]);
        }
    }
    let rest: f32 = a.1.iter().zip(b.1).map(|(a, b)| of(*a, *b)).sum();
    sums.iter().sum::<f32>() + rest
}

/// Models and what they did at the landmarks.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Spelled as [`spelled`] does.
    pub models: Vec<Arc<str>>,
    pub landmarks: Landmarks,
    /// A row for each landmark, a column for each model: what likeness to it adds.
    pub weights: Vec<f32>,
    /// By model: log-odds at mean difficulty, and how fast they fall.
    pub lines: Vec<[f32; 2]>,
    /// By model: logarithm of the answer's tokens, linear in a constant, difficulty and the standardised shape. Empty
    /// where unknown.
    pub lengths: Vec<Vec<f32>>,
    /// Likeness to the nearest landmark from which on outcomes count whole; below four fifths of it not at all.
    pub near: f32,
}

impl Group {
    /// Quality and answer length by model, and how much the outcomes counted.
    fn foresee(&self, features: &Features, difficulty: f32) -> (Vec<Foreseen>, f32) {
        let shape = self.landmarks.standardised(features);
        let mut added = vec![0.0_f32; self.models.len()];
        let mut nearest = 0.0_f32;
        let likeness = self.landmarks.likeness(&shape, &features.embedding);
        for (like, weights) in likeness.zip(self.weights.chunks_exact(self.models.len().max(1))) {
            nearest = nearest.max(like);
            added.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += like * weight);
        }
        let near = self.nearness(nearest);
        let each = self.models.iter().zip(&self.lines).zip(added).zip(&self.lengths);
        let foreseen = each.map(|(((model, line), added), length)| Foreseen {
            model: Arc::clone(model),
            quality: (along(*line, difficulty) + near * added).clamp(CERTAIN, 1.0 - CERTAIN),
            near,
            by_difficulty: along(*line, difficulty),
            usual: along(*line, 0.0).min(1.0 - CERTAIN),
            output_tokens: tokens(length, difficulty, &shape),
        });
        (foreseen.collect(), near)
    }

    fn nearness(&self, nearest: f32) -> f32 {
        ((nearest / self.near - FADED) / (1.0 - FADED)).clamp(0.0, 1.0)
    }
}

/// A logistic line at a difficulty.
pub fn along([level, slope]: [f32; 2], difficulty: f32) -> f32 {
    1.0 / (1.0 + (slope * difficulty - level).exp())
}

fn tokens(length: &[f32], difficulty: f32, shape: &[f32]) -> Option<f32> {
    let ([constant, slope], weights) = length.split_first_chunk::<2>()?;
    let sum: f32 = weights.iter().zip(shape).map(|(weight, value)| weight * value).sum();
    Some((constant + slope * difficulty + sum).clamp(0.0, 11.0).exp())
}

impl Predictor {
    pub fn foresee(&self, features: &Features, mind: Arc<str>) -> Foresight {
        let difficulty = self.difficulty.of(features);
        let mut foresight = Foresight { mind, models: Vec::new(), difficulty, near: 0.0 };
        for group in self.groups.iter().rev() {
            let (foreseen, near) = group.foresee(features, difficulty);
            foresight.near = foresight.near.max(near);
            for foreseen in foreseen {
                match foresight.models.iter_mut().find(|known| known.model == foreseen.model) {
                    Some(known) if known.near == 0.0 && near > 0.0 => *known = foreseen,
                    Some(_) => {}
                    None => foresight.models.push(foreseen),
                }
            }
        }
        foresight
    }
}
